package policy

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/robfig/cron/v3"
)

// Schedule says when something is due. The zero Schedule is never due.
type Schedule struct {
	text string
	spec cron.Schedule
}

// ParseSchedule parses a cron expression: five fields (minute, hour, day of month, month,
// day of week), a word like @daily, or @every with a duration of at least one second.
// Times are in the given zone unless the expression begins with CRON_TZ=Zone. A schedule
// that is never due is an error.
func ParseSchedule(text string, zone *time.Location) (s Schedule, err error) {
	// The library panics on some mistakes.
	defer func() {
		if recover() != nil {
			s, err = Schedule{}, errors.New("invalid time zone: write CRON_TZ=Europe/Paris before the five fields")
		}
	}()
	full := strings.TrimSpace(text)
	if !strings.HasPrefix(full, "CRON_TZ=") && !strings.HasPrefix(full, "TZ=") && !strings.HasPrefix(full, "@every") {
		full = "CRON_TZ=" + zone.String() + " " + full
	}
	spec, err := cron.ParseStandard(full)
	if err != nil {
		return Schedule{}, malformed(text)
	}
	if every, ok := spec.(cron.ConstantDelaySchedule); ok {
		written, err := time.ParseDuration(strings.TrimSpace(strings.TrimPrefix(full, "@every")))
		if err != nil || written != every.Delay {
			return Schedule{}, errors.New("write whole seconds after @every, at least one")
		}
	}
	s = Schedule{text: strings.TrimSpace(text), spec: spec}
	if s.Next(time.Now()).IsZero() {
		return Schedule{}, errors.New("it would never be due: no such day exists")
	}
	return s, nil
}

// cronFields are the fields of a cron expression, and what each may hold.
var cronFields = []struct{ name, valid string }{
	{"the minute", "0-59"}, {"the hour", "0-23"}, {"the day of the month", "1-31"}, {"the month", "1-12"}, {"the day of the week", "0-6, from Sunday"},
}

// malformed says what is wrong with an expression that the library refuses, in words of ours.
func malformed(text string) error {
	fields := strings.Fields(text)
	if len(fields) > 0 && (strings.HasPrefix(fields[0], "CRON_TZ=") || strings.HasPrefix(fields[0], "TZ=")) {
		_, zone, _ := strings.Cut(fields[0], "=")
		if _, err := time.LoadLocation(zone); err != nil {
			return fmt.Errorf("there is no time zone %q: write one like Europe/Paris", zone)
		}
		fields = fields[1:]
	}
	switch {
	case len(fields) > 0 && strings.HasPrefix(fields[0], "@every"):
		return errors.New("write a time in s, m or h after @every, like @every 90m")
	case len(fields) > 0 && strings.HasPrefix(fields[0], "@"):
		return errors.New("write @hourly, @daily, @weekly, @monthly, @yearly, or five fields, like 15 */6 * * *")
	case len(fields) != len(cronFields):
		return fmt.Errorf("write five fields, like 15 */6 * * *: minute, hour, day of month, month, day of week; it has %d", len(fields))
	}
	for i, f := range cronFields {
		alone := []string{"*", "*", "*", "*", "*"}
		alone[i] = fields[i]
		if _, err := cron.ParseStandard(strings.Join(alone, " ")); err != nil {
			return fmt.Errorf("%s is %q: write %s, a list, a range or a step of these, or *", f.name, fields[i], f.valid)
		}
	}
	return errors.New("write five fields, like 15 */6 * * *")
}

// String returns the schedule as written.
func (s Schedule) String() string { return s.text }

// Next returns the first due time after the given one, or the zero time if there is none.
// It is the same in every process: intervals count by the clock, not from a process's
// start.
func (s Schedule) Next(after time.Time) time.Time {
	switch spec := s.spec.(type) {
	case nil:
		return time.Time{}
	case cron.ConstantDelaySchedule:
		return after.UTC().Truncate(spec.Delay).Add(spec.Delay)
	default:
		return spec.Next(after).UTC()
	}
}

// What Longest looks through, whichever ends first.
const (
	longestSpan  = 400 * 24 * time.Hour
	longestTimes = 4000
)

// Longest is the longest time between two times of the schedule in a row, over the
// next year at most; 0: there are no two. It is the length of a cycle where all are
// the same.
func (s Schedule) Longest(from time.Time) time.Duration {
	if every, ok := s.spec.(cron.ConstantDelaySchedule); ok {
		return every.Delay
	}
	var longest time.Duration
	last := s.Next(from)
	for n, t := 0, s.Next(last); n < longestTimes && !t.IsZero(); n, t = n+1, s.Next(t) {
		longest, last = max(longest, t.Sub(last)), t
		if t.Sub(from) > longestSpan {
			break
		}
	}
	return longest
}

// Last returns the latest due time after `after` and up to now, or the zero time if there
// is none.
func (s Schedule) Last(after, now time.Time) time.Time {
	// Search from near to far, so that a minutely schedule is not enumerated over years.
	for _, span := range []time.Duration{time.Hour, 24 * time.Hour, 32 * 24 * time.Hour, 367 * 24 * time.Hour} {
		from := now.Add(-span)
		if from.Before(after) {
			from = after
		}
		var last time.Time
		for t := s.Next(from); !t.IsZero() && !t.After(now); t = s.Next(t) {
			last = t
		}
		if !last.IsZero() || from.Equal(after) {
			return last
		}
	}
	return time.Time{}
}
