package daemon

import (
	"fmt"
	"hash/fnv"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/reaperdb/reaper/heartbeat"
	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/web"
)

// entry is what the policy file in force, and the settings, say of one policy. It
// never changes: a reload makes new ones.
type entry struct {
	file     *policy.File // that the policy stands in
	policy   policy.Policy
	schedule policy.Schedule
	monitor  heartbeat.Monitor
	later    time.Duration // by how much its runs begin later than the schedule says
	observed bool          // other processes run it, and only the ledger tells when
	// cycles is two cycles of the schedule, and the longest time that no window of allow is open: the
	// policy's lag may be that, and the length of a run. 0: there is no second time.
	cycles time.Duration
}

func (e entry) name() string { return e.policy.Name }

// maxLag is the policy's max_lag, as the file has it; 0: none.
func (e entry) maxLag() time.Duration { return maxLag(e.policy) }

// entries are those of a policy file.
func (c Config) entries(file *policy.File) ([]entry, error) {
	var all []entry
	now := time.Now()
	interval, closed := intervals(now), file.Guards.LongestClosed(now)
	for _, p := range file.Policies {
		e, err := c.entry(file, p)
		if err != nil {
			return nil, err
		}
		if length := interval(e.schedule); length > 0 {
			e.cycles = 2*length + closed
		}
		if c.only == nil || slices.Contains(c.only, p.Name) {
			all = append(all, e)
		}
	}
	return all, nil
}

func (c Config) entry(file *policy.File, p policy.Policy) (entry, error) {
	text := p.Schedule.Value
	if text == "" || c.Observe {
		text = c.Schedule
	}
	schedule, err := policy.ParseSchedule(text, c.Zone)
	if err != nil {
		return entry{}, &policy.Error{File: c.FileName, Pos: p.Schedule.Pos, Msg: fmt.Sprintf("schedule %q: %v", text, err)}
	}
	monitor, err := MonitorOf(p, c.FileName, c.Monitor)
	if err != nil {
		return entry{}, err
	}
	if c.Observe { // whoever runs the policy begins on time, and tells the monitor
		return entry{file: file, policy: p, schedule: schedule, observed: true}, nil
	}
	return entry{file: file, policy: p, schedule: schedule, monitor: monitor, later: offset(p.Name, schedule, c.Jitter)}, nil
}

// lagLimit is the lag above which a policy counts as late: its max_lag or, where the file has none,
// two cycles and the longest of its last runs. 0: there is none.
func (e entry) lagLimit(runs []web.Run) time.Duration {
	if limit := e.maxLag(); limit > 0 || e.cycles == 0 {
		return limit
	}
	var longest time.Duration
	for _, r := range runs {
		if r.FinishedAt != nil {
			longest = max(longest, r.FinishedAt.Sub(r.StartedAt))
		}
	}
	return e.cycles + longest
}

// LagLimits says above which lag policies without max_lag count as late, by the length of the
// schedules of c; empty: all have one. Their runs add to it.
func (c Config) LagLimits(file *policy.File) (string, error) {
	entries, err := c.entries(file)
	if err != nil {
		return "", err
	}
	limits := map[time.Duration][]string{}
	for _, e := range entries {
		if e.maxLag() == 0 && e.cycles > 0 {
			limits[e.cycles] = append(limits[e.cycles], e.name())
		}
	}
	var texts []string
	for _, limit := range slices.Sorted(maps.Keys(limits)) {
		names := limits[limit]
		more := ""
		if n := len(names) - namedPolicies; n > 0 {
			names, more = names[:namedPolicies], fmt.Sprintf(" and %d more", n)
		}
		texts = append(texts, strings.Join(names, ", ")+more+" "+shortTime(limit))
	}
	if len(texts) == 0 {
		return "", nil
	}
	return "policies without max_lag count as late above two cycles of their schedule and the longest of their last runs: " + strings.Join(texts, "; "), nil
}

// namedPolicies is how many policies a sentence names.
const namedPolicies = 5

// shortTime is a duration in its units that are not zero.
func shortTime(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// namesOf are the names of the policies, in the order of the file.
func namesOf(entries []entry) []string {
	names := make([]string, len(entries))
	for i, e := range entries {
		names[i] = e.name()
	}
	return names
}

// differs reports whether the other file means something else for the policy's rows.
func (e entry) differs(o entry) bool {
	return !reflect.DeepEqual(unplaced(e), unplaced(o))
}

// unplaced is what a policy says, wherever it stands in its file.
func unplaced(e entry) [3]any {
	p := e.policy
	p.Schedule, p.Heartbeat, p.MaxLag = policy.Text{}, policy.Heartbeat{}, nil
	var tenants policy.Tenants
	if e.file.Tenants != nil {
		tenants = *e.file.Tenants
	}
	return [3]any{unplacedValue(p), unplacedValue(tenants), e.file.Safety}
}

// unplacedValue is a value of the file, wherever it stands.
func unplacedValue(v any) any { return withoutPlaces(reflect.ValueOf(v)).Interface() }

// withoutPlaces copies a value and leaves out every place in a file.
func withoutPlaces(v reflect.Value) reflect.Value {
	out := reflect.New(v.Type()).Elem()
	switch v.Kind() {
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[policy.Pos]() {
			return out
		}
		for i := range v.NumField() {
			out.Field(i).Set(withoutPlaces(v.Field(i)))
		}
	case reflect.Slice:
		if !v.IsNil() {
			out.Set(reflect.MakeSlice(v.Type(), v.Len(), v.Len()))
		}
		for i := range v.Len() {
			out.Index(i).Set(withoutPlaces(v.Index(i)))
		}
	case reflect.Pointer:
		if _, ok := v.Interface().(*time.Location); ok { // has no place, and fields of its own
			return v
		}
		if !v.IsNil() {
			out.Set(reflect.New(v.Type().Elem()))
			out.Elem().Set(withoutPlaces(v.Elem()))
		}
	default:
		out.Set(v)
	}
	return out
}

// offset is by how much a policy's runs begin later: the same in every process,
// and spread over the policies.
func offset(name string, s policy.Schedule, bound time.Duration) time.Duration {
	if c := cycle(s, time.Now()); c > 0 {
		bound = min(bound, c/10)
	}
	if bound <= 0 {
		return 0
	}
	h := fnv.New64a()
	h.Write([]byte(name))
	return time.Duration(h.Sum64() % uint64(bound)).Truncate(time.Millisecond)
}

// cycle is the time from the next time of a schedule to the one after it; 0: there
// are no two.
func cycle(s policy.Schedule, now time.Time) time.Duration {
	first := s.Next(now)
	if second := s.Next(first); !second.IsZero() {
		return second.Sub(first)
	}
	return 0
}

// next is when the policy runs next; nil: never.
func (e entry) next(now time.Time) *time.Time {
	t := e.schedule.Next(now.Add(-e.later))
	if t.IsZero() {
		return nil
	}
	t = t.Add(e.later)
	return &t
}
