package main

import (
	"context"
	"fmt"
	"time"
)

// method is one way to delete the mails that are due.
type method struct {
	name     string
	template string // the database to copy
	run      func(ctx context.Context, dsn string) (outcome, error)
}

// outcome is what a way reports about itself.
type outcome struct {
	base  string // time from which retentions counted
	took  time.Duration
	child child // for reaper's sides
}

// turn is one execution of a way.
type turn struct {
	outcome
	mails, rows int64 // deleted, by the contents of the tables
	wal         int64 // bytes
}

func (t turn) mailRate() float64  { return rate(t.mails, t.took) }
func (t turn) rowRate() float64   { return rate(t.rows, t.took) }
func (t turn) walPerRow() float64 { return float64(t.wal) / float64(t.rows) }

// turn runs a way on a fresh copy, and compares what stays with plain SQL.
func (b *bench) turn(ctx context.Context, load workload, w method) (t turn, err error) {
	const name = "turn"
	dsn, err := b.fresh(ctx, name, w.template)
	if err != nil {
		return t, err
	}
	t.wal, err = walWritten(ctx, b.server.DSN("postgres"), func() (err error) {
		t.outcome, err = w.run(ctx, dsn)
		return err
	})
	if err != nil {
		return t, fmt.Errorf("%s: %w", w.name, err)
	}
	after, err := contents(ctx, dsn)
	if err != nil {
		return t, err
	}
	want, err := staying(ctx, b.server.DSN(cascading), t.base, load.mails)
	if err != nil {
		return t, err
	}
	if d := difference(want, after); d != "" {
		return t, fmt.Errorf("%s: plain SQL would leave other rows: %s", w.name, d)
	}
	t.mails, t.rows = load.before["outgoing_emails"].rows-after["outgoing_emails"].rows, rowsDeleted(load.before, after)
	if t.rows == 0 {
		return t, fmt.Errorf("%s: nothing was due", w.name)
	}
	b.Say("%s: %d rows in %s", w.name, t.rows, t.took.Round(time.Millisecond))
	return t, b.drop(ctx, name)
}

// runRounds runs the methods one after the other, once per round; each round starts with a
// different one.
func (b *bench) runRounds(ctx context.Context, load workload, ways []method) (turns [][]turn, err error) {
	turns = make([][]turn, len(ways))
	for round := range b.rounds {
		for i := range ways {
			i = (i + round) % len(ways)
			t, err := b.turn(ctx, load, ways[i])
			if err != nil {
				return nil, fmt.Errorf("round %d: %w", round+1, err)
			}
			turns[i] = append(turns[i], t)
		}
	}
	return turns, nil
}
