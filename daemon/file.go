package daemon

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/reaperdb/reaper/heartbeat"
	"github.com/reaperdb/reaper/metrics"
	"github.com/reaperdb/reaper/policy"
)

// settleTime is how long a changed policy file must stay as it is to be taken: it
// may be half written.
const settleTime = 300 * time.Millisecond

// reload takes over the policy file if it has changed. A broken one changes
// nothing, and is told everywhere until it is mended.
func (d *Daemon) reload(ctx context.Context) {
	err := d.load(func() bool {
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
	d.mu.Lock()
	known := d.config.Error == err.Error()
	d.config.Error = err.Error()
	if d.config.FailedAt == nil {
		now := time.Now()
		d.config.FailedAt = &now
	}
	d.mu.Unlock()
	d.Metrics.ConfigFailed()
	if !known {
		d.Log.Error("the policy file is not taken: the one before stays in force", "error", err)
	}
}

// Reload looks at the policy file now.
func (d *Daemon) Reload(ctx context.Context) { d.reload(ctx) }

// load reads the policy file, and takes it over if it is another one and, after
// settle (nil: at once), still the same.
func (d *Daemon) load(settle func() bool) error {
	d.loading.Lock()
	defer d.loading.Unlock()
	data, err := d.Read()
	if err != nil {
		return fmt.Errorf("reading the policy file: %w", err)
	}
	if d.file != nil && d.content == string(data) {
		d.unchanged()
		return nil
	}
	if settle != nil {
		if !settle() {
			return nil
		}
		again, err := d.Read()
		if err != nil {
			return fmt.Errorf("reading the policy file: %w", err)
		}
		if string(again) != string(data) {
			return nil // it is being written: the next look
		}
	}
	file, err := policy.Parse(d.FileName, data)
	if err != nil {
		return err
	}
	states := make([]*state, len(file.Policies))
	for i := range file.Policies {
		if states[i], err = d.newState(file, file.Policies[i]); err != nil {
			return err
		}
	}
	for _, w := range file.Warnings {
		d.Log.Warn("setting is probably not meant so", "warning", file.Errorf(w.Pos, "%s", w.Text).Error(), "policy", w.Policy, "fix", w.Fix)
	}
	d.adopt(file, string(data), states)
	return nil
}

// unchanged tells that the file is what is in force.
func (d *Daemon) unchanged() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.config.Error != "" {
		d.config.Error, d.config.FailedAt = "", nil
		d.Metrics.ConfigLoaded(d.config.LoadedAt)
	}
}

// adopt puts a file in force. Runs of policies that it changes end after their
// batch, and begin anew.
func (d *Daemon) adopt(file *policy.File, content string, states []*state) {
	d.mu.Lock()
	defer d.mu.Unlock()
	reloaded := d.file != nil
	for _, o := range d.policies {
		i := slices.IndexFunc(states, func(s *state) bool { return s.name() == o.name() })
		if i >= 0 {
			states[i].carryOver(o)
		}
		if o.stop != nil && (i < 0 || states[i].differs(o)) {
			o.stop()
		}
	}
	rewatch := !reloaded || !reflect.DeepEqual(unplacedValue(d.file.Guards), unplacedValue(file.Guards))
	d.content, d.file, d.policies = content, file, states
	if rewatch {
		d.newWatch()
	}
	d.config.LoadedAt, d.config.Error, d.config.FailedAt = time.Now(), "", nil
	d.Metrics.ConfigLoaded(d.config.LoadedAt)
	var names []metrics.Policy
	for _, s := range states {
		names = append(names, metrics.Policy{Name: s.name(), Tables: s.tables, MaxLag: maxLag(s.policy)})
	}
	d.Metrics.SetPolicies(names...)
	if reloaded {
		ask(d.resize) // the limit may be another one
		d.Log.Info("the policy file has changed, and is in force", "policies", len(states))
	}
}

// newState is what is known of a policy before anything is.
func (d *Daemon) newState(file *policy.File, p policy.Policy) (*state, error) {
	text := p.Schedule.Value
	if text == "" || d.Observe {
		text = d.Schedule
	}
	schedule, err := policy.ParseSchedule(text, d.Zone)
	if err != nil {
		return nil, &policy.Error{File: d.FileName, Pos: p.Schedule.Pos, Msg: fmt.Sprintf("schedule %q: %v", text, err)}
	}
	monitor, err := MonitorOf(p, d.FileName, d.Monitor)
	if err != nil {
		return nil, err
	}
	s := &state{file: file, policy: p, schedule: schedule, monitor: monitor, loaded: time.Now(), later: offset(p.Name, schedule, d.Jitter)}
	if d.Observe { // whoever runs the policy begins on time, and tells the monitor
		s.observed, s.monitor, s.later = true, heartbeat.Monitor{}, 0
	}
	return s, nil
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
