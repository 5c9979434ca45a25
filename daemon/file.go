package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/reaperdb/reaper/heartbeat"
	"github.com/reaperdb/reaper/metrics"
	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/web"
)

// settleTime is how long a changed policy file must stay as it is to be taken: it
// may be half written.
const settleTime = 300 * time.Millisecond

// policyFile is the policy file: what is in force of it, and what is wrong with it as it
// is now.
type policyFile struct {
	settings Config                                             // what the file does not say of policies
	adopt    func(before, after *policy.File, policies []entry) // puts a file in force; before is nil at first
	now      func() time.Time
	log      *slog.Logger
	metrics  *metrics.Metrics

	loading sync.Mutex // one reading at a time

	mu      sync.Mutex
	content string       // of the file in force
	file    *policy.File // in force; nil: none was read yet
	config  web.Config
}

func newPolicyFile(settings Config, now func() time.Time, adopt func(before, after *policy.File, policies []entry)) *policyFile {
	return &policyFile{settings: settings, now: now, adopt: adopt, log: settings.Log, metrics: settings.Metrics}
}

// reload takes over the policy file if it has changed. A broken one changes
// nothing, and is told everywhere until it is mended.
func (f *policyFile) reload(ctx context.Context) {
	err := f.load(func() bool {
		select {
		case <-time.After(settleTime):
			return true
		case <-ctx.Done():
			return false
		}
	})
	if err == nil {
		return
	}
	news := f.broken(err)
	f.metrics.ConfigFailed()
	if news {
		f.log.Error("policy file is not valid; the previous one stays in force", "error", err)
	}
}

// broken notes what is wrong with the file, and reports whether that is news.
func (f *policyFile) broken(err error) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	news := f.config.Error != err.Error()
	f.config.Error = err.Error()
	if f.config.FailedAt == nil {
		now := f.now()
		f.config.FailedAt = &now
	}
	return news
}

// load reads the policy file, and takes it over if it is another one and, after
// settle (nil: at once), still the same.
func (f *policyFile) load(settle func() bool) error {
	f.loading.Lock()
	defer f.loading.Unlock()
	data, err := f.settings.Read()
	if err != nil {
		return fmt.Errorf("reading the policy file: %w", err)
	}
	if f.unchanged(data) {
		return nil
	}
	if settle != nil {
		if !settle() {
			return nil
		}
		again, err := f.settings.Read()
		if err != nil {
			return fmt.Errorf("reading the policy file: %w", err)
		}
		if string(again) != string(data) {
			return nil // it is being written: the next look
		}
	}
	return f.take(data)
}

// unchanged reports whether the file is what is in force.
func (f *policyFile) unchanged(data []byte) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.file == nil || f.content != string(data) {
		return false
	}
	if f.config.Error != "" {
		f.config.Error, f.config.FailedAt = "", nil
		f.metrics.ConfigLoaded(f.config.LoadedAt)
	}
	return true
}

// take puts the content of a file in force.
func (f *policyFile) take(data []byte) error {
	file, err := policy.Parse(f.settings.FileName, data)
	if err != nil {
		return err
	}
	entries, err := f.settings.entries(file)
	if err != nil {
		return err
	}
	for _, w := range file.Warnings {
		f.log.Warn("setting is probably a mistake", "warning", file.Errorf(w.Pos, "%s", w.Text).Error(), "policy", w.Policy, "fix", w.Fix)
	}
	before := f.replace(string(data), file)
	f.adopt(before, file, entries)
	if before != nil {
		f.log.Info("policy file reloaded", "policies", len(entries))
	}
	return nil
}

// replace takes note of the file that is in force from now on, and gives the one before.
func (f *policyFile) replace(content string, file *policy.File) (before *policy.File) {
	f.mu.Lock()
	defer f.mu.Unlock()
	before = f.file
	f.content, f.file = content, file
	f.config = web.Config{File: f.settings.FileName, LoadedAt: f.now()}
	f.metrics.ConfigLoaded(f.config.LoadedAt)
	return before
}

// inForce is the file in force.
func (f *policyFile) inForce() *policy.File {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.file
}

// state is what is in force, and what is wrong with the file as it is now.
func (f *policyFile) state() web.Config {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.config
}

// MonitorOf is the monitor that a policy's runs are told to: its own, or the one
// of all.
func MonitorOf(p policy.Policy, file string, global heartbeat.Monitor) (heartbeat.Monitor, error) {
	if !p.Heartbeat.IsSet() {
		return global, nil
	}
	h := p.Heartbeat
	m, err := heartbeat.Target{
		Kind: heartbeat.Kind(h.Kind), URL: h.URL,
		Start: request(h.Start), Success: request(h.Success), Fail: request(h.Fail), Log: request(h.Log),
	}.Monitor()
	if err != nil {
		return m, &policy.Error{File: file, Pos: p.Heartbeat.Pos, Msg: err.Error()}
	}
	return m, nil
}

func request(r *policy.HeartbeatRequest) *heartbeat.Request {
	if r == nil {
		return nil
	}
	return &heartbeat.Request{URL: r.URL, Method: r.Method, Headers: r.Headers, Body: r.Body}
}
