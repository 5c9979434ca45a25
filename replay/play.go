package main

import (
	"context"
	"errors"
	"fmt"
)

// script defines a scenario.
type script struct {
	name     string
	settings map[string]string // server settings
	// before prepares the stage while nothing is connected, and returns how to undo it; nil
	// means no preparation.
	before func(context.Context, *stage) (undo func() error, err error)
	act    func(context.Context, *play) error
}

// play is a scenario in progress: a stage with its writer and its watch.
type play struct {
	*replay
	*stage
	name   string
	writer *writer
	watch  *watch
}

// play sets a stage, acts on it during writes and observation, and removes everything.
func (r *replay) play(ctx context.Context, script script) (err error) {
	s, err := r.setStage(ctx, script.settings)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.tearDown()) }()
	if script.before != nil {
		undo, err := script.before(ctx, s)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, undo()) }()
	}
	p := &play{replay: r, stage: s, name: script.name}
	if p.writer, err = write(ctx, s.dsn(), r.rate); err != nil {
		return err
	}
	defer p.writer.end()
	p.watch = s.observe(ctx)
	defer p.watch.end()
	return script.act(ctx, p)
}

// stopObserving stops the writer and the watch.
func (p *play) stopObserving() error {
	p.writer.end()
	p.watch.end()
	if p.watch.lookError != nil {
		return p.watch.lookError
	}
	if len(p.watch.samples) == 0 || p.watch.pings == 0 || len(p.writer.acked) == 0 {
		return fmt.Errorf("nothing was seen: %d looks at the volume, %d pings, %d writes", len(p.watch.samples), p.watch.pings, len(p.writer.acked))
	}
	return nil
}

// judgeOutcome adds the lines on what must hold in every scenario with reaper: the server stayed
// up, the volume had room, no write was lost, and exactly the rows that plain SQL would leave
// are there.
func (p *play) judgeOutcome(ctx context.Context) error {
	if err := p.stopObserving(); err != nil {
		return err
	}
	crash, err := p.crash()
	if err != nil {
		return err
	}
	up := fmt.Sprintf("%d of %d pings answered", p.watch.pings-p.watch.unanswered, p.watch.pings)
	if crash != "" {
		up += "; " + crash
	}
	p.judge(p.name, "the server", up, "up all the time", p.watch.unanswered == 0 && crash == "")
	p.judge(p.name, "free space of the volume", fmt.Sprintf("%s at the least, of %d looks", mib(p.watch.least), len(p.watch.samples)),
		"never under "+mib(p.room.keep), p.watch.least >= p.room.keep)
	lost, err := p.writer.lost(ctx, p.dsn())
	if err != nil {
		return err
	}
	p.judge(p.name, "writes", p.writes(lost), "none lost, none refused", lost == 0 && p.writer.failed == 0)
	left, err := remaining(ctx, p.dsn(), p.staying)
	if err != nil {
		return err
	}
	d := difference(p.staying, left)
	seen := d
	if d == "" {
		seen = fmt.Sprintf("equal in %d tables; %d mails were due", len(left), p.dueMails)
	}
	p.judge(p.name, "rows that stay, beside plain SQL", seen, "equal", d == "")
	return nil
}

// writes summarizes the writer's mails.
func (p *play) writes(lost int64) string {
	text := fmt.Sprintf("%d acknowledged, %d lost, %d refused, the slowest %d ms", len(p.writer.acked), lost, p.writer.failed, p.writer.worst.Milliseconds())
	if p.writer.first != nil {
		text += fmt.Sprintf(" (%v)", p.writer.first)
	}
	return text
}
