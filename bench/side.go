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

// side is one way in which reaper deletes the mail workload.
type side struct {
	name     string // for -sides
	template string
	proven   bool   // foreign_key_checks: proven
	pace     string // empty means the default, full
	guards   string // guards section of the policy file; may be empty
	archive  string // folder of an archive; empty: rows are deleted without a copy
}

// defaultSide is the side of most parts: default settings, CASCADE keys.
var defaultSide = side{name: "cascade", template: cascading}

var sides = []side{
	defaultSide,
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

// policy returns the policy file. A side's changes follow mail.yaml, which ends with its one
// policy.
func (s side) policy() string {
	text := mailPolicy
	if s.template == noAction {
		text += "    undecided: delete\n"
	}
	if s.pace != "" {
		text += "    limits: {pace: " + s.pace + "}\n"
	}
	if s.archive != "" {
		text += "    archive: true\narchive: {url: 'file://" + s.archive + "', encryption: none, keep: 1d}\n"
	}
	if s.proven {
		text += "safety: {foreign_key_checks: proven}\n"
	}
	return text + s.guards
}

// method runs the side as a separate process and counts all of its time: connecting, reading the
// catalog, planning and creating the ledger.
func (b *bench) method(s side) method {
	return method{name: s.title(), template: s.template, run: func(ctx context.Context, dsn string) (d outcome, err error) {
		if d.child, err = b.purgeChild(ctx, dsn, s.policy()); err != nil {
			return d, err
		}
		d.took = d.child.took
		d.base, err = baseOf(ctx, dsn)
		return d, err
	}}
}

// baseOf returns the time from which retentions counted, from the ledger of the only run.
func baseOf(ctx context.Context, dsn string) (string, error) {
	return lab.Ask[string](ctx, dsn, `SELECT to_char(cutoff_base AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') FROM reaper.runs`)
}

// seconds is the duration of the run by its own report, without connecting and planning.
func (c child) seconds() time.Duration { return c.report.FinishedAt.Sub(c.report.StartedAt) }
