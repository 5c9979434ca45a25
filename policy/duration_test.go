package policy

import (
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

func TestParseDuration(t *testing.T) {
	const hour = 3_600_000_000
	for _, tt := range []struct {
		in       string
		want     Duration
		short    string
		interval string
	}{
		{"90d", Duration{Days: 90}, "90d", "0 mons 90 days 00:00:00"},
		{"1y6mo", Duration{Months: 18}, "1y6mo", "18 mons 0 days 00:00:00"},
		{"6mo1y", Duration{Months: 18}, "1y6mo", "18 mons 0 days 00:00:00"},
		{"2w1d", Duration{Days: 15}, "15d", "0 mons 15 days 00:00:00"},
		{"5m3mo", Duration{Months: 3, Micros: hour / 12}, "3mo5m", "3 mons 0 days 00:05:00"},
		{"1h1m1s", Duration{Micros: hour + 61_000_000}, "1h1m1s", "0 mons 0 days 01:01:01"},
		{"90s", Duration{Micros: 90_000_000}, "1m30s", "0 mons 0 days 00:01:30"},
		{"100h", Duration{Micros: 100 * hour}, "100h", "0 mons 0 days 100:00:00"},
		{"0d", Duration{}, "0d", "0 mons 0 days 00:00:00"},
		{"0y0s", Duration{}, "0d", "0 mons 0 days 00:00:00"},
		{"007d", Duration{Days: 7}, "7d", "0 mons 7 days 00:00:00"},
		{"2147483647d", Duration{Days: math.MaxInt32}, "2147483647d", "0 mons 2147483647 days 00:00:00"},
		{"178956970y7mo", Duration{Months: math.MaxInt32}, "178956970y7mo", "2147483647 mons 0 days 00:00:00"},
		{"2147483647h", Duration{Micros: maxMicros}, "2147483647h", "0 mons 0 days 2147483647:00:00"},
		{"forever", Duration{Forever: true}, "forever", ""},
	} {
		got, err := ParseDuration(tt.in)
		if err != nil {
			t.Errorf("%s: %v", tt.in, err)
			continue
		}
		tt.want.Text = tt.in
		if diff := cmp.Diff(tt.want, got); diff != "" {
			t.Errorf("%s: %s", tt.in, diff)
		}
		if got.String() != tt.short || got.Interval() != tt.interval {
			t.Errorf("%s is %q and %q, want %q and %q", tt.in, got, got.Interval(), tt.short, tt.interval)
		}
	}
}

func TestParseDurationRefuses(t *testing.T) {
	for in, words := range map[string]string{
		"":                      "whole number",
		"30":                    "write 30d",
		"d":                     "whole number",
		"1mo30x":                `unknown unit "x"`,
		"1M":                    `unknown unit "M"`,
		"1D":                    `unknown unit "D"`,
		"1d 1h":                 "a space",
		" 1d":                   "a space",
		"1d ":                   "a space",
		"1.5d":                  `unknown unit ".": write`,
		"-1d":                   "whole number",
		"+1d":                   "whole number",
		"1d2d":                  "twice",
		"1d0d":                  "twice",
		"Forever":               "whole number",
		"forever1d":             "whole number",
		"2147483648d":           "longer",
		"306783379w":            "longer",
		"2147483647d1w":         "longer",
		"178956970y8mo":         "longer",
		"2147483647h1s":         "longer",
		"9223372036854775807s":  "too large",
		"9223372036854775808":   "write",
		"92233720368547758070d": "too large",
		"٣d":                    "whole number",
	} {
		if d, err := ParseDuration(in); err == nil {
			t.Errorf("%q is %+v, want an error", in, d)
		} else if !strings.Contains(err.Error(), words) {
			t.Errorf("%q: %v, want %q in it", in, err, words)
		}
	}
}

// Values that PostgreSQL returns and the policy file cannot express still have a text.
func TestDurationFromElsewhere(t *testing.T) {
	for want, d := range map[string]Duration{
		"0 mons 0 days 00:00:00.000001":              {Micros: 1},
		"-1 mons 3 days -00:00:01.500000":            {Months: -1, Days: 3, Micros: -1_500_000},
		"0 mons 0 days -2562047788:00:54.775808":     {Micros: math.MinInt64},
		"-2147483648 mons -2147483648 days 00:00:00": {Months: math.MinInt32, Days: math.MinInt32},
	} {
		if got := d.String(); got != want {
			t.Errorf("%+v is %q, want %q", d, got, want)
		}
	}
}

func anyDuration() *rapid.Generator[Duration] {
	return rapid.Custom(func(t *rapid.T) Duration {
		return Duration{
			Months: rapid.Int32Min(0).Draw(t, "months"),
			Days:   rapid.Int32Min(0).Draw(t, "days"),
			Micros: rapid.Int64Range(0, maxMicros/1_000_000).Draw(t, "seconds") * 1_000_000,
		}
	})
}

func TestDurationRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := anyDuration().Draw(t, "duration")
		got, err := ParseDuration(want.String())
		if err != nil {
			t.Fatal(err)
		}
		want.Text = want.String()
		if got != want {
			t.Fatalf("%q reads back as %+v, want %+v", want, got, want)
		}
	})
}

// Of two durations at most one is surely shorter, and adding to the longer one changes
// nothing.
func TestSurelyShorter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := anyDuration().Draw(t, "a"), anyDuration().Draw(t, "b")
		if a.definitelyShorter(a) || a.definitelyShorter(b) && b.definitelyShorter(a) {
			t.Fatalf("no order between %s and %s", a, b)
		}
		if b.Days < math.MaxInt32 && a.definitelyShorter(b) {
			b.Days++
			if !a.definitelyShorter(b) {
				t.Fatalf("%s is not shorter than %s, a day longer than before", a, b)
			}
		}
		if endless := (Duration{Forever: true}); !a.definitelyShorter(endless) || endless.definitelyShorter(a) {
			t.Fatalf("forever is not longer than %s", a)
		}
	})
	for _, tt := range []struct {
		a, b string
		want bool
	}{
		{"27d", "1mo", true},
		{"28d", "1mo", false},
		{"1mo", "31d", false},
		{"1mo", "32d", true},
		{"364d", "1y", true},
		{"365d", "12mo", false},
		{"1y", "367d", true},
		{"24h", "1d", false},
		{"23h", "1d", true},
		{"forever", "forever", false},
	} {
		a, errA := ParseDuration(tt.a)
		b, errB := ParseDuration(tt.b)
		if errA != nil || errB != nil {
			t.Fatal(errA, errB)
		}
		if got := a.definitelyShorter(b); got != tt.want {
			t.Errorf("%s surely shorter than %s: %t, want %t", a, b, got, tt.want)
		}
	}
}

func FuzzParseDuration(f *testing.F) {
	for _, seed := range []string{"90d", "1y6mo", "forever", "1mo30x", "0s", "99999999999999999999h", ""} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := ParseDuration(s)
		if err != nil {
			return
		}
		if d.Months < 0 || d.Days < 0 || d.Micros < 0 || d.Forever && !(Duration{Forever: true, Text: s} == d) {
			t.Fatalf("%q is %+v", s, d)
		}
		back, err := ParseDuration(d.String())
		if back.Text = s; err != nil || back != d {
			t.Fatalf("%q is %+v, written %q, read back %+v, %v", s, d, d, back, err)
		}
	})
}
