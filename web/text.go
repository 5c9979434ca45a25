package web

import (
	"fmt"
	"html/template"
	"math"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/reaperdb/reaper/internal/visible"
)

const (
	longest     = 500 // characters shown of a text from outside
	longestName = 80  // and of a name
)

// span formats a duration in at most two units.
func span(d time.Duration) string {
	d = d.Abs()
	two := func(n, m int64, big, small string) string {
		if m == 0 {
			return fmt.Sprintf("%d %s", n, big)
		}
		return fmt.Sprintf("%d %s %d %s", n, big, m, small)
	}
	s, minutes, hours := int64(d/time.Second), int64(d/time.Minute), int64(d/time.Hour)
	switch {
	case hours >= 100*24:
		return fmt.Sprintf("%d d", hours/24)
	case hours >= 48:
		return two(hours/24, hours%24, "d", "h")
	case hours >= 1:
		return two(hours, minutes%60, "h", "min")
	case minutes >= 10:
		return fmt.Sprintf("%d min", minutes)
	case minutes >= 1:
		return two(minutes, s%60, "min", "s")
	case d >= 10*time.Second || d%time.Second == 0:
		return fmt.Sprintf("%d s", s)
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

// spanOf formats a duration given in seconds, of any size.
func spanOf(seconds float64) string {
	const most = 1e9 // 31 years; beyond that a Duration would overflow soon
	switch {
	case seconds >= most:
		return "over 30 years"
	case seconds >= 0:
		return span(time.Duration(seconds * float64(time.Second)))
	}
	return "0 s"
}

// since formats a time relative to another.
func since(at, now time.Time) string {
	switch d := now.Sub(at).Truncate(time.Second); {
	case d >= time.Second:
		return span(d) + " ago"
	case d <= -time.Second:
		return "in " + span(d)
	}
	return "now"
}

// clock formats a time in UTC, with only as much of the date as necessary.
func clock(at, now time.Time) string {
	at, now = at.UTC(), now.UTC()
	switch {
	case at.Format(time.DateOnly) == now.Format(time.DateOnly):
		return at.Format("15:04 UTC")
	case at.Year() == now.Year():
		return at.Format("2 Jan 15:04 UTC")
	}
	return at.Format("2 Jan 2006 15:04 UTC")
}

func count(n int64) string { return humanize.Comma(n) }

func size(n int64) string { return humanize.IBytes(uint64(max(n, 0))) }

// measure formats a guard's value in its unit.
func measure(value float64, unit string) string {
	switch unit {
	case "bytes":
		return signed(value)
	case "bytes_per_second":
		return signed(value) + "/s"
	case "seconds":
		return spanOf(value)
	case "ratio":
		return humanize.Ftoa(math.Round(1000*value)/10) + " %"
	}
	return humanize.Commaf(math.Round(100*value) / 100)
}

// signed formats a number of bytes that may be negative.
func signed(bytes float64) string {
	const most = 1 << 62 // beyond that it would not fit
	if bytes < 0 {
		return "-" + size(int64(min(-bytes, most)))
	}
	return size(int64(min(bytes, most)))
}

// rate formats rows per second without meaningless digits.
func rate(n float64) string {
	switch {
	case n >= 10:
		return humanize.Commaf(math.Round(n)) + "/s"
	case n > 0 && n < 0.01:
		return "below 0.01/s"
	}
	return humanize.Ftoa(math.Round(100*n)/100) + "/s"
}

// plural formats "1 policy", "2 policies".
func plural(n int64, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return count(n) + " " + more
}

// external formats text from outside for the page: of bounded length, with escapes for what
// is invisible or changes the direction of the text around it.
func external(text string) string { return shortened(text, longest) }

// brief is foreign, for names.
func brief(name string) string { return shortened(name, longestName) }

// breakable is brief for a table's name, which may wrap after a dot or an underscore.
func breakable(name string) template.HTML {
	return template.HTML(strings.NewReplacer(".", ".<wbr>", "_", "_<wbr>").Replace(template.HTMLEscapeString(brief(name))))
}

func shortened(text string, characters int) string {
	if text == "" {
		return `""`
	}
	return visible.Brief(text, characters)
}
