package proc

import (
	"encoding/json"
	"os"
	"syscall"
	"testing"
)

func TestSelf(t *testing.T) {
	if self := Self(); self.PID != os.Getpid() || !self.Ours() {
		t.Errorf("Self = %+v, which is not this process", self)
	}
}

func TestRecord(t *testing.T) {
	p, out := launch(t, newLauncher(t), "serve")
	text, err := json.Marshal(p.Record())
	if err != nil {
		t.Fatal(err)
	}
	var record Record // as a later run reads it
	if err := json.Unmarshal(text, &record); err != nil {
		t.Fatal(err)
	}
	if !record.Ours() {
		t.Fatalf("%+v is not ours while it runs", record)
	}

	earlier, other, stranger, group := record, record, record, record
	earlier.Started += "1"
	other.Path = "/usr/bin/stranger"
	stranger.PID = os.Getpid()
	group.PID = -record.PID
	for name, r := range map[string]Record{
		"an earlier process with this pid": earlier, "another program": other, "a stranger": stranger, "a group": group,
		"empty": {}, "pid alone": {PID: record.PID}, "init": {PID: 1, Started: record.Started, Path: record.Path},
	} {
		if r.Ours() {
			t.Errorf("%s: %+v passes for ours", name, r)
		}
		if err := r.Kill(); err != nil {
			t.Errorf("%s: Kill = %v", name, err)
		}
	}
	if err := p.Signal(syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	out.want(t, "alive") // nobody killed it

	if err := record.Kill(); err != nil {
		t.Fatal(err)
	}
	waitDone(t, p)
	if record.Ours() {
		t.Errorf("%+v is ours after its end", record)
	}
	if err := record.Kill(); err != nil {
		t.Errorf("Kill of what is gone = %v", err)
	}
}
