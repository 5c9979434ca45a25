package partition

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/schema"
)

// detachTimeout bounds the wait for other users of the table. The client cancels: outside a
// transaction, statement_timeout would have to be set for the session, which PgBouncer
// shares.
const detachTimeout = 2 * time.Second

// DetachSQL detaches a partition from its table. It cannot run in a transaction.
func DetachSQL(table schema.Name, x schema.Partition) string {
	return "ALTER TABLE " + table.SQL() + " DETACH PARTITION " + x.Name.SQL() + " CONCURRENTLY"
}

// detach detaches the partition. After an error it may be detached, halfway or attached.
func (t *Table) detach(ctx context.Context, x schema.Partition) error {
	conn, err := t.Pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("detaching: %w", err)
	}
	defer conn.Release()
	finished := make(chan struct{})
	var canceller sync.WaitGroup
	cancelled := false
	canceller.Go(func() { cancelled = t.cancelDetach(conn, finished) })
	bounded, cancel := context.WithTimeout(ctx, detachTimeout+endPatience) // in case the cancel request is lost
	defer cancel()
	_, err = conn.Exec(bounded, DetachSQL(t.Name, x))
	close(finished)
	canceller.Wait()
	if cancelled {
		// A late cancel request would hit the connection's next statement.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		_ = conn.Conn().Close(ctx)
	}
	if pg.HasCode(err, "57014") {
		return fmt.Errorf("detaching: the table has been in use for more than %s", detachTimeout)
	}
	if err != nil {
		return fmt.Errorf("detaching: %w", err)
	}
	return nil
}

// cancelDetach cancels the connection's statement if it takes too long or the run is
// stopping, and reports whether it did.
func (t *Table) cancelDetach(conn *pgxpool.Conn, finished <-chan struct{}) bool {
	timeout := time.NewTimer(detachTimeout)
	defer timeout.Stop()
	select {
	case <-finished:
		return false
	case <-timeout.C:
	case <-t.Stopping.Done():
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := conn.Conn().PgConn().CancelRequest(ctx); err != nil {
		t.Log.Warn("canceling a detach failed", "error", pg.ErrorText(err))
	}
	return true
}
