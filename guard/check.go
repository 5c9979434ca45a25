package guard

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Problem is a guard that would not work as intended.
type Problem struct {
	// Guard is its name; empty means several guards.
	Guard string
	Text  string
	Fix   string // the remedy; empty if none is known
	// Stops reports whether nothing is deleted until the problem is fixed.
	Stops bool
	// Note reports whether the missing guards were only defaults, not asked for.
	Note bool
}

// Check reads every guard once over a connection of pool, as the role that runs,
// and returns the ones that cannot be read. When guards are implicit, those that the
// role may not read are combined into one note.
func Check(ctx context.Context, pool *pgxpool.Pool, c Config) []Problem {
	w := New(c, pool, nil)
	defer w.web.close()
	var role string
	if err := queryOne(ctx, pool, "SELECT quote_ident(current_user)", nil, &role); err != nil {
		return []Problem{{Text: "the guards cannot be read: " + reasonOf(err), Stops: true}}
	}
	var problems []Problem
	var skipped []string
	for _, g := range w.all {
		if g.Off != "" {
			continue
		}
		err := w.try(ctx, g)
		switch {
		case err == nil:
		case w.c.Implicit && lacksPrivilege(err):
			skipped = append(skipped, g.name)
		default:
			problems = append(problems, g.problem(err, role))
		}
	}
	if len(skipped) > 0 {
		problems = append(problems, Problem{
			Note: true,
			Text: "not watched, because this role may not read " + pronoun(skipped) + ": " + strings.Join(skipped, ", "),
			Fix:  grant(monitor, role) + " -- or add a guards section that turns them off",
		})
	}
	return append(problems, w.walSizeWarning(ctx, role)...)
}

// try reads a guard once.
func (w *Watch) try(ctx context.Context, g *watched) error {
	once, cancel := context.WithTimeout(ctx, max(g.timeout, w.c.Timeout))
	defer cancel()
	_, err := g.signal.read(once, w.pool)
	return err
}

// problem describes the error of a signal.
func (g *watched) problem(err error, role string) Problem {
	state := g.ifUnknown()
	p := Problem{Guard: g.name, Stops: state >= Pause}
	p.Text = fmt.Sprintf("the guard %s cannot be read: %s", g.name, reasonOf(err))
	switch state {
	case Go:
		p.Text += "; it is ignored, because of unknown: ignore"
	case Slow:
		p.Text += "; purges would slow down"
	default:
		p.Text += "; purges would " + state.String()
	}
	var denied *deniedError
	_, own := g.signal.(custom)
	switch {
	case errors.As(err, &denied):
		p.Fix = grant(denied.need, role) + " -- or set " + g.name + ": off"
	case own:
		p.Fix = "fix its query, or set unknown: ignore for it"
	default:
		p.Fix = "fix the cause, or set unknown: ignore in " + g.name
	}
	return p
}

// walSizeWarning warns when only an upper bound of the WAL's size is known.
func (w *Watch) walSizeWarning(ctx context.Context, role string) []Problem {
	if !w.sizesWAL() || w.c.Implicit {
		return nil
	}
	may, err := w.wal.listed(ctx, w.pool)
	if err != nil || may {
		return nil
	}
	return []Problem{{
		Text: "this role may not list pg_wal: the upper bound that the server may keep is used as its size, and growth beyond max_wal_size goes unnoticed",
		Fix:  grant(monitor, role),
	}}
}

// sizesWAL reports whether any guard needs the size of pg_wal.
func (w *Watch) sizesWAL() bool {
	for _, g := range w.all {
		if g.Off == "" && (g.name == backlogGuard || g.name == storageGuard && w.c.Storage.Free == (Query{})) {
			return true
		}
	}
	return false
}

func grant(of, role string) string { return "GRANT " + of + " TO " + role + ";" }

// pronoun returns the pronoun for the guards.
func pronoun(guards []string) string {
	if len(guards) == 1 {
		return "it"
	}
	return "them"
}
