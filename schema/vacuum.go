package schema

import (
	"fmt"

	"github.com/jackc/pgx/v5"
)

// MayVacuum is an SQL condition: whether the current role may VACUUM the table
// that is row m of pg_class. VACUUM itself passes over a table that it may not
// touch, with no more than a notice. Only PostgreSQL 17 and later know MAINTAIN.
const MayVacuum = `(pg_has_role(m.relowner, 'USAGE')
       OR pg_has_role((SELECT d.datdba FROM pg_database d WHERE d.datname = current_database()), 'USAGE')
       OR CASE WHEN current_setting('server_version_num')::int >= 170000 THEN has_table_privilege(m.oid, 'MAINTAIN') ELSE false END)`

// HasMaintain reports whether a server knows the privilege MAINTAIN, with which a role
// may vacuum a table that is not its own. version is its server_version_num.
func HasMaintain(version int) bool { return version >= 170000 }

// VacuumRemedy is what helps where a role may not vacuum tables, named as SQL names
// them.
func VacuumRemedy(version int, role, tables string) string {
	if HasMaintain(version) {
		return fmt.Sprintf("GRANT MAINTAIN ON %s TO %s; -- of a partitioned table on each partition; or run as their owner, or write vacuum: never", tables, pgx.Identifier{role}.Sanitize())
	}
	return "write vacuum: never # and leave them to autovacuum; or run as their owner"
}
