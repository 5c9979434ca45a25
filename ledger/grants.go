package ledger

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/internal/pg"
)

// privileges are what a role needs on the ledger's tables and views, beside USAGE
// of its schema. What is granted and what is looked up are both made from them.
var privileges = []struct {
	of string // parted by a comma and a space
	on []string
}{
	{"SELECT", []string{"schema_version", "runs", "deletions"}},
	{"SELECT, INSERT, UPDATE, DELETE", []string{"run"}},
	{"SELECT, INSERT, DELETE", []string{"batch", "cutoff", "detach"}},
	{"SELECT, INSERT", []string{"deletion"}},
	{"SELECT, INSERT, UPDATE, DELETE", []string{"tick", "lease", "scan", "pause", "throttle"}},
	{"SELECT, INSERT, DELETE", []string{dispensable}},
}

// relations are the names of the ledger's tables and views.
func relations() []string {
	var names []string
	for _, p := range privileges {
		names = append(names, p.on...)
	}
	return names
}

// dispensable is the table that a run can do without: then nothing is known of how
// the database grows, which is told where it matters.
const dispensable = "size"

// Grants are the statements that give a role what it needs on the ledger.
func (l *Ledger) Grants(role string) []string {
	return l.grants(role, func(string) bool { return true })
}

// grants are those for the tables and views that are wanted, and for the schema,
// whose name here is empty.
func (l *Ledger) grants(role string, wanted func(table string) bool) []string {
	to := " TO " + pgx.Identifier{role}.Sanitize() + ";"
	var statements []string
	if wanted("") {
		statements = append(statements, "GRANT USAGE ON SCHEMA "+l.schema+to)
	}
	for _, p := range privileges {
		var on []string
		for _, table := range p.on {
			if wanted(table) {
				on = append(on, l.schema+"."+table)
			}
		}
		if len(on) > 0 {
			statements = append(statements, "GRANT "+p.of+" ON "+strings.Join(on, ", ")+to)
		}
	}
	return statements
}

// lackSQL gives the tables and views on which the current role lacks a privilege,
// and an empty name where it may not use the schema. By the catalog, and not by
// name: a name cannot be looked up in a schema that the role may not use.
const lackSQL = `SELECT current_user::text, coalesce(array_agg(lacks.name) FILTER (WHERE lacks.name IS NOT NULL), '{}')
FROM (SELECT 1) AS one LEFT JOIN (
	SELECT '' AS name FROM pg_namespace n WHERE n.nspname = $1::text AND NOT has_schema_privilege(n.oid, 'USAGE')
	UNION ALL
	SELECT c.relname::text
	FROM unnest($2::text[], $3::text[]) AS w (name, privileges)
	JOIN pg_namespace n ON n.nspname = $1::text
	JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.name
	WHERE EXISTS (SELECT FROM unnest(string_to_array(w.privileges, ', ')) AS p WHERE NOT has_table_privilege(c.oid, p))
) AS lacks ON true`

// Lacks gives the statements of Grants that the current role still needs to run, for those
// tables and views that there are: an upgrade may have brought some that it was
// never granted. The dispensable table is among them where it lacks others. Nil: it
// lacks nothing else, or there is no ledger yet.
func (l *Ledger) Lacks(ctx context.Context, db *pgxpool.Pool) ([]string, error) {
	needed, _, err := l.lacks(ctx, db)
	return needed, err
}

// LacksSizes gives the statements of Grants for the dispensable table, where it is all
// that the current role lacks.
func (l *Ledger) LacksSizes(ctx context.Context, db *pgxpool.Pool) ([]string, error) {
	_, useful, err := l.lacks(ctx, db)
	return useful, err
}

func (l *Ledger) lacks(ctx context.Context, db *pgxpool.Pool) (needed, useful []string, err error) {
	var names, needs []string
	for _, p := range privileges {
		for _, table := range p.on {
			names, needs = append(names, table), append(needs, p.of)
		}
	}
	var role string
	var lacks []string
	if err := pg.Pinned(db).QueryRow(ctx, lackSQL, l.name, names, needs).Scan(&role, &lacks); err != nil {
		return nil, nil, fmt.Errorf("reading the privileges on the ledger: %w", err)
	}
	grants := l.grants(role, func(table string) bool { return slices.Contains(lacks, table) })
	if slices.Equal(lacks, []string{dispensable}) {
		return nil, grants, nil
	}
	return grants, nil, nil
}

// Usable gives an *UntrustedError as Trusted does, and a *GrantsError where Lacks
// gives statements. Nil also where there is no ledger yet.
func (l *Ledger) Usable(ctx context.Context, db *pgxpool.Pool) error {
	if err := l.Trusted(ctx, db); err != nil {
		return err
	}
	lacks, err := l.Lacks(ctx, db)
	if err == nil && len(lacks) > 0 {
		return &GrantsError{Schema: l.name, Grants: lacks}
	}
	return err
}

// GrantsError is a role that may not write all that a run writes into the ledger.
type GrantsError struct {
	Schema string
	Grants []string // that are missing
}

// Text is what is wrong, without the remedy.
func (e *GrantsError) Text() string {
	return fmt.Sprintf("this role lacks privileges on the ledger (schema %s), so no run could be recorded", e.Schema)
}

// Fix is the statements that its owner may run.
func (e *GrantsError) Fix() string { return strings.Join(e.Grants, " ") }

// Error names the remedy.
func (e *GrantsError) Error() string { return e.Text() + "; as the ledger's owner: " + e.Fix() }
