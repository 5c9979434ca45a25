package pg

// WALPosition is an SQL expression: how many bytes of WAL the server has written
// since it was made.
const WALPosition = "pg_catalog.pg_wal_lsn_diff(pg_catalog.pg_current_wal_insert_lsn(), '0/0')::pg_catalog.int8"
