package guard

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
)

// An outage of the database is told by whoever asks it, and not by each guard.
func TestLogChange(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		now, before Reading
		level       string
	}{
		"pauses":                      {Reading{State: Pause, Reason: "full"}, Reading{}, "WARN"},
		"goes on":                     {Reading{State: Go}, Reading{State: Pause}, "INFO"},
		"cannot be read":              {Reading{State: Pause, Unknown: "no privilege"}, Reading{}, "WARN"},
		"the database is down":        {Reading{State: Pause, Unknown: databaseAway}, Reading{}, "DEBUG"},
		"it is up again":              {Reading{State: Go}, Reading{State: Pause, Unknown: databaseAway}, "DEBUG"},
		"it is up again, and it full": {Reading{State: Pause, Reason: "full"}, Reading{State: Pause, Unknown: databaseAway}, "WARN"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var b bytes.Buffer
			logChange(t.Context(), slog.New(slog.NewTextHandler(&b, &slog.HandlerOptions{Level: slog.LevelDebug})), c.now, c.before)
			if !strings.Contains(b.String(), "level="+c.level+" ") {
				t.Errorf("%s, want %s", b.String(), c.level)
			}
		})
	}
}
