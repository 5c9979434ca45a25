package daemon

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reaperdb/reaper/policy"
)

// disk is a policy file that someone edits.
type disk struct {
	mu      sync.Mutex
	content string
	err     error
}

func (d *disk) write(content string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.content = content
}

func (d *disk) read() ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return []byte(d.content), d.err
}

// taken is a policy file, and how often one was put in force.
type taken struct {
	*policyFile
	disk *disk
	log  *logbook
	n    int
}

func fileOf(t *testing.T, text string) *taken {
	t.Helper()
	f := &taken{disk: &disk{content: text}, log: &logbook{}}
	settings := Config{FileName: "reaper.yaml", Read: f.disk.read, Schedule: "@daily", Zone: time.UTC, Log: f.log.logger(), Metrics: noMetrics()}
	f.policyFile = newPolicyFile(settings, time.Now, func(before, after *policy.File, entries []entry) {
		if f.n++; (before == nil) != (f.n == 1) || len(after.Policies) != len(entries) {
			t.Errorf("adopted as number %d: before %v, %d entries", f.n, before, len(entries))
		}
	})
	if err := f.load(nil); err != nil {
		t.Fatal(err)
	}
	return f
}

// inForceNow wants so many files to have been put in force, and an error to be shown that
// stands since a time; empty: none.
func (f *taken) inForceNow(t *testing.T, times int, says, since string) {
	t.Helper()
	c := f.state()
	if f.n != times || !strings.Contains(c.Error, says) || (c.Error == "") != (says == "") || (c.FailedAt == nil) != (since == "") || c.FailedAt != nil && clock(*c.FailedAt) != since {
		t.Errorf("taken %d times, %q since %v; want %d, %q since %s", f.n, c.Error, c.FailedAt, times, says, since)
	}
}

// A changed file is taken once it stays as it is: one that is being written is not.
func TestPolicyFile_Settles(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := fileOf(t, text)
		f.reload(t.Context())
		f.inForceNow(t, 1, "", "")
		if since := time.Now(); clock(since) != "00:00:00" {
			t.Errorf("a file that is as it was has to settle until %s", clock(since))
		}

		f.disk.write(text[:len(text)/2])
		go f.reload(t.Context())
		time.Sleep(settleTime / 2)
		f.disk.write(twoPolicies)
		time.Sleep(settleTime)
		synctest.Wait()
		f.inForceNow(t, 1, "", "")

		f.reload(t.Context())
		f.inForceNow(t, 2, "", "")
		if n := len(f.inForce().Policies); n != 2 {
			t.Errorf("%d policies are in force", n)
		}
		f.log.says(t, "policy file reloaded", 1)
	})
}

// A broken file changes nothing, and is told once, and shown until it is mended.
func TestPolicyFile_Broken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := fileOf(t, text)
		f.disk.write("version: 2\n")
		until(0, 1, 0)
		f.reload(t.Context())
		until(0, 2, 0)
		f.reload(t.Context())
		f.inForceNow(t, 1, "version", "00:01:00")
		f.log.says(t, "the previous one stays in force", 1)

		f.disk.err = errors.New("no such file")
		f.reload(t.Context())
		f.inForceNow(t, 1, "no such file", "00:01:00")
		f.log.says(t, "the previous one stays in force", 2)

		f.disk.err = nil
		f.disk.write(text) // as it was
		f.reload(t.Context())
		f.inForceNow(t, 1, "", "")
		if n := len(f.inForce().Policies); n != 1 {
			t.Errorf("%d policies are in force", n)
		}
	})
}

// A schedule that cannot be read is a mistake of the file.
func TestPolicyFile_Schedule(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := fileOf(t, text)
		f.disk.write(strings.Replace(text, "0 * * * *", "0 * *", 1))
		f.reload(t.Context())
		f.inForceNow(t, 1, `schedule "0 * *"`, "00:00:00")
	})
}
