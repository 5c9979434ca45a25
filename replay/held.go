package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/reaperdb/reaper/purge"
)

// cause is something that holds WAL or a replica back.
type cause struct {
	script        // without an act
	names  string // what a reason has to name
	arise  func(context.Context, *stage) error
	remove func(context.Context, *stage) error
	gone   string // how it is removed, for the table
}

// held plays a purge that a cause pauses until it gives up, and one that is still
// there when the cause is removed.
func (r *replay) held(ctx context.Context, c cause) error {
	c.act = func(ctx context.Context, p *play) error {
		if err := c.arise(ctx, p.stage); err != nil {
			return fmt.Errorf("bringing it about: %w", err)
		}
		if err := p.givesUp(ctx, c); err != nil {
			return err
		}
		if err := p.goesOn(ctx, c); err != nil {
			return err
		}
		return p.judgeEnd(ctx)
	}
	return r.play(ctx, c.script)
}

// slack is how much longer than the longest pause a pause may seem: a reading, and
// what a busy machine adds.
const slack = time.Second

// givesUp is the purge that the cause outlasts.
func (p *play) givesUp(ctx context.Context, c cause) error {
	did, err := p.purge(ctx, p.stage, nil)
	if err != nil {
		return err
	}
	incomplete := purge.Incomplete.ExitCode()
	p.judge(p.name, "purge while it lasts", did.String(), fmt.Sprintf("exit %d, paused for %s, names %q", incomplete, maxPause, c.names),
		did.exit == incomplete && strings.Contains(did.reason(), c.names) && did.paused() >= maxPause && did.paused() < maxPause+slack)
	return nil
}

// goesOn is the purge that is paused when the cause is removed.
func (p *play) goesOn(ctx context.Context, c cause) error {
	var reason string
	var failed error
	did, err := p.purge(ctx, p.stage, func(why string) {
		if reason == "" && strings.Contains(why, c.names) {
			reason, failed = why, c.remove(ctx, p.stage)
		}
	})
	if err := errors.Join(err, failed); err != nil {
		return err
	}
	p.judge(p.name, "another purge: "+c.gone+" once it is paused", did.String()+"; it was paused, for "+cmp.Or(reason, "something else"), fmt.Sprintf("exit 0, names %q", c.names),
		did.exit == 0 && reason != "")
	return nil
}
