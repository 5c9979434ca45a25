package erasure

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/schema"
)

// Kind is what a step does.
type Kind string

// The kinds of steps.
const (
	StepRedact   Kind = "redact"   // overwrites columns of rows that stay
	StepDelete   Kind = "delete"   // deletes rows of one table that nothing references any more
	StepClear    Kind = "clear"    // empties references of rows that go, where they go round in circles
	StepTogether Kind = "together" // deletes what is left of a circle in one statement
)

// Group are tables that reference each other in a circle, or a single table. All rows of a group that
// can go are gone before the next group begins.
type Group struct {
	Tables []*Table
	Cyclic bool // one of its tables can be reached from itself along references

	steps, clears []*Step
	knot          *Step // nil: not cyclic
}

// Step is one bounded piece of an erasure, which can be done again and again until it finds nothing.
type Step struct {
	Kind   Kind
	Tables []*Table // whose rows it changes; several only for StepTogether
	// Last: it may take the tenant's own row. It waits for the tenant's writers, and they for it.
	Last bool

	plan  *Plan
	group *Group
	way   *Way  // by which StepDelete and StepRedact search; nil: by all
	edge  *edge // of StepClear
	// remembered: see args.
	remembered map[*Table]map[string][]string
}

// Outcome is what one run of a step has done.
type Outcome struct {
	Found int     // rows that it has found and locked
	Rows  []int64 // rows that it has changed, by Step.Tables
	// Remembered are the values of Table.Remember in the deleted rows, as text, by Step.Tables and
	// column.
	Remembered [][][]string
}

// Total is the number of rows that were changed.
func (o Outcome) Total() (n int64) {
	for _, r := range o.Rows {
		n += r
	}
	return n
}

// ErrSchemaChanged means that the foreign keys to a table are not those of the plan.
var ErrSchemaChanged = errors.New("foreign keys to a table of the plan have changed since it was made; the next run plans anew")

// Run does a step once, for at most limit rows, in a transaction that began with Plan.Settings. It
// finds and locks rows, and changes those that a later statement still finds to be the tenant's, and
// free to go. A StepTogether that finds more than limit rows changes none. The key is text.
func (s *Step) Run(ctx context.Context, tx pgx.Tx, key string, limit int) (Outcome, error) {
	o := Outcome{Rows: make([]int64, len(s.Tables))}
	if err := s.lockTables(ctx, tx); err != nil {
		return o, err
	}
	found, err := s.find(ctx, tx, key, limit)
	o.Found = found.count
	if err != nil || found.count == 0 || s.Kind == StepTogether && found.count > limit {
		return o, err
	}
	act := s.actSQL(key, found)
	into := []any{&o.Rows}
	o.Remembered = make([][][]string, len(s.Tables))
	for i, t := range s.Tables {
		o.Remembered[i] = make([][]string, len(t.Remember))
		for k := range t.Remember {
			into = append(into, &o.Remembered[i][k])
		}
	}
	if err := tx.QueryRow(ctx, act.String(), act.Args...).Scan(into...); err != nil {
		return o, s.wrap(err)
	}
	return o, nil
}

func (s *Step) wrap(err error) error {
	doing := map[Kind]string{StepRedact: "redacting rows of", StepDelete: "deleting rows of", StepClear: "emptying references in", StepTogether: "deleting rows of"}
	return fmt.Errorf("%s %s: %w", doing[s.Kind], pg.List(len(s.Tables), func(i int) string { return s.Tables[i].Name() }), err)
}

// lockTables locks the step's tables against new foreign keys and makes sure that there is none that
// the plan does not know: ON DELETE CASCADE of such a key could reach rows of others.
func (s *Step) lockTables(ctx context.Context, tx pgx.Tx) error {
	if s.Kind != StepDelete && s.Kind != StepTogether {
		return nil
	}
	lock := "LOCK TABLE " + pg.List(len(s.Tables), func(i int) string { return fromTable(s.Tables[i]) }) + " IN ROW EXCLUSIVE MODE"
	if _, err := tx.Exec(ctx, lock); err != nil {
		return s.wrap(err)
	}
	oids := make([]uint32, len(s.Tables))
	for i, t := range s.Tables {
		oids[i] = t.Table.OID
	}
	keys, err := readKeys(ctx, tx, oids)
	if err != nil {
		return s.wrap(err)
	}
	for _, t := range s.Tables {
		if keys[t.Table.OID] != t.keys {
			return s.wrap(ErrSchemaChanged)
		}
	}
	return nil
}

// keysSQL prints, for each of the tables with OIDs $1, the foreign keys that reference it or parts of
// it, but for copies that PostgreSQL makes for partitions.
const keysSQL = `WITH RECURSIVE reaper_fam(root, oid) AS (
  SELECT o, o FROM pg_catalog.unnest($1::pg_catalog.oid[]) o
  UNION SELECT f.root, i.inhrelid FROM reaper_fam f JOIN pg_catalog.pg_inherits i ON i.inhparent OPERATOR(pg_catalog.=) f.oid)
SELECT f.root, pg_catalog.string_agg(pg_catalog.concat(k.oid, k.confdeltype), ' ' ORDER BY k.oid)
  FROM reaper_fam f JOIN pg_catalog.pg_constraint k ON k.confrelid OPERATOR(pg_catalog.=) f.oid AND k.contype OPERATOR(pg_catalog.=) 'f' AND k.conparentid OPERATOR(pg_catalog.=) 0::pg_catalog.oid
 GROUP BY f.root`

// readKeys reads the foreign keys to tables, as text; tables without any are not among them.
func readKeys(ctx context.Context, q schema.Querier, oids []uint32) (map[uint32]string, error) {
	rows, err := q.Query(ctx, keysSQL, oids)
	if err != nil {
		return nil, fmt.Errorf("reading foreign keys: %w", err)
	}
	keys := map[uint32]string{}
	var oid uint32
	var text string
	if _, err := pgx.ForEachRow(rows, []any{&oid, &text}, func() error { keys[oid] = text; return nil }); err != nil {
		return nil, fmt.Errorf("reading foreign keys: %w", err)
	}
	return keys, nil
}
