package restore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/archive"
	"github.com/reaperdb/reaper/internal/pg"
)

// ErrTaken means that a schema has a table of this name that restore did not make.
var ErrTaken = errors.New("the schema has such a table already; name a schema that has none")

// freshName is the name of a table of Into.
func freshName(f *archive.File) string {
	name := f.Table.Name.Name
	if f.Schema != "public" {
		name = f.Schema + "." + name
	}
	if f.Kind == archive.Emptied {
		name += " emptied"
		for _, e := range f.Emptied {
			name += " " + e.Column
		}
	}
	return name
}

// fresh is the table of Into that a file's rows go into.
func (s *segment) fresh(n int, f *archive.File) *table {
	t := &table{File: f, target: pg.Ident(s.Into, freshName(f)), temp: fmt.Sprintf("pg_temp.reaper_restore_%d", n), ord: ordName(f)}
	for _, c := range f.Columns {
		t.columns = append(t.columns, column{name: c.Name, today: c.Type})
	}
	return t
}

// prepare makes what is needed before rows can come: the dropped partition, or the tables of Into.
func (s *segment) prepare(ctx context.Context) error {
	if s.Into == "" && s.from.Partition == nil {
		return nil
	}
	tx, err := s.begin(ctx)
	if err != nil {
		return err
	}
	defer pg.Rollback(tx)
	made := map[string]string{}
	if s.Into == "" {
		err = s.preparePartition(ctx, tx)
	} else {
		err = s.prepareInto(ctx, tx, made)
	}
	if err == nil {
		err = tx.Commit(ctx)
	}
	if err == nil {
		maps.Copy(s.into, made)
	}
	return err
}

// prepareInto makes the tables of Into that are not there, and notes them in now.
func (s *segment) prepareInto(ctx context.Context, tx pgx.Tx, now map[string]string) error {
	var there bool
	if err := tx.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1::text)", s.Into).Scan(&there); err != nil {
		return err
	}
	if !there {
		if _, err := tx.Exec(ctx, "CREATE SCHEMA "+pg.Ident(s.Into)); err != nil {
			return fmt.Errorf("making schema %s: %s", pg.Ident(s.Into), pg.ErrorText(err))
		}
	}
	for i := range s.from.Tables {
		t := s.fresh(i, &s.from.Tables[i])
		was, made := s.into[t.target]
		columns, err := t.freshColumns(ctx, tx)
		if err != nil {
			return err
		}
		if made && was == columns {
			continue
		}
		if made {
			return &segmentError{s.from.name, fmt.Errorf("table %s has other columns in an earlier segment; restore this run alone, or a shorter time", t.target)}
		}
		_, err = tx.Exec(ctx, "CREATE TABLE "+t.target+" ("+columns+")")
		if pg.HasCode(err, "42P07") {
			return fmt.Errorf("table %s: %w", t.target, ErrTaken)
		}
		if err != nil {
			return fmt.Errorf("making table %s: %s", t.target, pg.ErrorText(err))
		}
		now[t.target] = columns
	}
	return nil
}

// freshColumns are the columns of a table of Into; a type that is gone becomes text.
func (t *table) freshColumns(ctx context.Context, tx pgx.Tx) (string, error) {
	parts := make([]string, len(t.columns))
	for i := range t.columns {
		c := &t.columns[i]
		c.today = "text" // if it has no such type any more
		typ, err := t.typeOf(ctx, tx, i)
		if err != nil {
			return "", err
		}
		parts[i] = pg.Ident(c.name) + " " + typ
	}
	return strings.Join(parts, ", "), nil
}

// preparePartition makes a partition again that was dropped.
func (s *segment) preparePartition(ctx context.Context, tx pgx.Tx) error {
	p := s.from.Partition
	if p == nil {
		return nil
	}
	err := checkPartition(p, s.from.Root)
	if err == nil {
		err = s.checkTable(p.Parent)
	}
	if err != nil {
		return &segmentError{s.from.name, err}
	}
	var oid uint32
	err = tx.QueryRow(ctx, tableSQL, p.Schema, p.Name.Name).Scan(&oid)
	if !errors.Is(err, pgx.ErrNoRows) {
		return err
	}
	if _, err := tx.Exec(ctx, fmt.Sprintf("CREATE TABLE %s PARTITION OF %s %s", pg.Ident(p.Schema, p.Name.Name), pg.Ident(p.Parent.Schema, p.Parent.Name), p.Bound)); err != nil {
		return &segmentError{s.from.name, fmt.Errorf("making partition %s of %s again: %s", pg.Ident(p.Schema, p.Name.Name), pg.Ident(p.Parent.Schema, p.Parent.Name), pg.ErrorText(err))}
	}
	return nil
}
