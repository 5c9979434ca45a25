package guard

import (
	"context"
	"strings"
	"time"
)

// The bytes of WAL there are. Only some roles may list its directory. Others are
// told what it may hold at most: what the server keeps before it recycles, or what
// somebody still needs, whichever is more.
//
// WALInUse leaves out the segments that are to be written next: after a checkpoint
// the server renames what it no longer needs, up to max_wal_size, and does not
// remove it. pg_wal stays as large as it was; but what is written from then on goes
// there, and takes no more of the disk. Timelines do not matter, other files count.
const (
	walSize  = `SELECT coalesce(sum(size), 0)::bigint FROM pg_ls_waldir()`
	WALInUse = walSize + ` WHERE NOT (name ~ '^[0-9A-F]{24}$'
	AND substr(name, 9) COLLATE "C" > substr(pg_walfile_name(pg_current_wal_insert_lsn()), 9) COLLATE "C")`
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
func (d *walDirectory) listed(ctx context.Context, db session) (bool, error) {
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

// refused tells that a statement failed since it listed the directory: the privilege
// is revoked, or the server has its own way to refuse it, as managed ones do. It is
// done without for a while.
func (d *walDirectory) refused(err error) bool {
	if !denies(err) || !strings.Contains(err.Error(), "pg_ls_waldir") {
		return false
	}
	d.may, d.asked = false, time.Now()
	return true
}
