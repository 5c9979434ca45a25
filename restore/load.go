package restore

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/archive"
	"github.com/reaperdb/reaper/internal/pg"
)

// loaded are rows of a segment in temporary tables.
type loaded struct {
	*segment
	tx     pgx.Tx
	tables []*table
	// first has, for each table, the id of its first row: rows are numbered over all tables.
	first []int32
}

// load loads the rows of groups; nil: all.
func (s *segment) load(ctx context.Context, tx pgx.Tx, part []int32) (*loaded, error) {
	l := &loaded{segment: s, tx: tx}
	var wanted map[int32]bool
	if part != nil {
		wanted = make(map[int32]bool, len(part))
		for _, g := range part {
			wanted[g] = true
		}
	}
	next := int64(0)
	for i := range s.from.Tables {
		f := &s.from.Tables[i]
		t, err := s.target(ctx, tx, i, f)
		if err != nil {
			return nil, err
		}
		if next+f.Rows > 1<<31-1 {
			return nil, errors.New("it has too many rows")
		}
		if err := t.make(ctx, tx); err != nil {
			return nil, fmt.Errorf("making a temporary table like %s: %w", t.target, err)
		}
		l.tables, l.first = append(l.tables, t), append(l.first, int32(next))
		from := int32(next)
		take := func(row int32) bool { return wanted == nil || wanted[s.groups.of[from+row]] }
		if err := l.fill(ctx, t, take); err != nil {
			return nil, fmt.Errorf("loading rows of %s: %w", t.target, err)
		}
		next += f.Rows
	}
	return l, nil
}

// target is the table that a file's rows go into.
func (s *segment) target(ctx context.Context, tx pgx.Tx, n int, f *archive.File) (*table, error) {
	if s.Into != "" {
		return s.fresh(n, f), nil
	}
	if err := s.checkTable(f.Table.Name); err != nil {
		return nil, err
	}
	if err := s.checkHolds(f); err != nil {
		return nil, err
	}
	return newTable(ctx, tx, n, f, s.Fire)
}

// checkHolds refuses rows that could not be held: the policy's next run would take them.
func (s *segment) checkHolds(f *archive.File) error {
	for i := range s.Holds {
		if h := &s.Holds[i]; h.Table == f.Table.Name && f.Kind == archive.Deleted && len(h.Columns) == 0 {
			return fmt.Errorf("what comes back of table %s could not be held for policy %s, which has errors; mend what reaper check says, or use --into SCHEMA", pg.Ident(f.Schema, f.Table.Name.Name), h.Policy)
		}
	}
	return nil
}

// fill copies the rows that are to be taken, each with its ordinal, from 0.
func (l *loaded) fill(ctx context.Context, t *table, take func(row int32) bool) (err error) {
	f, err := l.from.open(t.File)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	from, to := io.Pipe()
	written := make(chan error, 1)
	go func() {
		err := number(to, f, take)
		to.CloseWithError(err) // nil: the end
		written <- err
	}()
	_, err = l.tx.Conn().PgConn().CopyFrom(ctx, from, fmt.Sprintf("COPY %s (%s%s) FROM STDIN", t.temp, pg.Ident(t.ord), pg.Prefixed(len(t.columns), func(i int) string { return pg.Ident(t.columns[i].name) })))
	_ = from.Close() // ends the writer
	if wrote := <-written; err == nil && wrote != nil {
		err = wrote
	}
	return err
}

// number puts the ordinal before each row that is to be taken, and leaves the others out.
func number(to io.Writer, from io.Reader, take func(row int32) bool) error {
	r, w := bufio.NewReaderSize(from, 1<<16), bufio.NewWriterSize(to, 1<<16)
	begins, taken := true, false
	for row := int32(-1); ; {
		piece, err := r.ReadSlice('\n')
		if len(piece) > 0 && begins {
			row++
			if taken = take(row); taken {
				if _, err := w.Write(append(strconv.AppendInt(nil, int64(row), 10), '\t')); err != nil {
					return err
				}
			}
		}
		if taken {
			if _, err := w.Write(piece); err != nil {
				return err
			}
		}
		begins = err == nil
		switch {
		case err == io.EOF:
			return w.Flush()
		case err != nil && !errors.Is(err, bufio.ErrBufferFull):
			return err
		}
	}
}

// drop removes rows from the temporary tables.
func (l *loaded) drop(ctx context.Context, unwanted func(id int32) bool) error {
	for i, t := range l.tables {
		var rows []int64
		for row := range t.File.Rows {
			if unwanted(l.first[i] + int32(row)) {
				rows = append(rows, row)
			}
		}
		if len(rows) == 0 {
			continue
		}
		if _, err := l.tx.Exec(ctx, "DELETE FROM "+t.temp+" r WHERE r."+pg.Ident(t.ord)+" = ANY ($1::bigint[])", rows); err != nil {
			return err
		}
	}
	return nil
}

// ids reads ordinals of a table's rows.
func (l *loaded) ids(ctx context.Context, i int, sql string, args ...any) ([]int32, error) {
	rows, err := l.tx.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	var ids []int32
	var row int32
	_, err = pgx.ForEachRow(rows, []any{&row}, func() error {
		ids = append(ids, l.first[i]+row)
		return nil
	})
	return ids, err
}
