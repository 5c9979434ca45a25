package policy_test

import (
	"slices"
	"testing"
	"time"

	"github.com/reaperdb/reaper/policy"
)

func at(t *testing.T, text string) time.Time {
	t.Helper()
	x, err := time.Parse(time.RFC3339, text)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func TestSchedule(t *testing.T) {
	paris, err := time.LoadLocation("Europe/Paris")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		text  string
		zone  *time.Location
		after string
		next  string
	}{
		{"15 */6 * * *", time.UTC, "2026-11-24T05:00:00Z", "2026-11-24T06:15:00Z"},
		{"15 */6 * * *", time.UTC, "2026-11-24T06:15:00Z", "2026-11-24T12:15:00Z"}, // strictly after
		{"30 2 * * *", paris, "2026-11-24T00:00:00Z", "2026-11-24T01:30:00Z"},
		{"CRON_TZ=Europe/Paris 30 2 * * *", time.UTC, "2026-07-24T00:00:00Z", "2026-07-24T00:30:00Z"},
		{"@daily", time.UTC, "2026-11-24T00:00:00Z", "2026-11-25T00:00:00Z"},
		{"@every 90s", time.UTC, "2026-11-24T00:00:00Z", "2026-11-24T00:01:30Z"},
		{"@every 90s", time.UTC, "2026-11-24T00:01:29Z", "2026-11-24T00:01:30Z"}, // by the clock
		{"0 0 29 2 *", time.UTC, "2026-11-24T00:00:00Z", "2028-02-29T00:00:00Z"},
	} {
		s, err := policy.ParseSchedule(c.text, c.zone)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		if next := s.Next(at(t, c.after)); !next.Equal(at(t, c.next)) {
			t.Errorf("%s after %s: %s, want %s", c.text, c.after, next, c.next)
		}
	}
}

func TestSchedule_Refused(t *testing.T) {
	for _, text := range []string{
		"", "* * * *", "60 * * * *", "never", "0 0 31 2 *", "TZ=0", "CRON_TZ=X", "CRON_TZ=Nowhere/Else 0 0 * * *", "@every 0s", "@every 1ms", "@every 1500ms", "@every -1h", "@reboot",
	} {
		if s, err := policy.ParseSchedule(text, time.UTC); err == nil {
			t.Errorf("%q is taken, as %s", text, s)
		}
	}
}

func TestSchedule_Last(t *testing.T) {
	for _, c := range []struct{ text, after, now, last string }{
		{"15 */6 * * *", "2026-11-01T00:00:00Z", "2026-11-24T06:15:00Z", "2026-11-24T06:15:00Z"},
		{"15 */6 * * *", "2026-11-01T00:00:00Z", "2026-11-24T06:14:59Z", "2026-11-24T00:15:00Z"},
		{"* * * * *", "2016-11-01T00:00:00Z", "2026-11-24T06:14:59Z", "2026-11-24T06:14:00Z"},
		{"0 0 1 1 *", "2016-11-01T00:00:00Z", "2026-11-24T06:14:59Z", "2026-01-01T00:00:00Z"},
		{"0 0 1 1 *", "2026-11-01T00:00:00Z", "2026-11-24T06:14:59Z", ""},
	} {
		s, err := policy.ParseSchedule(c.text, time.UTC)
		if err != nil {
			t.Fatal(err)
		}
		last := s.Last(at(t, c.after), at(t, c.now))
		if c.last == "" && !last.IsZero() || c.last != "" && !last.Equal(at(t, c.last)) {
			t.Errorf("%s up to %s: %s, want %s", c.text, c.now, last, c.last)
		}
	}
}

func TestSchedule_Longest(t *testing.T) {
	from := at(t, "2026-11-24T05:00:00Z")
	for text, want := range map[string]time.Duration{
		"@every 10s":                     10 * time.Second,
		"*/7 * * * *":                    7 * time.Minute,
		"0 */6 * * *":                    6 * time.Hour,
		"@weekly":                        7 * 24 * time.Hour,
		"0 9,17 * * *":                   16 * time.Hour,
		"*/5 9-17 * * 1-5":               (24+24+15)*time.Hour + 5*time.Minute, // over a weekend
		"CRON_TZ=Europe/Paris 0 3 * * *": 25 * time.Hour,
		"0 0 29 2 *":                     (4*365 + 1) * 24 * time.Hour,
	} {
		s, err := policy.ParseSchedule(text, time.UTC)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Longest(from); got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
	if got := (policy.Schedule{}).Longest(from); got != 0 {
		t.Errorf("the zero Schedule: %s", got)
	}
}

// When clocks change, a time that does not exist is skipped, and one that occurs twice is
// due twice; docs/POLICY.md says so.
func TestSchedule_ClockChange(t *testing.T) {
	paris, err := time.LoadLocation("Europe/Paris")
	if err != nil {
		t.Fatal(err)
	}
	s, err := policy.ParseSchedule("30 2 * * *", paris)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, from, to string
		want           []string
	}{
		{"spring", "2026-03-28T00:00:00Z", "2026-03-31T00:00:00Z", []string{"2026-03-28T01:30:00Z", "2026-03-30T00:30:00Z"}},
		{"autumn", "2026-10-24T00:00:00Z", "2026-10-26T12:00:00Z", []string{"2026-10-24T00:30:00Z", "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", "2026-10-26T01:30:00Z"}},
	} {
		var got []string
		for next := s.Next(at(t, c.from)); next.Before(at(t, c.to)); next = s.Next(next) {
			got = append(got, next.Format(time.RFC3339))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}
