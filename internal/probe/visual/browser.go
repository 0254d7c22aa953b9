package visual

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"github.com/chromedp/chromedp"
)

// startTimeout is how long a browser may take until it can be talked to.
const startTimeout = 60 * time.Second

// browsers are the names under which Chromium is looked up.
var browsers = []string{"chromium", "chromium-browser", "google-chrome"}

// FindBrowser returns the browser's executable: the one asked for, or the first in the PATH.
func FindBrowser(asked string) (string, error) {
	if asked != "" {
		path, err := exec.LookPath(asked)
		if err != nil {
			return "", fmt.Errorf("browser: %w", err)
		}
		return path, nil
	}
	for _, name := range browsers {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("no browser: none of %s is in the PATH; install Chromium: apt-get install chromium", strings.Join(browsers, ", "))
}

// browser is a Chromium that was started for one probe.
type browser struct {
	ctx   context.Context // ends with the browser
	home  string          // its folder
	tabs  sync.WaitGroup  // that are being closed
	close func()
}

// startBrowser starts a browser that ends with ctx, and with this process. Whatever it writes goes into a folder of its
// own, which close removes once the browser is gone.
func startBrowser(ctx context.Context, c Config) (*browser, error) {
	path, err := FindBrowser(c.Browser)
	if err != nil {
		return nil, err
	}
	proxy, err := proxyFlags(os.Getenv)
	if err != nil {
		return nil, err
	}
	// A short name: the browser puts a socket below it, and the path of a socket ends at 107 bytes.
	home, err := os.MkdirTemp("", "b-")
	if err != nil {
		return nil, fmt.Errorf("a folder for the browser: %w", err)
	}
	said := &tail{}
	options := append(flags(c, home), proxy...)
	options = append(options, chromedp.ExecPath(path), chromedp.CombinedOutput(said))
	ctx, cancel := context.WithCancelCause(ctx)
	allocated, stop := chromedp.NewExecAllocator(ctx, options...)
	tab, closeTab := chromedp.NewContext(allocated, chromedp.WithErrorf(func(string, ...any) {}))
	b := &browser{ctx: tab, home: home}
	b.close = func() {
		closeTab()
		stop() // waits until the browser has ended, its children too
		cancel(nil)
		b.tabs.Wait()
		os.RemoveAll(home)
	}
	// Not a deadline on the context: it would end the browser later, too.
	late := time.AfterFunc(startTimeout, func() { cancel(fmt.Errorf("it did not start within %s", startTimeout)) })
	err = chromedp.Do(tab)
	if !late.Stop() || err != nil {
		b.close()
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, said.explain(fmt.Errorf("start %s: %w", path, err))
	}
	return b, nil
}

// flags are how the browser is started: the same picture on every machine, and nothing left outside home.
func flags(c Config, home string) []chromedp.ExecAllocatorOption {
	options := append([]chromedp.ExecAllocatorOption{}, chromedp.DefaultExecAllocatorOptions[:]...)
	set := func(name string, value any) { options = append(options, chromedp.Flag(name, value)) }
	set("force-device-scale-factor", "1")
	set("font-render-hinting", "none")
	set("force-color-profile", "srgb")
	set("hide-scrollbars", true)
	set("disable-gpu", true)
	set("mute-audio", true)
	set("lang", "en-US")
	set("blink-settings", "imageAnimationPolicy=2") // animated images show their first frame
	if c.SkipVerify {
		set("ignore-certificate-errors", true)
	}
	set("no-sandbox", unsandboxed(os.Geteuid(), os.LookupEnv, exists))
	return append(options, chromedp.WindowSize(c.Width, c.Height), chromedp.Env(
		"HOME="+home, "TMPDIR="+home, "XDG_CONFIG_HOME="+home, "XDG_CACHE_HOME="+home, "TZ=UTC", "LANG=en_US.UTF-8",
	))
}

// unsandboxed tells whether Chromium's sandbox cannot work: it refuses to as root, and in containers the namespaces that
// it is made of are commonly denied. There, the container is the sandbox.
func unsandboxed(uid int, env func(string) (string, bool), exists func(string) bool) bool {
	_, pod := env("KUBERNETES_SERVICE_HOST")
	return uid == 0 || pod || exists("/.dockerenv") || exists("/run/.containerenv")
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// tail keeps the end of what a browser says.
type tail struct {
	mu   sync.Mutex
	text []byte
}

func (t *tail) Write(p []byte) (int, error) {
	const most = 4 << 10
	t.mu.Lock()
	defer t.mu.Unlock()
	t.text = append(t.text, p...)
	t.text = t.text[max(0, len(t.text)-most):]
	return len(p), nil
}

// explain adds to an error what the browser said last that sounds like a reason.
func (t *tail) explain(err error) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := bytes.Split(bytes.TrimSpace(t.text), []byte("\n"))
	said := lines[len(lines)-1]
	for _, line := range lines {
		if bytes.Contains(line, []byte("FATAL")) || bytes.Contains(line, []byte("sandbox")) {
			said = line
			break
		}
	}
	if len(said) == 0 {
		return err
	}
	return errors.Join(err, fmt.Errorf("it said: %s", said))
}
