package daemon

import (
	"fmt"
	"slices"
	"time"

	"github.com/reaperdb/reaper/heartbeat"
	"github.com/reaperdb/reaper/metrics"
	"github.com/reaperdb/reaper/policy"
)

// reload takes over the policy file if it has changed. A broken one changes
// nothing, and is told everywhere until it is mended.
func (d *Daemon) reload() {
	if err := d.load(); err != nil {
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
}

// Reload looks at the policy file now.
func (d *Daemon) Reload() { d.reload() }

func (d *Daemon) load() error {
	data, err := d.Read()
	if err != nil {
		return fmt.Errorf("reading the policy file: %w", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.file != nil && d.content == string(data) {
		if d.config.Error != "" { // it is again what is in force
			d.config.Error, d.config.FailedAt = "", nil
			d.Metrics.ConfigLoaded(d.config.LoadedAt)
		}
		return nil
	}
	file, err := policy.Parse(d.FileName, data)
	if err != nil {
		return err
	}
	states := make([]*state, len(file.Policies))
	for i, p := range file.Policies {
		if states[i], err = d.newState(p); err != nil {
			return err
		}
	}
	for _, s := range states {
		if i := slices.IndexFunc(d.policies, func(o *state) bool { return o.name() == s.name() }); i >= 0 {
			s.carryOver(d.policies[i])
		}
	}
	reloaded := d.file != nil
	d.content, d.file, d.policies = string(data), file, states
	d.config.LoadedAt, d.config.Error, d.config.FailedAt = time.Now(), "", nil
	d.Metrics.ConfigLoaded(d.config.LoadedAt)
	var names []metrics.Policy
	for _, s := range states {
		names = append(names, metrics.Policy{Name: s.name(), Tables: s.tables})
	}
	d.Metrics.SetPolicies(names...)
	if reloaded {
		d.Log.Info("the policy file has changed, and is in force", "policies", len(states))
	}
	return nil
}

// newState is what is known of a policy before anything is.
func (d *Daemon) newState(p policy.Policy) (*state, error) {
	text := p.Schedule.Value
	if text == "" {
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
	return &state{policy: p, schedule: schedule, monitor: monitor, loaded: time.Now(), later: offset(p.Name, schedule, d.Jitter)}, nil
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
