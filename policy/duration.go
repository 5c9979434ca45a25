package policy

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// Duration is a length of time in calendar units, like PostgreSQL's interval: months, days
// and microseconds are never converted into each other.
type Duration struct {
	Months, Days int32
	Micros       int64
	Forever      bool   // keep everything; the other fields are zero
	Text         string // as written
	Pos          Pos
}

const forever = "forever"

// maxMicros bounds hours, minutes and seconds together: PostgreSQL 14 reads at most 32
// bits of hours.
const maxMicros = math.MaxInt32 * int64(time.Hour/time.Microsecond)

// durationRemedy ends every message about a malformed duration.
const durationRemedy = "write a whole number with a unit of s, m, h, d, w, mo, y, like 90d or 1y6mo, or forever"

// durationUnits maps each unit to months, days or microseconds. No name is a prefix of a
// later one, so the first match is right.
var durationUnits = []struct {
	name                 string
	months, days, micros int64
}{
	{name: "mo", months: 1},
	{name: "y", months: 12},
	{name: "w", days: 7},
	{name: "d", days: 1},
	{name: "h", micros: time.Hour.Microseconds()},
	{name: "m", micros: time.Minute.Microseconds()},
	{name: "s", micros: time.Second.Microseconds()},
}

// ParseDuration parses a duration of the policy file: `forever`, or whole numbers with
// units (`90d`, `1y6mo`), each unit at most once, in any order. The result's Text is s;
// its Pos is unknown.
func ParseDuration(s string) (Duration, error) {
	d := Duration{Text: s}
	if s == forever {
		d.Forever = true
		return d, nil
	}
	if isDigits(s) {
		return Duration{}, fmt.Errorf("duration %s has no unit: write %sd for days, or use another unit of s, m, h, d, w, mo, y", s, s)
	}
	var seen []string
	for rest := s; ; {
		unit, after, err := d.add(rest)
		switch {
		case err != nil:
			return Duration{}, fmt.Errorf("duration %q: %w", s, err)
		case slices.Contains(seen, unit):
			return Duration{}, fmt.Errorf("duration %q has the unit %s twice: add the two numbers", s, unit)
		case after == "":
			return d, nil
		}
		seen = append(seen, unit)
		rest = after
	}
}

// add adds the number and unit at the start of s and returns the rest of s.
func (d *Duration) add(s string) (unit, rest string, err error) {
	digits := len(s) - len(strings.TrimLeft(s, "0123456789"))
	switch {
	case strings.HasPrefix(s, " "):
		return "", "", errors.New("it contains a space: " + durationRemedy)
	case digits == 0:
		return "", "", errors.New(durationRemedy)
	}
	var n int64
	for _, c := range s[:digits] {
		if n > (math.MaxInt64-9)/10 {
			return "", "", fmt.Errorf("%s is too large: write a smaller number, or forever", s[:digits])
		}
		n = n*10 + int64(c-'0')
	}
	for _, u := range durationUnits {
		after, ok := strings.CutPrefix(s[digits:], u.name)
		if !ok {
			continue
		}
		months, okMonths := addTimes(int64(d.Months), n, u.months, math.MaxInt32)
		days, okDays := addTimes(int64(d.Days), n, u.days, math.MaxInt32)
		micros, okMicros := addTimes(d.Micros, n, u.micros, maxMicros)
		if !okMonths || !okDays || !okMicros {
			return "", "", errors.New("longer than an interval can be: write a smaller number, or forever")
		}
		d.Months, d.Days, d.Micros = int32(months), int32(days), micros
		return u.name, after, nil
	}
	word := s[digits:]
	if i := strings.IndexAny(word, "0123456789"); i >= 0 {
		word = word[:i]
	}
	if word == "" {
		return "", "", fmt.Errorf("%s has no unit: %s", s[:digits], durationRemedy)
	}
	return "", "", fmt.Errorf("unknown unit %q: %s", word, durationRemedy)
}

// addTimes returns sum + n×factor, and whether it is within limit. No argument may be
// negative.
func addTimes(sum, n, factor, limit int64) (int64, bool) {
	if factor != 0 && n > (limit-sum)/factor {
		return 0, false
	}
	return sum + n*factor, true
}

func isDigits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

// Approximately returns the duration with months of 31 days, or the longest that there is (292 years)
// if it is longer; 0 for forever.
func (d Duration) Approximately() time.Duration {
	const day = float64(24 * time.Hour)
	if long := float64(d.Months)*31*day + float64(d.Days)*day + float64(d.Micros)*1000; long >= math.MaxInt64 {
		return math.MaxInt64
	}
	return time.Duration(d.Months)*31*24*time.Hour + time.Duration(d.Days)*24*time.Hour + time.Duration(d.Micros)*time.Microsecond
}

// IsZero reports whether d has no length.
func (d Duration) IsZero() bool {
	return !d.Forever && d.Months == 0 && d.Days == 0 && d.Micros == 0
}

// Before returns the time that lies the duration before t, by the calendar, in UTC. d must not be
// forever.
func (d Duration) Before(t time.Time) time.Time {
	return t.UTC().AddDate(0, -int(d.Months), -int(d.Days)).Add(-time.Duration(d.Micros) * time.Microsecond)
}

// Interval returns d as text that PostgreSQL parses exactly as an interval, whatever its
// IntervalStyle. For Forever it returns "", which PostgreSQL refuses.
func (d Duration) Interval() string {
	if d.Forever {
		return ""
	}
	// The time-of-day form, because PostgreSQL 14 reads the number before a unit as 32
	// bits: `7200000000 microseconds` is out of range.
	return fmt.Sprintf("%d mons %d days %s", d.Months, d.Days, clock(d.Micros))
}

// clock formats microseconds as [-]H:MM:SS[.ffffff].
func clock(micros int64) string {
	sign, left := "", uint64(micros)
	if micros < 0 {
		sign, left = "-", -left
	}
	fraction := ""
	if f := left % 1e6; f != 0 {
		fraction = fmt.Sprintf(".%06d", f)
	}
	left /= 1e6
	return fmt.Sprintf("%s%02d:%02d:%02d%s", sign, left/3600, left/60%60, left%60, fraction)
}

// String returns the canonical short form, which ParseDuration parses: `1y6mo`, `90d`,
// `forever`. Values that the policy file cannot express, negative ones and fractions of a
// second, are formatted like Interval.
func (d Duration) String() string {
	const second = int64(1e6)
	switch {
	case d.Forever:
		return forever
	case d.IsZero():
		return "0d"
	case d.Months < 0, d.Days < 0, d.Micros < 0, d.Micros%second != 0:
		return d.Interval()
	}
	seconds := d.Micros / second
	var b strings.Builder
	for _, part := range []struct {
		n    int64
		unit string
	}{
		{int64(d.Months / 12), "y"},
		{int64(d.Months % 12), "mo"},
		{int64(d.Days), "d"},
		{seconds / 3600, "h"},
		{seconds / 60 % 60, "m"},
		{seconds % 60, "s"},
	} {
		if part.n != 0 {
			fmt.Fprintf(&b, "%d%s", part.n, part.unit)
		}
	}
	return b.String()
}

// definitelyShorter reports whether d is shorter than other in every calendar: a month has 28
// to 31 days, a year 365 or 366. Neither may be negative.
func (d Duration) definitelyShorter(other Duration) bool {
	if d.Forever || other.Forever {
		return !d.Forever && other.Forever
	}
	longestDays, longestMicros := d.bound(366, 31)
	shortestDays, shortestMicros := other.bound(365, 28)
	if longestDays != shortestDays {
		return longestDays < shortestDays
	}
	return longestMicros < shortestMicros
}

// bound returns d in days and microseconds of a day, for the given lengths of a year and
// a month in days.
func (d Duration) bound(year, month int64) (days, micros int64) {
	const day = 24 * 3600 * int64(1e6)
	months := int64(d.Months)
	days = months/12*year + months%12*month + int64(d.Days) + d.Micros/day
	return days, d.Micros % day
}
