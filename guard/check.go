package guard

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Problem is a guard that would not do what it is to.
type Problem struct {
	// Guard is its name; empty: several of them.
	Guard string
	Text  string
	Fix   string // the remedy; empty: none is known
	// Stops tells that nothing is deleted while it is so.
	Stops bool
	// Note tells that nobody has asked for what is missing.
	Note bool
}

// Check reads every guard once over a connection of pool, as the role that runs,
// and says which cannot be read, and why. Where nobody has asked for guards, those
// that the role may not read make one problem together.
func Check(ctx context.Context, pool *pgxpool.Pool, c Config) []Problem {
	w := New(c, pool, nil)
	defer w.web.close()
	var role string
	if err := one(ctx, pool, "SELECT quote_ident(current_user)", nil, &role); err != nil {
		return []Problem{{Text: "the guards cannot be read: " + why(err), Stops: true}}
	}
	var problems []Problem
	var left []string
	for _, g := range w.all {
		if g.Off != "" {
			continue
		}
		err := w.try(ctx, g)
		switch {
		case err == nil:
		case w.c.Implicit && mayNot(err):
			left = append(left, g.name)
		default:
			problems = append(problems, g.problem(err, role))
		}
	}
	if len(left) > 0 {
		problems = append(problems, Problem{
			Note: true,
			Text: "not watched, since this role may not read " + it(left) + ": " + strings.Join(left, ", "),
			Fix:  grant(monitor, role) + " -- or write a section guards that switches them off",
		})
	}
	return append(problems, w.unlisted(ctx, role)...)
}

// try reads a guard once.
func (w *Watch) try(ctx context.Context, g *watched) error {
	once, cancel := context.WithTimeout(ctx, max(g.timeout, w.c.Timeout))
	defer cancel()
	_, err := g.signal.read(once, w.pool)
	return err
}

// problem puts an error of a signal in words.
func (g *watched) problem(err error, role string) Problem {
	state := g.ifUnknown()
	p := Problem{Guard: g.name, Stops: state >= Pause}
	p.Text = fmt.Sprintf("the guard %s cannot be read: %s", g.name, why(err))
	switch state {
	case Go:
		p.Text += "; it counts for nothing, as unknown: ignore says"
	case Slow:
		p.Text += "; purges would be slow"
	default:
		p.Text += "; purges would " + state.String()
	}
	var denied *deniedError
	_, own := g.signal.(custom)
	switch {
	case errors.As(err, &denied):
		p.Fix = grant(denied.need, role) + " -- or write " + g.name + ": off"
	case own:
		p.Fix = "mend its query, or write unknown: ignore beside it"
	default:
		p.Fix = "mend it, or write unknown: ignore in " + g.name
	}
	return p
}

// unlisted warns that the size of the WAL is only known by its bound.
func (w *Watch) unlisted(ctx context.Context, role string) []Problem {
	if !w.sizesWAL() || w.c.Implicit {
		return nil
	}
	may, err := w.wal.listed(ctx, w.pool)
	if err != nil || may {
		return nil
	}
	return []Problem{{
		Text: "this role may not list pg_wal: its size is taken for what the server may keep of it, and what it has beyond max_wal_size is not seen",
		Fix:  grant(monitor, role),
	}}
}

// sizesWAL tells whether a guard wants to know the size of pg_wal.
func (w *Watch) sizesWAL() bool {
	for _, g := range w.all {
		if g.Off == "" && (g.name == backlogGuard || g.name == storageGuard && w.c.Storage.Free == (Query{})) {
			return true
		}
	}
	return false
}

func grant(of, role string) string { return "GRANT " + of + " TO " + role + ";" }

// it is the pronoun for so many guards.
func it(guards []string) string {
	if len(guards) == 1 {
		return "it"
	}
	return "them"
}
