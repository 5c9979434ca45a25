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

// detachTimeout bounds the wait for those who are using the table. It is the
// client that cancels: outside a transaction a timeout would have to be set for
// the session, which is somebody else's behind PgBouncer.
const detachTimeout = 2 * time.Second

// DetachSQL takes a partition out of its table. It can stand in no transaction.
func DetachSQL(table schema.Name, x schema.Partition) string {
	return "ALTER TABLE " + table.SQL() + " DETACH PARTITION " + x.Name.SQL() + " CONCURRENTLY"
}

// detach takes the partition out of its table. After an error it may be out,
// halfway out or in.
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
	bounded, cancel := context.WithTimeout(ctx, detachTimeout+endPatience) // when no cancel arrives
	defer cancel()
	_, err = conn.Exec(bounded, DetachSQL(t.Name, x))
	close(finished)
	canceller.Wait()
	if cancelled {
		// A cancel that comes late would meet the connection's next statement.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		_ = conn.Conn().Close(ctx)
	}
	if pg.HasCode(err, "57014") {
		return fmt.Errorf("detaching: others have used the table for more than %s", detachTimeout)
	}
	if err != nil {
		return fmt.Errorf("detaching: %w", err)
	}
	return nil
}

// cancelDetach cancels what a connection is doing when it takes too long or the
// run is to end, and reports whether it did.
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
		t.Log.Warn("cannot cancel a detach", "error", pg.ErrorText(err))
	}
	return true
}
