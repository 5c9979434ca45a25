package main

import (
	"context"
	_ "embed"
	"fmt"
	"time"

	"github.com/reaperdb/reaper/internal/lab"
)

//go:embed mail.yaml
var mailPolicy string

// side is one way that reaper itself deletes the mail workload.
type side struct {
	name     string // for -sides
	template string
	proven   bool   // foreign_key_checks: proven
	pace     string // empty: the default, full
	guards   string // the section of the policy file; empty: there is none
}

// usual is the side that most parts take: default settings, CASCADE keys.
var usual = side{name: "cascade", template: cascading}

var sides = []side{
	usual,
	{name: "cascade-proven", template: cascading, proven: true},
	{name: "no-action", template: noAction},
	{name: "no-action-proven", template: noAction, proven: true},
}

// title is the side's name in the table.
func (s side) title() string {
	keys, checks := "CASCADE", "default"
	if s.template == noAction {
		keys = "NO ACTION"
	}
	if s.proven {
		checks = "proven"
	}
	return fmt.Sprintf("reaper, %s, %s keys", checks, keys)
}

// policy is the policy file. What a side changes comes after mail.yaml, whose
// last lines are those of its one policy.
func (s side) policy() string {
	text := mailPolicy
	if s.template == noAction {
		text += "    undecided: delete\n"
	}
	if s.pace != "" {
		text += "    limits: {pace: " + s.pace + "}\n"
	}
	if s.proven {
		text += "safety: {foreign_key_checks: proven}\n"
	}
	return text + s.guards
}

// way runs the side as a program of its own. Its time is that of the whole
// process: connecting, the catalog, the plan and the ledger's tables count.
func (b *bench) way(s side) way {
	return way{name: s.title(), template: s.template, run: func(ctx context.Context, dsn string) (d did, err error) {
		if d.child, err = b.purgeChild(ctx, dsn, s.policy()); err != nil {
			return d, err
		}
		d.took = d.child.took
		d.base, err = baseOf(ctx, dsn)
		return d, err
	}}
}

// baseOf is what retentions counted from, by the ledger of the one run there
// was.
func baseOf(ctx context.Context, dsn string) (string, error) {
	return lab.Ask[string](ctx, dsn, `SELECT to_char(cutoff_base AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') FROM reaper.runs`)
}

// seconds that the run took by its own account, without connecting and
// planning.
func (c child) seconds() time.Duration { return c.report.FinishedAt.Sub(c.report.StartedAt) }
