package guard

import (
	"context"
	"strings"
	"time"
)

// The size of the WAL. Only some roles may list its directory; others get an upper
// bound: what the server keeps before recycling, or what something still needs,
// whichever is more.
//
// WALInUse leaves out recycled segments. After a checkpoint the server renames
// segments it no longer needs, up to max_wal_size, instead of removing them. pg_wal
// stays as large, but later writes reuse those files and take no more disk. Timelines
// are ignored; other files count.
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

// recheckAfter is how often to check again whether the directory may be listed.
const recheckAfter = time.Minute

// walDirectory remembers whether the role may list the WAL directory. Without the
// privilege the whole statement fails, so this has to be known in advance.
type walDirectory struct {
	may   bool
	asked time.Time
}

// listed reports whether the role may list the directory. Only the reading goroutine
// calls it.
func (d *walDirectory) listed(ctx context.Context, db session) (bool, error) {
	if !d.asked.IsZero() && time.Since(d.asked) < recheckAfter {
		return d.may, nil
	}
	if err := queryOne(ctx, db, mayListWAL, nil, &d.may); err != nil {
		return false, err
	}
	d.asked = time.Now()
	return d.may, nil
}

const mayListWAL = `SELECT has_function_privilege('pg_ls_waldir()', 'EXECUTE')`

// refused reports whether a statement failed because it listed the directory: the
// privilege was revoked, or a managed server refuses by its own means. Listing is then
// skipped for a while.
func (d *walDirectory) refused(err error) bool {
	if !isPrivilegeError(err) || !strings.Contains(err.Error(), "pg_ls_waldir") {
		return false
	}
	d.may, d.asked = false, time.Now()
	return true
}
