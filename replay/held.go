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

// cause is something that retains WAL or holds back a replica.
type cause struct {
	script        // its act is set by held
	names  string // what the reason must name
	start  func(context.Context, *stage) error
	remove func(context.Context, *stage) error
	gone   string // how it is removed, for the output
}

// playCause plays one purge that a cause pauses until it gives up, and one during whose pause the
// cause is removed.
func (r *replay) playCause(ctx context.Context, c cause) error {
	c.act = func(ctx context.Context, p *play) error {
		if err := c.start(ctx, p.stage); err != nil {
			return fmt.Errorf("creating the cause: %w", err)
		}
		if err := p.pauseExpires(ctx, c); err != nil {
			return err
		}
		if err := p.resumes(ctx, c); err != nil {
			return err
		}
		return p.judgeOutcome(ctx)
	}
	return r.play(ctx, c.script)
}

// slack is how far a pause may exceed the limit: one reading, and the jitter of a busy
// machine.
const slack = time.Second

// pauseExpires runs the purge that the cause outlasts.
func (p *play) pauseExpires(ctx context.Context, c cause) error {
	did, err := p.purge(ctx, p.stage, nil)
	if err != nil {
		return err
	}
	incomplete := purge.Incomplete.ExitCode()
	p.judge(p.name, "purge while it lasts", did.String(), fmt.Sprintf("exit %d, paused for %s, names %q", incomplete, maxPause, c.names),
		did.exit == incomplete && strings.Contains(did.reason(), c.names) && did.paused() >= maxPause && did.paused() < maxPause+slack)
	return nil
}

// resumes runs the purge during which the cause is removed.
func (p *play) resumes(ctx context.Context, c cause) error {
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
