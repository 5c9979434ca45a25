package preview

import (
	"context"
	"fmt"
	"time"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/search"
)

// InGrace are the roots that come due at a time, if a run has seen by now what frees them.
type InGrace struct {
	At          time.Time `json:"at"`
	Tenants     int64     `json:"tenants"`
	ExpiredRows int64     `json:"expired_rows"`
}

// inGrace counts the roots that only the grace keeps, by the time at which they come due. A run
// makes no more than one such time.
func (l *previewer) inGrace(ctx context.Context) error {
	p := l.plan
	if p.Tenants.Grace == nil || l.estimate {
		return nil
	}
	own := l.scope
	own.Graced = true
	s := &pg.Statement{}
	rows := search.PastCutoffSQL(p, s, own)
	s.Add("SELECT ends_at, count(DISTINCT tenant), count(*) FROM (SELECT coalesce(reaper_x.tenant::text, '') AS tenant, ",
		p.Tenants.GraceEnds("reaper_x.tenant", "reaper_g.cutoff <= reaper_x.at", s.Cast(own.Base, "timestamptz")), " AS ends_at FROM (", rows, ") reaper_x) reaper_y WHERE ends_at IS NOT NULL GROUP BY ends_at ORDER BY ends_at")
	found, err := l.tx.Query(ctx, s.String(), s.Args...)
	if err != nil {
		return fmt.Errorf("counting rows in their grace: %w", err)
	}
	defer found.Close()
	for found.Next() {
		var g InGrace
		if err := found.Scan(&g.At, &g.Tenants, &g.ExpiredRows); err != nil {
			return fmt.Errorf("counting rows in their grace: %w", err)
		}
		l.view.InGrace = append(l.view.InGrace, g)
	}
	return found.Err()
}
