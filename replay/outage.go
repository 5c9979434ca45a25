package main

import (
	"context"
	"fmt"
	"time"

	"github.com/reaperdb/reaper/internal/lab"
	"github.com/reaperdb/reaper/purge"
)

// deleteSQL is the DELETE of the outage: everything due in one statement, with dependents
// deleted by ON DELETE CASCADE.
const deleteSQL = `DELETE FROM outgoing_emails e USING domains d, organizations o
 WHERE d.id = e.domain_id AND o.id = d.organization_id
   AND e.created_at < now() - make_interval(days => o.retention_days)`

// bigDelete plays the outage itself.
func bigDelete(ctx context.Context, r *replay) error {
	return r.play(ctx, script{name: "one big DELETE", act: func(ctx context.Context, p *play) error {
		wrong := lab.Execute(ctx, p.dsn(), deleteSQL)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		crashed := time.Since(p.watch.began)
		up := answers(ctx, p.dsn())
		p.writer.end()
		back := comesBack(ctx, p.dsn()) // still watched: the picture shows it
		if err := p.stopObserving(); err != nil {
			return err
		}
		crash, err := p.crash()
		if err != nil {
			return err
		}
		p.judge(p.name, "the statement", fmt.Sprint(wrong), "fails", wrong != nil)
		p.judge(p.name, "the server's log", crash, "PANIC, no space left", crash != "")
		p.judge(p.name, "a new connection then", map[bool]string{true: "answered", false: "not answered"}[up], "not answered", !up)
		p.Tell(p.name, "afterwards", back)
		p.Tell(p.name, "free space of the volume", mib(p.watch.least)+" at the least")
		r.curves.outage = curve{samples: p.watch.samples, crashed: crashed}
		p.Tell(p.name, "writes", fmt.Sprintf("%d acknowledged, %d refused", len(p.writer.acked), p.writer.failed))
		return nil
	}})
}

// recovery is how long to wait for a crashed server.
const recovery = 15 * time.Second

// comesBack says whether and when a crashed server answers again.
func comesBack(ctx context.Context, dsn string) string {
	ctx, cancel := context.WithTimeout(ctx, recovery)
	defer cancel()
	started := time.Now()
	back := false
	every(ctx, pingEvery, func() {
		if back = answers(ctx, dsn); back {
			cancel()
		}
	})
	if !back {
		return fmt.Sprintf("not back within %s", recovery)
	}
	return fmt.Sprintf("back after %.1f s, without what was deleted", time.Since(started).Seconds())
}

// mostRuns is how often an incomplete purge is repeated.
const mostRuns = 10

// guardedPurge plays reaper on an identical volume.
func guardedPurge(ctx context.Context, r *replay) error {
	return r.play(ctx, script{name: "reaper purge", act: func(ctx context.Context, p *play) error {
		runs := 0
		for {
			runs++
			did, err := p.purge(ctx, p.stage, nil)
			if err != nil {
				return err
			}
			p.Tell(p.name, fmt.Sprintf("run %d", runs), did.String())
			if did.exit != purge.Incomplete.ExitCode() || runs == mostRuns || ctx.Err() != nil {
				p.judge(p.name, "the last run", fmt.Sprintf("number %d, exit %d", runs, did.exit), "exit 0", did.exit == 0)
				break
			}
		}
		if err := p.judgeOutcome(ctx); err != nil {
			return err
		}
		r.curves.reaper, r.curves.keep = curve{samples: p.watch.samples}, p.room.keep
		return nil
	}})
}

// String summarizes the purge in one line.
func (p purged) String() string {
	text := fmt.Sprintf("exit %d, %d rows in %.1f s, of these paused for %.1f s", p.exit, p.rows(), p.took.Seconds(), p.paused().Seconds())
	if reason := p.reason(); reason != "" {
		text += ": " + reason
	}
	return text
}
