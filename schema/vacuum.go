package schema

import (
	"fmt"

	"github.com/jackc/pgx/v5"
)

// MayVacuum is an SQL condition for whether the current role may VACUUM the table in row m
// of pg_class. VACUUM itself skips a table without the privilege, with only a notice.
// MAINTAIN exists from PostgreSQL 17 on.
const MayVacuum = `(pg_has_role(m.relowner, 'USAGE')
       OR pg_has_role((SELECT d.datdba FROM pg_database d WHERE d.datname = current_database()), 'USAGE')
       OR CASE WHEN current_setting('server_version_num')::int >= 170000 THEN has_table_privilege(m.oid, 'MAINTAIN') ELSE false END)`

// HasMaintain reports whether a server has the MAINTAIN privilege, with which a role may
// vacuum tables that it does not own. version is its server_version_num.
func HasMaintain(version int) bool { return version >= 170000 }

// VacuumRemedy returns the remedy where a role may not vacuum tables, given as SQL names.
func VacuumRemedy(version int, role, tables string) string {
	if HasMaintain(version) {
		return fmt.Sprintf("GRANT MAINTAIN ON %s TO %s; -- for a partitioned table, on each partition; or run as their owner, or write vacuum: never", tables, pgx.Identifier{role}.Sanitize())
	}
	return "write vacuum: never # and leave them to autovacuum; or run as their owner"
}
