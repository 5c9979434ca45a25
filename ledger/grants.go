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

// privilege is one, or several, on tables and views.
type privilege struct {
	of string // separated by ", "
	on []string
}

// privileges lists what a role needs on the ledger's tables and views, besides USAGE on
// its schema. Both the grants and the privilege checks derive from it.
var privileges = []privilege{
	{"SELECT", []string{"schema_version", "runs", "deletions", "events"}},
	{"SELECT, INSERT, UPDATE, DELETE", []string{"run"}},
	{"SELECT, INSERT, DELETE", []string{"cutoff", "detach", "print", "approval", "hold_root", "erasure_key"}},
	{"SELECT, INSERT", []string{"erasure_secret"}},
	{"SELECT, INSERT, UPDATE, DELETE", []string{"tick", "lease", "scan", "pause", "hold", "baseline", "throttle", "process", "grace", "grace_policy", "segment", "event", "batch"}},
	{"SELECT, INSERT, UPDATE", []string{"latch", "verification", "deletion", "erasure", "erasure_count", "erasure_leftover"}},
	{"SELECT, INSERT, DELETE", []string{optionalTable}},
}

// relations returns the names of the ledger's tables and views.
func relations() []string {
	var names []string
	for _, p := range privileges {
		names = append(names, p.on...)
	}
	return names
}

// optionalTable is the table that a run can do without. Without it the database's growth is
// unknown, which is reported where it matters.
const optionalTable = "size"

// Grants returns the statements that grant a role what it needs on the ledger.
func (l *Ledger) Grants(role string) []string {
	return l.grants(role, func(string) bool { return true })
}

// restorePrivileges is what a role that only restores needs: it reads holds, pauses and lists, and holds
// what comes back.
var restorePrivileges = []privilege{
	{"SELECT", []string{"schema_version", "pause", "segment", "grace", "grace_policy"}},
	{"SELECT, INSERT", []string{"hold", "hold_root"}},
}

// RestoreGrants returns the statements that grant a role what restoring needs on the ledger.
func (l *Ledger) RestoreGrants(role string) []string {
	return l.grantsOf(restorePrivileges, role, func(string) bool { return true })
}

// grants returns the statements for the wanted tables and views; the empty name stands
// for the schema.
func (l *Ledger) grants(role string, wanted func(table string) bool) []string {
	return l.grantsOf(privileges, role, wanted)
}

func (l *Ledger) grantsOf(privileges []privilege, role string, wanted func(table string) bool) []string {
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

// lackSQL returns the tables and views on which the current role lacks a privilege, and
// an empty name if it lacks USAGE on the schema. It uses the catalog, because names
// cannot be resolved in a schema without USAGE.
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

// Lacks returns the statements of Grants that the current role still needs for the tables
// and views that exist: an upgrade may have added some. The optional table is included
// only if others are missing too. It returns nil if nothing else is missing, or if there
// is no ledger yet.
func (l *Ledger) Lacks(ctx context.Context, db *pgxpool.Pool) ([]string, error) {
	needed, _, err := l.lacks(ctx, db)
	return needed, err
}

// LacksSizes returns the grants for the optional table if nothing else is missing.
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
	if slices.Equal(lacks, []string{optionalTable}) {
		return nil, grants, nil
	}
	return grants, nil, nil
}

// Usable returns an *UntrustedError as Trusted does, and a *GrantsError if Lacks returns
// statements. It returns nil if there is no ledger yet.
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

// GrantsError means that the role may not write everything a run records.
type GrantsError struct {
	Schema string
	Grants []string // the missing ones
}

// Text describes the problem without the remedy.
func (e *GrantsError) Text() string {
	return fmt.Sprintf("this role lacks privileges on the ledger (schema %s), so no run could be recorded", e.Schema)
}

// Fix returns the statements for the ledger's owner to run.
func (e *GrantsError) Fix() string { return strings.Join(e.Grants, " ") }

// Error includes the remedy.
func (e *GrantsError) Error() string { return e.Text() + "; as the ledger's owner: " + e.Fix() }
