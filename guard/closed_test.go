package guard

import (
	"testing"
	"time"
)

func TestLongestClosed(t *testing.T) {
	t.Parallel()
	monday := time.Date(2026, 3, 2, 4, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		allow []Window
		want  time.Duration
	}{
		"always open":   {nil, 0},
		"at night":      {[]Window{hours(1, 5)}, 20 * time.Hour},
		"over midnight": {[]Window{hours(22, 4)}, 18 * time.Hour},
		"twice a day":   {[]Window{hours(1, 5), hours(12, 13)}, 12 * time.Hour},
		"weekdays":      {[]Window{hours(1, 5, 1, 2, 3, 4, 5)}, (24*3 - 4) * time.Hour},
	} {
		if got := (Config{Allow: c.allow}).LongestClosed(monday); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}
