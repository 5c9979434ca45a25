package purge

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/schema"
)

// A partition goes in five steps, and a crash between any two is undone by the
// next start (partitions_undo.go): note in the ledger what is to be detached;
// DETACH … CONCURRENTLY; then in one transaction take the note back and lock the
// table, verify and count and write the ledger, drop it. All that time a second
// connection holds the table's lock among reapers, in a transaction that does
// nothing else, because the detach itself can stand in none.

const (
	// detachTimeout bounds the wait for those who are using the table. It is the
	// client that cancels: outside a transaction a timeout would have to be set for
	// the session, which is somebody else's behind PgBouncer.
	detachTimeout = 2 * time.Second
	// lookTimeout bounds the look whether all rows of a partition are expired.
	lookTimeout = 15 * time.Second
	// verifyTimeout bounds the second look, at a table that nobody else needs.
	verifyTimeout = time.Minute
	dropTries     = 3
)

var (
	// errInUse: a transaction has been using one of the tables for long, and would hold
	// up a detach halfway, or keep the partition from being dropped or attached again.
	errInUse = errors.New("another transaction has been using the table, or one that it references, for some time")
	// errNotExpired: not every row of the partition is expired.
	errNotExpired = errors.New("a row in it is not expired any more")
	// errSettled: somebody else has settled what became of the partition.
	errSettled = errors.New("its detach was settled by somebody else")
)

// partitionsWork is what a policy's run has done with partitions: one worker at a time
// drops those of a policy.
type partitionsWork struct {
	left []detached // could not be attached again
	why  string     // the last reason
	late []string   // names of those that could be after all, at the end
}

// reasons tell why a run that left a partition detached is incomplete.
func (x *partitionsWork) reasons() []string {
	var reasons []string
	for _, d := range x.left {
		if slices.Contains(x.late, d.name) {
			reasons = append(reasons, "partition "+d.name+" was detached, and attached again only at the end")
		} else {
			reasons = append(reasons, "partition "+d.name+" is detached, its rows are out of sight until a later run can attach it again: "+x.why)
		}
	}
	return reasons
}

// dropPartitions drops the partitions whose rows are all expired. Whatever stands
// against one leaves its rows to be found and deleted like all others.
func (w *work) dropPartitions(ctx context.Context, worker int) {
	if w.ended() || w.fixed == 0 || len(w.parts.left) > 0 || !w.plan.parts.droppable() || w.run.opts.someRows() || w.stopping() {
		return
	}
	if w.run.pool.Config().MaxConns < 2 {
		w.run.log.Info("no partition is dropped whole: that takes two connections, and the pool has one", "policy", w.plan.Policy.Name)
		return
	}
	found, siblings, err := w.expiredPartitions(ctx)
	if err != nil {
		w.notDropped(w.plan.Root.Table.Name, err)
		return
	}
	for len(found) > 0 {
		x := found[0]
		if siblings < 2 || !w.waitForGuards(ctx, worker) || ctx.Err() != nil {
			return
		}
		var dropped bool
		w.exclusively(ctx, func(ctx context.Context) { dropped, err = w.dropPartition(ctx, x) })
		switch {
		case errors.Is(err, errHandPaused):
			w.findByHand()
			continue
		case errors.Is(err, errGuarded):
			continue // waitForGuards waits
		}
		found = found[1:]
		if err != nil {
			w.notDropped(x.name, err)
			return // what stands against this one may stand against all
		}
		if dropped {
			siblings--
		}
	}
}

func (w *work) notDropped(what schema.Name, err error) {
	switch {
	case errors.Is(err, errHalted):
	case errors.Is(err, errBusy):
		w.run.log.Info("another process drops partitions of the table", "policy", w.plan.Policy.Name)
	default:
		w.run.log.Warn("partition not dropped; its expired rows are deleted one by one", "policy", w.plan.Policy.Name, "partition", what.String(), "error", plain(err))
	}
}

// expiredPartitions are the partitions that may be droppable by their range, and
// the number of all there are.
func (w *work) expiredPartitions(ctx context.Context) (found []partition, siblings int, err error) {
	s := w.plan.expiredPartitionsSQL(w.scope())
	err = w.run.withServer(ctx, func() error {
		found = nil
		return w.run.read(ctx, w.plan.readingPath(), searchTimeout, func(tx pgx.Tx) error {
			rows, err := tx.Query(ctx, s.String(), s.args...)
			if err != nil {
				return err
			}
			var x partition
			var oid int64
			var against string
			_, err = pgx.ForEachRow(rows, []any{&oid, &x.name.Schema, &x.name.Name, &x.bound, &x.upper, &x.dated, &siblings, &x.checks, &against}, func() error {
				if x.oid = uint32(oid); against == "" {
					found = append(found, x)
				} else {
					w.run.log.Info("partition not dropped", "policy", w.plan.Policy.Name, "partition", x.name.String(), "reason", against)
				}
				x.checks = nil
				return nil
			})
			return err
		})
	})
	return found, siblings, err
}

// allExpired looks whether a partition has rows, all of them expired, before
// anything happens to it.
func (w *work) allExpired(ctx context.Context, x partition) (bool, error) {
	s := w.plan.allExpiredSQL(w.scope(), x)
	var some, all bool
	err := w.run.withServer(ctx, func() error {
		return w.run.read(ctx, w.plan.readingPath(), lookTimeout, func(tx pgx.Tx) error {
			return tx.QueryRow(ctx, s.String(), s.args...).Scan(&some, &all)
		})
	})
	if err != nil {
		return false, fmt.Errorf("looking whether all rows are expired: %w", err)
	}
	return some && all, nil
}

// dropPartition drops a partition if all its rows are expired. After an error it
// is attached as before, or among the detached.
func (w *work) dropPartition(ctx context.Context, x partition) (bool, error) {
	if ok, err := w.allExpired(ctx, x); err != nil || !ok {
		return false, err
	}
	guard, err := w.guardTable(ctx)
	if err != nil {
		return false, err
	}
	defer rollback(guard)
	if err := w.awaitUnused(ctx); err != nil {
		return false, err
	}
	if err := w.stillDroppable(ctx, x); err != nil {
		return false, err
	}
	if w.run.heldUp(w.plan.Policy.Name) { // it took its time
		return false, errGuarded
	}
	d := detached{policy: w.plan.Policy.Name, parent: w.plan.Root.Table.OID, partition: x.oid, name: x.name.String(), bound: x.bound, checks: x.checks}
	err = w.run.withServer(ctx, func() error {
		return w.run.ledger.NoteDetach(ctx, w.run.pool, w.run.id, d.policy, d.parent, d.partition, d.name, d.bound, d.checks)
	})
	if err != nil {
		return false, fmt.Errorf("noting the detach in the ledger: %w", err)
	}
	tx := &dropTx{started: time.Now()}
	if err = w.detach(ctx, x); err == nil {
		err = w.dropDetached(ctx, x, tx)
	}
	if err != nil && (!w.undo(ctx, d) || !tx.committing) {
		return false, err
	}
	w.accountDrop(x, tx)
	return true, nil
}

// stillDroppable checks again what rules out dropping a partition, at the last
// moment: since the first look others may have been waited for.
func (w *work) stillDroppable(ctx context.Context, x partition) error {
	s := w.plan.stillAgainstSQL(x)
	var against string
	err := w.run.withServer(ctx, func() error {
		return pg.Pinned(w.run.pool).QueryRow(ctx, s.String(), s.args...).Scan(&against)
	})
	if err == nil && against != "" {
		return errors.New(against)
	}
	if err != nil {
		return fmt.Errorf("checking again what rules out the drop: %w", err)
	}
	return nil
}

// guardTable takes the lock that keeps other processes from dropping partitions
// of the table, and from undoing what this one is about to do. It lasts as long as
// the transaction, which has no snapshot and no other lock.
func (w *work) guardTable(ctx context.Context) (tx pgx.Tx, err error) {
	err = w.run.withServer(ctx, func() error {
		tx, err = pg.Begin(ctx, w.run.pool, pgx.ReadWrite)
		if err != nil {
			return err
		}
		var got, paused bool
		err = tx.QueryRow(ctx, `SELECT pg_try_advisory_xact_lock($1::bigint), `+w.run.ledger.PausedSQL("$2::text"),
			partitionsKey(w.plan.Root.Table.OID), w.plan.Policy.Name).Scan(&got, &paused)
		switch {
		case err != nil:
		case !got:
			err = errBusy
		case paused:
			err = errHandPaused
		}
		if err == nil {
			// A statement without a snapshot and without values to bind: until the next
			// one, the portal of the last keeps its snapshot, and the end of a detach that
			// was interrupted waits for all older snapshots.
			_, err = tx.Exec(ctx, `SET LOCAL idle_in_transaction_session_timeout = '10min'`)
		}
		if err != nil {
			rollback(tx)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("locking the partitions of the table: %w", err)
	}
	return tx, nil
}

// partitionsKey is the advisory lock over the partitions of one table.
func partitionsKey(table uint32) int64 {
	sum := sha256.Sum256(fmt.Appendf(nil, "reaper\x00partitions\x00%d", table))
	return int64(binary.BigEndian.Uint64(sum[:8]))
}

// usersSQL are the transactions, prepared ones among them, that hold a lock on a
// table, or on one that it references: dropping a partition, and attaching it again,
// locks those too.
const usersSQL = `SELECT array(SELECT DISTINCT l.virtualtransaction FROM pg_locks l JOIN pg_database d ON d.oid = l.database
	WHERE d.datname = current_database() AND l.locktype = 'relation' AND l.granted AND
	      l.relation IN (SELECT $1::bigint::oid UNION ALL SELECT k.confrelid FROM pg_constraint k WHERE k.conrelid = $1::bigint::oid AND k.contype = 'f') AND l.pid IS DISTINCT FROM pg_backend_pid() ORDER BY 1)`

// awaitUnused waits until those who are using the table now have left it. A
// detach would wait for them with the rows already gone from sight; a reader who
// stays for hours, such as pg_dump, would leave it in the middle.
func (w *work) awaitUnused(ctx context.Context) error {
	ends := time.Now().Add(detachTimeout)
	var first []string
	for try := 0; ; try++ {
		var users []string
		err := w.run.withServer(ctx, func() error {
			return pg.Pinned(w.run.pool).QueryRow(ctx, usersSQL, int64(w.plan.Root.Table.OID)).Scan(&users)
		})
		if err != nil {
			return fmt.Errorf("looking who uses the table: %w", err)
		}
		if try == 0 {
			first = users
		}
		if first = common(first, users); len(first) == 0 {
			return nil
		}
		if w.run.halt.Err() != nil {
			return errHalted
		}
		if time.Now().After(ends) {
			return errInUse
		}
		w.run.sleep(ctx, w.run.backoff(try))
	}
}

// common are the elements of two sorted lists that both have.
func common(a, b []string) []string {
	in := map[string]bool{}
	for _, x := range b {
		in[x] = true
	}
	var both []string
	for _, x := range a {
		if in[x] {
			both = append(both, x)
		}
	}
	return both
}

// detach takes the partition out of its table. After an error it may be out,
// halfway out or in.
func (w *work) detach(ctx context.Context, x partition) error {
	conn, err := w.run.pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("detaching: %w", err)
	}
	defer conn.Release()
	finished := make(chan struct{})
	var canceller sync.WaitGroup
	cancelled := false
	canceller.Go(func() { cancelled = w.cancelDetach(conn, finished) })
	bounded, cancel := context.WithTimeout(ctx, detachTimeout+haltPatience) // when no cancel arrives
	defer cancel()
	_, err = conn.Exec(bounded, w.plan.detachSQL(x))
	close(finished)
	canceller.Wait()
	if cancelled {
		// A cancel that comes late would meet the connection's next statement.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		_ = conn.Conn().Close(ctx)
	}
	if isCode(err, "57014") {
		return fmt.Errorf("detaching: others have used the table for more than %s", detachTimeout)
	}
	if err != nil {
		return fmt.Errorf("detaching: %w", err)
	}
	return nil
}

// cancelDetach cancels what a connection is doing when it takes too long or the
// run is to end, and tells whether it did.
func (w *work) cancelDetach(conn *pgxpool.Conn, finished <-chan struct{}) bool {
	timeout := time.NewTimer(detachTimeout)
	defer timeout.Stop()
	select {
	case <-finished:
		return false
	case <-timeout.C:
	case <-w.run.halt.Done():
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := conn.Conn().PgConn().CancelRequest(ctx); err != nil {
		w.run.log.Warn("cannot cancel a detach", "error", plain(err))
	}
	return true
}
