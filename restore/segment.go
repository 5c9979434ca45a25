package restore

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/reaperdb/reaper/archive"
	"github.com/reaperdb/reaper/internal/pg"
)

// segment is a segment that is being restored.
type segment struct {
	*run
	*Chosen
	from        *source
	groups      *groups // nil: not known yet
	lockTimeout time.Duration
}

// mostRows bounds a transaction, unless a single group of rows has more.
const mostRows = 100_000

// restore brings back what was chosen, in as few transactions as the bound allows.
func (s *segment) restore(ctx context.Context) error {
	if s.from.Run != s.Entry.Run || s.from.Policy != s.Entry.Policy {
		return &segmentError{s.from.name, errors.New("it is of another run or policy than its name says")}
	}
	if err := s.prepare(ctx); err != nil {
		return err
	}
	// The first attempt finds out which rows belong together.
	if err := s.attempt(ctx, nil); !errors.Is(err, errTooMany) {
		return s.after(ctx, nil, err)
	}
	for _, part := range s.groups.parts(mostRows) {
		if err := s.after(ctx, part, s.attempt(ctx, part)); err != nil {
			return err
		}
	}
	return nil
}

// errTooMany means that the rows must be parted into several transactions.
var errTooMany = errors.New("too many rows for one transaction")

// refusal is the reason why groups cannot come back, found before anything was written.
type refusal struct {
	groups []int32
	reason string
}

func (r *refusal) Error() string { return r.reason }

// after decides what comes after an attempt with these groups (nil: all).
func (s *segment) after(ctx context.Context, part []int32, err error) error {
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if end, is := errors.AsType[*endError](err); is {
		return fmt.Errorf("restoring segment %s: %w", s.from.name, end.err)
	}
	if s.groups == nil {
		return s.unloadable(err)
	}
	if part == nil {
		part = s.groups.all()
	}
	server, fromServer := errors.AsType[*pgconn.PgError](err)
	switch r, is := errors.AsType[*refusal](err); {
	case is:
		return s.without(ctx, part, r)
	case fromServer && strings.HasPrefix(server.Code, "42"): // the tables, and not a row
		return s.unloadable(err)
	case len(part) > 1:
		for _, half := range [][]int32{part[:len(part)/2], part[len(part)/2:]} {
			if err := s.after(ctx, half, s.attempt(ctx, half)); err != nil {
				return err
			}
		}
		return nil
	}
	left := s.groups.left(s.from.name, part, pg.ErrorText(err))
	if pg.HasCode(err, "23503") {
		s.orphans = append(s.orphans, left...)
	} else {
		s.leave(left...)
	}
	return nil
}

// without leaves some groups, and restores the others.
func (s *segment) without(ctx context.Context, part []int32, r *refusal) error {
	s.leave(s.groups.left(s.from.name, r.groups, r.reason)...)
	others := slices.DeleteFunc(slices.Clone(part), func(g int32) bool { return slices.Contains(r.groups, g) })
	if len(others) == 0 {
		return nil
	}
	return s.after(ctx, others, s.attempt(ctx, others))
}

// copyColumn finds the column in the context of an error of COPY.
var copyColumn = regexp.MustCompile(`, line \d+, column (.+?)(?:: |$)`)

// unloadable names what keeps a segment from being loaded.
func (s *segment) unloadable(err error) error {
	if _, is := errors.AsType[*FiresError](err); is {
		return err
	}
	server, is := errors.AsType[*pgconn.PgError](err)
	text := err.Error()
	if is {
		text = pg.ErrorText(err)
		if outer, _, found := strings.Cut(err.Error(), ": ERROR:"); found {
			text = outer + ": " + text
		}
		if m := copyColumn.FindStringSubmatch(server.Where); m != nil {
			text += ", column " + m[1]
		}
	}
	return &segmentError{s.from.name, errors.New(text)}
}

// endError is what ends the whole restore: no connection, or somebody's word.
type endError struct{ err error }

func (e *endError) Error() string { return e.err.Error() }
func (e *endError) Unwrap() error { return e.err }

// begin begins a transaction with the settings of the copy.
func (s *segment) begin(ctx context.Context) (pgx.Tx, error) {
	if s.Wait != nil {
		if err := s.Wait(ctx, s.Entry.Policy); err != nil {
			return nil, &endError{err}
		}
	}
	tx, err := s.pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.ReadCommitted, AccessMode: pgx.ReadWrite})
	if err != nil {
		return nil, &endError{err}
	}
	if err := set(ctx, tx, s.from.Settings, s.lockTimeout); err != nil {
		pg.Rollback(tx)
		return nil, err
	}
	return tx, nil
}

// set sets, for a transaction, what the text of values depends on: always ours, whatever a manifest
// says, since the text of statements depends on them too.
func set(ctx context.Context, tx pgx.Tx, settings []archive.Setting, lockTimeout time.Duration) error {
	if err := checkSettings(settings); err != nil {
		return err
	}
	b := &pgx.Batch{}
	for _, x := range archive.Settings {
		b.Queue("SELECT pg_catalog.set_config($1, $2, true)", x.Name, x.Value)
	}
	b.Queue("SELECT pg_catalog.set_config('lock_timeout', $1, true)", fmt.Sprintf("%dms", lockTimeout.Milliseconds()))
	b.Queue("SELECT pg_catalog.set_config('jit', 'off', true)")
	return tx.SendBatch(ctx, b).Close()
}

// attempt restores groups (nil: all that was chosen) in one transaction.
func (s *segment) attempt(ctx context.Context, part []int32) error {
	tx, err := s.begin(ctx)
	if err != nil {
		return err
	}
	defer pg.Rollback(tx)
	if err := s.within(ctx, tx, part); err != nil {
		_, server := errors.AsType[*pgconn.PgError](err)
		if tx.Conn().IsClosed() || server && pg.Away(err) && !pg.Passes(err) {
			return &endError{err}
		}
		return err
	}
	return nil
}

func (s *segment) within(ctx context.Context, tx pgx.Tx, part []int32) error {
	l, err := s.load(ctx, tx, part)
	if err != nil {
		return err
	}
	if s.groups == nil {
		if s.groups, err = l.group(ctx, s.Chosen); err != nil {
			return err
		}
		if s.groups.rows > mostRows {
			return errTooMany
		}
		if err := l.drop(ctx, func(id int32) bool { return s.groups.of[id] < 0 }); err != nil {
			return err
		}
		part = s.groups.all()
	}
	if len(part) == 0 {
		return nil
	}
	done, err := l.putBack(ctx, part)
	if err != nil {
		return err
	}
	if err := tx.Commit(ctx); err != nil {
		return err
	}
	s.account(done)
	return nil
}

func (s *segment) account(d *done) {
	s.Restored += d.restored
	s.Present += d.present
	s.References += d.references
	s.Changed += d.changed
	for name, n := range d.rows {
		s.Rows[name] += n
		s.RowsTotal += n
	}
}
