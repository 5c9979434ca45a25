package preview

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/internal/visible"
	"github.com/reaperdb/reaper/plan"
)

// Note is information about a policy. Nothing is wrong.
type Note struct {
	Policy string `json:"policy,omitempty"` // empty: not about a single policy
	Text   string `json:"text"`
	Fix    string `json:"fix"` // empty: nothing to do
}

// Advise samples the rows of each plan without errors, and adds warnings where they suggest that
// the policy does not do what was intended. Compile does not: whether a policy can run does not
// depend on rows.
func Advise(ctx context.Context, pool *pgxpool.Pool, plans []*plan.Plan) ([]Note, error) {
	notes := []Note{}
	for _, p := range plans {
		if p.HasErrors() || p.Unplanned() != nil {
			continue
		}
		a, err := advise(ctx, pool, p)
		if err != nil {
			return nil, err
		}
		p.Problems = append(p.Problems, a.problems...)
		notes = append(append(notes, wordNotes(p)...), a.notes...)
	}
	faster, err := provenNotes(ctx, pool, plans)
	return append(append(notes, loopNotes(plans)...), faster...), err
}

// loopNotes say for which policies the statements of a batch of many tenants are sent one by one.
func loopNotes(plans []*plan.Plan) []Note {
	var names []string
	role := ""
	for _, p := range plans {
		if !p.HasErrors() && p.Unplanned() == nil && !p.NoTenant && p.Usual.Simple() && !p.Usual.Full && !p.Server.Loops {
			names, role = append(names, p.Policy.Name), p.Server.Role
		}
	}
	if len(names) == 0 {
		return nil
	}
	return []Note{{
		Text: "the role may not use PL/pgSQL here: a batch of many tenants takes a round trip for each of them, under " + enumerated(names),
		Fix:  "CREATE EXTENSION IF NOT EXISTS plpgsql; GRANT USAGE ON LANGUAGE plpgsql TO " + pg.Ident(role) + ";",
	}}
}

// provenNotes say for which policies redundant foreign key checks could be skipped.
func provenNotes(ctx context.Context, pool *pgxpool.Pool, plans []*plan.Plan) ([]Note, error) {
	var names []string
	checked := 0
	for _, p := range plans {
		if p.HasErrors() || p.Unplanned() != nil || p.RedundantChecks() == 0 {
			continue
		}
		var reasons []string
		if err := pg.ReadOnly(ctx, pool, p.ReadingPath(), provenTimeout, func(tx pgx.Tx) (err error) {
			reasons, err = p.NotProven(ctx, tx)
			return err
		}); err != nil {
			return nil, fmt.Errorf("checking policy %s: %w", p.Policy.Name, err)
		}
		if len(reasons) == 0 {
			names, checked = append(names, p.Policy.Name), max(checked, p.RedundantChecks())
		}
	}
	if len(names) == 0 {
		return nil, nil
	}
	return []Note{{
		Text: fmt.Sprintf("PostgreSQL checks up to %s for each root deleted by %s; most of that is redundant while reaper holds its locks. Without it, rows of reaper's mail benchmark go about twice as fast",
			visible.Count(int64(checked), "foreign key", "foreign keys"), enumerated(names)),
		Fix: "if nothing writes these tables in the replica role (no logical replication into them), write safety: {foreign_key_checks: auto}; docs/PROVEN.md says why that is safe",
	}}, nil
}

// provenTimeout bounds the question whether a plan could skip foreign key checks.
const provenTimeout = 10 * time.Second

// enumerated are the first names of a list, and how many there are besides.
func enumerated(names []string) string {
	const most = 5
	text := "policy " + names[0]
	if len(names) > 1 {
		text = "policies " + strings.Join(names[:min(len(names), most)], ", ")
	}
	if len(names) > most {
		text += fmt.Sprintf(" and %d more", len(names)-most)
	}
	return text
}

// wordNotes are the summary of a plan, and its tenant path if inferred.
func wordNotes(p *plan.Plan) []Note {
	notes := []Note{{Policy: p.Policy.Name, Text: Summary(p)}}
	if t := p.TenantPath(); t != nil && t.Inferred {
		n := Note{Policy: p.Policy.Name, Text: "tenant path (inferred): " + t.Text}
		if t.YAML != "" {
			n.Fix = "write tenant: " + t.YAML
		}
		notes = append(notes, n)
	}
	return notes
}

// advice is the result of sampling a policy's rows.
type advice struct {
	problems []plan.Problem
	notes    []Note
	unowned  bool // most rows have no tenant
}

// advise samples the rows of a plan. A timeout or an error becomes a note.
func advise(ctx context.Context, pool *pgxpool.Pool, p *plan.Plan) (a advice, err error) {
	sample, err := SampleUnowned(ctx, pool, p)
	switch {
	case err != nil && ctx.Err() != nil:
		return a, ctx.Err()
	case err != nil:
		a.notes = append(a.notes, Note{Policy: p.Policy.Name, Text: err.Error()})
	case sample.Most():
		a.unowned = true
		a.problems = append(a.problems, unownedWarning(p, sample))
	}
	return a, adviseYounger(ctx, pool, p, &a)
}
