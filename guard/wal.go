package guard

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// The bytes of WAL there are. Only some roles may list its directory. Others are
// told what it may hold at most: what the server keeps before it recycles, or what
// somebody still needs, whichever is more.
const (
	walSize  = `SELECT coalesce(sum(size), 0)::bigint FROM pg_ls_waldir()`
	walBound = `SELECT greatest(pg_size_bytes(current_setting('max_wal_size')),
	(pg_current_wal_insert_lsn() - least(
		(SELECT redo_lsn FROM pg_control_checkpoint()),
		(SELECT min(restart_lsn) FROM pg_replication_slots WHERE wal_status IS DISTINCT FROM 'lost')
	))::bigint + pg_size_bytes(current_setting('wal_keep_size')))`
)

// listAgain is how often it is asked anew whether the directory may be listed.
const listAgain = time.Minute

// walDirectory remembers whether the role may list the directory of the WAL. A
// statement that may not fails as a whole, so this has to be known before.
type walDirectory struct {
	may   bool
	asked time.Time
}

// listed tells whether the role may list the directory. It belongs to the one
// goroutine that reads.
func (d *walDirectory) listed(ctx context.Context, db *pgxpool.Pool) (bool, error) {
	if !d.asked.IsZero() && time.Since(d.asked) < listAgain {
		return d.may, nil
	}
	if err := one(ctx, db, mayListWAL, nil, &d.may); err != nil {
		return false, err
	}
	d.asked = time.Now()
	return d.may, nil
}

const mayListWAL = `SELECT has_function_privilege('pg_ls_waldir()', 'EXECUTE')`

// refused has the privilege looked up anew after a statement without it.
func (d *walDirectory) refused(err error) error {
	if denies(err) {
		d.asked = time.Time{}
		return &deniedError{what: "list pg_wal", need: monitor}
	}
	return err
}
