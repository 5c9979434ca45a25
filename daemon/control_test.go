package daemon

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

// calls are what was done with a ledger, and what of it fails.
type calls struct {
	made []string
	fail map[string]error
}

func (c *calls) call(what string) error {
	c.made = append(c.made, what)
	return c.fail[what]
}

func (c *calls) Usable(context.Context) error  { return c.call("usable") }
func (c *calls) Migrate(context.Context) error { return c.call("migrate") }

func (c *calls) step(what string) func(context.Context) error {
	return func(context.Context) error { return c.call(what) }
}

func TestControl(t *testing.T) {
	t.Parallel()
	dropped := &pgconn.PgError{Code: "42P01", Message: "gone"}
	type round struct {
		down  bool   // the database
		fails string // what of it, with what
		with  error
		does  string
		ready bool
		says  string // why the ledger cannot be used
	}
	for _, c := range []struct {
		name    string
		observe bool
		rounds  []round
		logs    int
	}{
		{"it is made once, and then used", false, []round{
			{does: "usable migrate lease read", ready: true},
			{does: "lease read", ready: true},
		}, 0},
		{"an observer need not write", true, []round{{does: "migrate lease read", ready: true}}, 0},
		{"a role that may not: told once, and tried again", false, []round{
			{fails: "usable", with: errors.New("no"), does: "usable", says: "no"},
			{fails: "usable", with: errors.New("no"), does: "usable", says: "no"},
			{does: "usable migrate lease read", ready: true},
		}, 1},
		{"a step that fails ends the round", false, []round{
			{fails: "lease", with: errors.New("no"), does: "usable migrate lease", ready: true, says: "no"},
			{fails: "read", with: errors.New("never"), does: "lease read", ready: true, says: "never"},
		}, 2},
		{"a ledger that was dropped is made anew", false, []round{
			{does: "usable migrate lease read", ready: true},
			{fails: "read", with: dropped, does: "lease read", says: "gone (42P01)"},
			{does: "usable migrate lease read", ready: true},
		}, 1},
		{"a database that is away says nothing of the ledger", false, []round{
			{does: "usable migrate lease read", ready: true},
			{down: true, fails: "lease", with: errors.New("refused"), does: "lease", ready: true},
		}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			log, up := &logbook{}, true
			l := &calls{}
			control := newControl(l, c.observe, func() bool { return up }, log.complain, l.step("lease"), l.step("read"))
			if control.ready() || control.trouble() == "" {
				t.Error("nobody has looked yet, and it is ready")
			}
			for i, r := range c.rounds {
				l.made, l.fail, up = nil, map[string]error{r.fails: r.with}, !r.down
				control.round(t.Context())
				if did := strings.Join(l.made, " "); did != r.does || control.ready() != r.ready || control.trouble() != r.says {
					t.Errorf("round %d did %q; ready: %t; %q\nwant %+v", i, did, control.ready(), control.trouble(), r)
				}
			}
			log.says(t, "still failing", c.logs)
		})
	}
}
