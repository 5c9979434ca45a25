package guard

import (
	"context"
	"fmt"
	"time"
)

// windows are the times at which batches may run.
type windows struct {
	all []Window
	now func() time.Time // nil means time.Now
}

func (w *windows) read(context.Context, session) ([]measure, error) {
	now := time.Now()
	if w.now != nil {
		now = w.now()
	}
	if w.open(now) {
		return nil, nil
	}
	reason := "outside the allowed windows"
	if next := w.next(now); !next.IsZero() {
		reason += "; the next opens " + next.Format("Mon 2 Jan 15:04 MST")
	}
	return []measure{{state: Pause, reason: reason}}, nil
}

func (w *windows) open(t time.Time) bool { return w.zoneOpen(t) != nil }

// zoneOpen returns the zone of an open window, or nil if none is open.
func (w *windows) zoneOpen(t time.Time) *time.Location {
	for _, window := range w.all {
		if window.open(t) {
			return window.zone()
		}
	}
	return nil
}

// next returns the first minute at which a window is open, in its zone, or zero if
// there is none within eight days. It steps minute by minute, because clock changes may
// skip some or repeat them.
func (w *windows) next(after time.Time) time.Time {
	t := after.Truncate(time.Minute)
	for range 8 * 24 * 60 {
		t = t.Add(time.Minute)
		if zone := w.zoneOpen(t); zone != nil {
			return t.In(zone)
		}
	}
	return time.Time{}
}

// LongestClosed is the longest time in a row, of the week after from, in which no window of Allow is
// open; 0: none is closed.
func (c Config) LongestClosed(from time.Time) time.Duration {
	if len(c.Allow) == 0 {
		return 0
	}
	w := windows{all: c.Allow}
	var longest, closed time.Duration
	t := from.Truncate(time.Minute)
	for range 8 * 24 * 60 {
		if closed += time.Minute; w.open(t) {
			closed = 0
		}
		longest = max(longest, closed)
		t = t.Add(time.Minute)
	}
	return longest
}

// open reports whether the window is open, by the wall clock.
func (w Window) open(t time.Time) bool {
	local := t.In(w.zone())
	minute := local.Hour()*60 + local.Minute()
	today, yesterday := w.on(local.Weekday()), w.on((local.Weekday()+6)%7)
	if w.From < w.To {
		return today && w.From <= minute && minute < w.To
	}
	return today && minute >= w.From || yesterday && minute < w.To
}

func (w Window) on(day time.Weekday) bool { return w.Days == [7]bool{} || w.Days[day] }

// String formats the window as a policy file does, with each day named.
func (w Window) String() string {
	days := ""
	for day, on := range w.Days {
		if on && days != "" {
			days += ","
		}
		if on {
			days += time.Weekday(day).String()[:3]
		}
	}
	if days != "" {
		days += " "
	}
	return fmt.Sprintf("%s%02d:%02d-%02d:%02d %s", days, w.From/60, w.From%60, w.To/60, w.To%60, w.zone())
}

func (w Window) zone() *time.Location {
	if w.Zone == nil {
		return time.UTC
	}
	return w.Zone
}
