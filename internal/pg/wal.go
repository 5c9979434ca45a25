package pg

// WALPosition is an SQL expression for the number of bytes of WAL written since the server's
// creation.
const WALPosition = "pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_insert_lsn(), '0/0')::pg_catalog.int8"
