package cli

// The exit codes are part of the interface: scripts branch on them.
const (
	exitOK          = 0   // done and verified
	exitFailed      = 1   // an error: nothing more is known than its message
	exitUsage       = 2   // the command line was wrong; nothing was touched
	exitRolledBack  = 3   // the release failed a gate; the failed region is back on the last good version
	exitUnverified  = 4   // a region could not be reached or verified: look at it
	exitProbeFailed = 5   // a probe's verdict is failed
	exitInterrupted = 130 // stopped by a signal
)

const exitCodesHelp = `  0    done and verified
  1    an error; its message says what and where
  2    the command line was wrong; nothing was touched
  3    the release failed a gate; the failed region is back on the last good version
  4    a region could not be reached or verified: look at it
  5    a probe's verdict is failed
  130  stopped by a signal`
