package guard

import (
	"testing"
	"time"
)

func hours(from, to int, days ...time.Weekday) Window {
	w := Window{From: from * 60, To: to * 60}
	for _, day := range days {
		w.Days[day] = true
	}
	return w
}

func TestWindows(t *testing.T) {
	t.Parallel()
	paris, err := time.LoadLocation("Europe/Paris")
	if err != nil {
		t.Fatal(err)
	}
	night := hours(22, 6)
	night.Zone = paris
	dawn := Window{From: 2*60 + 15, To: 2*60 + 45, Zone: paris}
	weekend := hours(0, 24, time.Saturday, time.Sunday)
	friday := hours(22, 6, time.Friday)
	for _, c := range []struct {
		name string
		all  []Window
		at   string
		next string // empty: open
	}{
		{"before the night", []Window{night}, "2026-07-01T19:59:00Z", "Wed 1 Jul 22:00 CEST"},
		{"the night begins", []Window{night}, "2026-07-01T20:00:00Z", ""},
		{"the night's last minute", []Window{night}, "2026-07-02T03:59:59Z", ""},
		{"the night has ended", []Window{night}, "2026-07-02T04:00:00Z", "Thu 2 Jul 22:00 CEST"},
		{"an hour later in winter", []Window{night}, "2026-12-01T20:30:00Z", "Tue 1 Dec 22:00 CET"},
		{"a day of the weekend", []Window{weekend}, "2026-07-05T23:59:59Z", ""},
		{"Monday", []Window{weekend}, "2026-07-06T00:00:00Z", "Sat 11 Jul 00:00 UTC"},
		{"Friday's night is over on Saturday morning", []Window{friday}, "2026-07-04T05:59:00Z", ""},
		{"Saturday's is none", []Window{friday}, "2026-07-04T22:30:00Z", "Fri 10 Jul 22:00 UTC"},
		{"Friday before dawn is Thursday's night", []Window{friday}, "2026-07-03T03:00:00Z", "Fri 3 Jul 22:00 UTC"},
		{"either of two", []Window{weekend, night}, "2026-07-06T12:00:00Z", "Mon 6 Jul 22:00 CEST"},
		// On 29 March 2026 there is no 2:15 in Paris, on 25 October there are two.
		{"an hour that is left out", []Window{dawn}, "2026-03-29T01:20:00Z", "Mon 30 Mar 02:15 CEST"},
		{"the first of two", []Window{dawn}, "2026-10-25T00:20:00Z", ""},
		{"the second of two", []Window{dawn}, "2026-10-25T01:20:00Z", ""},
		{"between the two", []Window{dawn}, "2026-10-25T00:50:00Z", "Sun 25 Oct 02:15 CET"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			at, err := time.Parse(time.RFC3339, c.at)
			if err != nil {
				t.Fatal(err)
			}
			w := windows{all: c.all, now: func() time.Time { return at }}
			measures, err := w.read(t.Context(), nil)
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			if len(measures) > 0 {
				got = measures[0].reason
			}
			want := ""
			if c.next != "" {
				want = "outside the allowed windows; the next opens " + c.next
			}
			if got != want {
				t.Errorf("%q, want %q", got, want)
			}
		})
	}
}
