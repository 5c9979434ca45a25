package purge_test

import (
	"bytes"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/reaperdb/reaper/purge"
)

// Ten thousand tenants that failed for one reason were ten thousand lines of the log.
func TestFailedTenants_LoggedByReason(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, message, arg string
		want               []string // lines
	}{
		{"one reason", "not this one", "", []string{`error="not this one (SQLSTATE P0001), in function refuse; possibly caused by trigger poison of public.events" count=30 tenants="1, 10, `}},
		{"a reason for each tenant", "not %", ", OLD.owner", append(
			slices.Repeat([]string{" count=1 tenants="}, 10), `msg="tenants failed for other reasons"`)},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := prepare(t, many+`
				CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
					RAISE EXCEPTION '`+c.message+`'`+c.arg+`; END $$;
				CREATE TRIGGER poison AFTER DELETE ON events FOR EACH ROW WHEN (OLD.owner <= 30) EXECUTE FUNCTION refuse()`, manyPolicy)
			var log bytes.Buffer
			b.runner.Log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn}))
			b.purge().is(purge.Incomplete, "30 tenants failed: ")
			lines := strings.Split(strings.TrimSpace(log.String()), "\n")
			if len(lines) != len(c.want) {
				t.Fatalf("%d lines, want %d:\n%s", len(lines), len(c.want), &log)
			}
			for i, want := range c.want {
				if !strings.Contains(lines[i], want) || !strings.Contains(lines[i], `msg="tenants failed`) {
					t.Errorf("line %d is %s\nwant %q", i, lines[i], want)
				}
			}
		})
	}
}
