package preview

import (
	"context"

	"github.com/jackc/pgx/v5/pgxpool"

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
	return notes, nil
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
