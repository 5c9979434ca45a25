package plan

import (
	"fmt"
)

// sources records where settings that matter to a purge come from. The most specific source wins.
// Names are quoted as SQL identifiers.
type sources struct {
	session, database string // the role that logged in, and the database
	replicationRole   string // pg_settings.source
	trackCounts       string
}

const sourcesSQL = `SELECT quote_ident(session_user), quote_ident(current_database()),
       (SELECT s.source FROM pg_settings s WHERE s.name = 'session_replication_role'),
       (SELECT s.source FROM pg_settings s WHERE s.name = 'track_counts')`

// settingFix undoes a setting at its source. wanted is the value it must have.
func (s sources) settingFix(setting, wanted, source string) string {
	switch source {
	case "database user":
		return "ALTER ROLE " + s.session + " IN DATABASE " + s.database + " RESET " + setting + ";"
	case "user":
		return "ALTER ROLE " + s.session + " RESET " + setting + ";"
	case "database":
		return "ALTER DATABASE " + s.database + " RESET " + setting + ";"
	case "global":
		return "ALTER ROLE ALL RESET " + setting + ";"
	case "configuration file":
		return "ALTER SYSTEM SET " + setting + " = " + wanted + "; SELECT pg_reload_conf(); -- or take it out of postgresql.conf"
	case "client":
		return fmt.Sprintf("take %s out of the connection string, or of PGOPTIONS", setting)
	case "session":
		return fmt.Sprintf("another client of the pooler has left it behind: RESET %s there, and let the pooler reset connections (server_reset_query = DISCARD ALL)", setting)
	}
	return fmt.Sprintf("set %s = %s where the server is started", setting, wanted)
}
