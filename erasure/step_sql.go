package erasure

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/schema"
)

func fromTable(t *Table) string { return schema.From(t.Table) }

// rowsFound are the rows that a step has locked, by Step.Tables.
type rowsFound struct {
	count  int
	tables [][]uint32 // tableoid
	places [][]string // ctid
}

// find runs the first statement of a step.
func (s *Step) find(ctx context.Context, tx pgx.Tx, key string, limit int) (rowsFound, error) {
	f := rowsFound{tables: make([][]uint32, len(s.Tables)), places: make([][]string, len(s.Tables))}
	find := s.findSQL(key, limit)
	rows, err := tx.Query(ctx, find.String(), find.Args...)
	if err != nil {
		return f, s.wrap(err)
	}
	var i int
	var oid uint32
	var place string
	_, err = pgx.ForEachRow(rows, []any{&i, &oid, &place}, func() error {
		f.count++
		f.tables[i], f.places[i] = append(f.tables[i], oid), append(f.places[i], place)
		return nil
	})
	if err != nil {
		return f, s.wrap(err)
	}
	return f, nil
}

// findSQL finds and locks rows (index in Step.Tables, tableoid, ctid).
func (s *Step) findSQL(key string, limit int) *args {
	a := s.plan.args(key)
	a.remembered = s.remembered
	if s.Kind == StepTogether {
		s.findTogether(a, limit)
		return a
	}
	t := s.Tables[0]
	strength := "UPDATE"
	if s.Kind != StepDelete {
		strength = "NO KEY UPDATE"
	}
	condition := s.condition(a, true) // writes what stands before SELECT, if anything does
	a.Add(fmt.Sprintf("SELECT 0, %[1]s.tableoid, %[1]s.ctid::%[2]s FROM %[3]s\n WHERE %[4]s\n LIMIT %[5]d FOR %[6]s OF %[1]s",
		bare(t.Table), pg.TextType, fromTable(t), condition, limit, strength))
	return a
}

// condition is whether the step changes a row of its only table. A search looks by one way; what is
// found is held against all.
func (s *Step) condition(a *args, search bool) string {
	t := s.Tables[0]
	at := bare(t.Table)
	owned := ""
	if search && s.way != nil {
		owned = a.by(t, s.way, at)
	} else {
		owned = a.owned(t, at)
	}
	switch s.Kind {
	case StepRedact:
		return owned + " AND " + t.Redaction.Differs()
	case StepClear:
		set := "NOT (" + strings.Join(s.empty(at), " OR ") + ")"
		a.Add("WITH RECURSIVE ", a.held(s.group.Tables, s.group.seed), "\n")
		return owned + " AND " + set + " AND NOT " + isHeld(s.group.index(t), at)
	}
	return owned + a.free(t, at)
}

// empty are the conditions that the columns to be emptied are.
func (s *Step) empty(at string) []string {
	var parts []string
	for _, name := range s.edge.clear {
		parts = append(parts, col(at, name)+" IS NULL")
	}
	return parts
}

// findTogether finds all rows of a circle that can go, of each table at most one more than the limit.
func (s *Step) findTogether(a *args, limit int) {
	a.Add("WITH RECURSIVE ", a.held(s.Tables, s.group.seed))
	for i, t := range s.Tables {
		at := bare(t.Table)
		a.Add(fmt.Sprintf(",\nreaper_l%d AS MATERIALIZED (SELECT %[2]s.tableoid, %[2]s.ctid FROM %[3]s WHERE %[4]s AND NOT %[5]s LIMIT %[6]d FOR UPDATE OF %[2]s)",
			i, at, fromTable(t), a.owned(t, at), isHeld(i, at), limit+1))
	}
	for i := range s.Tables {
		if i > 0 {
			a.Add("\nUNION ALL")
		}
		a.Add(fmt.Sprintf("\nSELECT %d, reaper_r.tableoid, reaper_r.ctid::%s FROM reaper_l%d reaper_r", i, pg.TextType, i))
	}
}

// actSQL changes rows that were found, as far as the conditions still hold. It returns one row: how
// many, by Step.Tables, and then the values to be remembered.
func (s *Step) actSQL(key string, found rowsFound) *args {
	a := s.plan.args(key)
	a.remembered = s.remembered
	with := "WITH "
	var changes []string
	for i, t := range s.Tables {
		located := a.located(t, found.tables[i], found.places[i])
		if s.Kind == StepTogether {
			at := bare(t.Table)
			changes = append(changes, "DELETE FROM "+fromTable(t)+"\n WHERE "+located+" AND "+a.owned(t, at)+" AND NOT "+isHeld(i, at))
			continue
		}
		changes = append(changes, s.change(t)+located+" AND "+s.conditionFound(a))
	}
	if s.Kind == StepTogether || s.Kind == StepClear {
		with = "WITH RECURSIVE " + a.held(s.group.Tables, s.group.seed) + ",\n"
	}
	a.Add(with)
	for i, t := range s.Tables {
		if i > 0 {
			a.Add(",\n")
		}
		returning := "1"
		if s.Kind == StepDelete || s.Kind == StepTogether {
			for k, name := range t.Remember {
				returning += ", " + col(bare(t.Table), name) + "::" + pg.TextType + " AS m" + strconv.Itoa(k)
			}
		}
		a.Add(fmt.Sprintf("reaper_g%d AS (", i), changes[i], "\n RETURNING ", returning, ")")
	}
	a.Add("\nSELECT ARRAY[", pg.List(len(s.Tables), func(i int) string { return fmt.Sprintf("(SELECT count(*) FROM reaper_g%d)", i) }), "]::bigint[]")
	for i, t := range s.Tables {
		for k := range t.Remember {
			value := "'{}'::" + pg.TextType + "[]"
			if s.Kind == StepDelete || s.Kind == StepTogether {
				value = fmt.Sprintf("(SELECT coalesce(array_agg(reaper_r.m%d), '{}') FROM reaper_g%d reaper_r)", k, i)
			}
			a.Add(", ", value)
		}
	}
	return a
}

// conditionFound is the condition of the second statement; the CTE that it may need is written by
// actSQL.
func (s *Step) conditionFound(a *args) string {
	t := s.Tables[0]
	at := bare(t.Table)
	switch s.Kind {
	case StepRedact:
		return a.owned(t, at) + " AND " + t.Redaction.Differs()
	case StepClear:
		return a.owned(t, at) + " AND NOT " + isHeld(s.group.index(t), at)
	}
	return a.owned(t, at) + a.free(t, at)
}

// change is the beginning of a step's UPDATE or DELETE.
func (s *Step) change(t *Table) string {
	switch s.Kind {
	case StepRedact:
		return "UPDATE " + fromTable(t) + " SET " + t.Redaction.Set() + "\n WHERE "
	case StepClear:
		return "UPDATE " + fromTable(t) + " SET " + pg.List(len(s.edge.clear), func(i int) string { return pg.Ident(s.edge.clear[i]) + " = NULL" }) + "\n WHERE "
	}
	return "DELETE FROM " + fromTable(t) + "\n WHERE "
}

// located is the condition that a row is one of those found.
func (a *args) located(t *Table, tables []uint32, places []string) string {
	at := bare(t.Table)
	ctids := a.Cast(places, pg.TextType+"[]") + "::tid[]"
	c := at + ".ctid OPERATOR(pg_catalog.=) ANY (" + ctids + ")"
	if t.Table.Kind == schema.Partitioned {
		c += " AND EXISTS (SELECT FROM unnest(" + a.Cast(tables, "oid[]") + ", " + ctids + ") reaper_f(tab, tid) WHERE reaper_f.tab OPERATOR(pg_catalog.=) " + at +
			".tableoid AND reaper_f.tid OPERATOR(pg_catalog.=) " + at + ".ctid)"
	}
	return c
}
