package partition

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/internal/pg"
)

// lock takes the lock that keeps other processes from dropping partitions of the table and
// from undoing what this one is about to do. It lasts as long as the transaction, which
// holds no snapshot and no other lock.
func (t *Table) lock(ctx context.Context) (tx pgx.Tx, err error) {
	var got, paused bool
	err = t.WithServer(ctx, func() (err error) {
		tx, got, paused, err = t.lockOnce(ctx)
		return err
	})
	switch {
	case err != nil:
		err = fmt.Errorf("locking the partitions of the table: %w", err)
	case !got:
		err = ErrBusy
	case paused:
		err = ErrPaused
	default:
		return tx, nil
	}
	if tx != nil {
		pg.Rollback(tx)
	}
	return nil, err
}

func (t *Table) lockOnce(ctx context.Context) (tx pgx.Tx, got, paused bool, err error) {
	tx, err = pg.Begin(ctx, t.Pool, pgx.ReadWrite)
	if err != nil {
		return nil, false, false, err
	}
	err = tx.QueryRow(ctx, `SELECT pg_try_advisory_xact_lock($1::bigint), `+t.Ledger.PausedSQL("$2::text"), lockKey(t.OID), t.Policy).Scan(&got, &paused)
	if err == nil {
		// A statement without a snapshot or parameters: until the next statement, the last
		// one's portal keeps its snapshot, and finishing an interrupted detach waits for all
		// older snapshots.
		_, err = tx.Exec(ctx, `SET LOCAL idle_in_transaction_session_timeout = '10min'`)
	}
	if err != nil {
		pg.Rollback(tx)
		return nil, false, false, err
	}
	return tx, got, paused, nil
}

// lockKey returns the advisory lock key for the partitions of a table.
func lockKey(table uint32) int64 {
	sum := sha256.Sum256(fmt.Appendf(nil, "reaper\x00partitions\x00%d", table))
	return int64(binary.BigEndian.Uint64(sum[:8]))
}

// lockHoldersSQL lists the transactions, including prepared ones, that hold a lock on a table or on
// one that it references: dropping a partition, or attaching it again, locks those too.
const lockHoldersSQL = `SELECT array(SELECT DISTINCT l.virtualtransaction FROM pg_locks l JOIN pg_database d ON d.oid = l.database
	WHERE d.datname = current_database() AND l.locktype = 'relation' AND l.granted AND
	      l.relation IN (SELECT $1::bigint::oid UNION ALL SELECT k.confrelid FROM pg_constraint k WHERE k.conrelid = $1::bigint::oid AND k.contype = 'f') AND l.pid IS DISTINCT FROM pg_backend_pid() ORDER BY 1)`

// awaitUnused waits until the current users of the table are gone. DETACH would wait for
// them with the rows already invisible, and a reader of several hours, such as pg_dump,
// would leave it halfway.
func (t *Table) awaitUnused(ctx context.Context) error {
	ends := time.Now().Add(detachTimeout)
	var first []string
	for try := 0; ; try++ {
		var users []string
		err := t.WithServer(ctx, func() error {
			return pg.Pinned(t.Pool).QueryRow(ctx, lockHoldersSQL, int64(t.OID)).Scan(&users)
		})
		if err != nil {
			return fmt.Errorf("checking who uses the table: %w", err)
		}
		if try == 0 {
			first = users
		}
		if first = common(first, users); len(first) == 0 {
			return nil
		}
		if t.Stopping.Err() != nil {
			return ErrStopping
		}
		if time.Now().After(ends) {
			return errInUse
		}
		t.Backoff(ctx, try)
	}
}

// common returns the elements that two sorted lists share.
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
