package pg

import "strings"

// Settings is an SQL expression that sets the parameters of a transaction that evaluates SQL
// of the policy file or deletes rows, for the rest of it. The time zone and the styles make
// the text form of values exact and uniform. JIT compilation costs more than it saves in short
// statements. Until the search_path is set it is the session's, so every name is qualified.
// The timeouts are expressions of type text, such as '60s'; 0 means no timeout, as in
// PostgreSQL. The value of the expression is meaningless.
func Settings(path, statementTimeout, lockTimeout string) string {
	return "pg_catalog.num_nonnulls(" + SetConfig("TimeZone", "'UTC'") + ", " + SetConfig("DateStyle", "'ISO, YMD'") + ", " +
		SetConfig("IntervalStyle", "'postgres'") + ", " + SetConfig("extra_float_digits", "'1'") + ", " +
		SetConfig("bytea_output", "'hex'") + ", " + SetConfig("standard_conforming_strings", "'on'") + ", " +
		SetConfig("row_security", "'off'") + ", " + SetConfig("jit", "'off'") + ", " + SetConfig("idle_in_transaction_session_timeout", "'60s'") + ", " +
		SetConfig("statement_timeout", statementTimeout) + ", " + SetConfig("lock_timeout", lockTimeout) + ", " + SetConfig("search_path", Literal(path)) + ")"
}

// SetConfig is an SQL expression that sets a parameter for the rest of the transaction.
func SetConfig(name, value string) string {
	return "pg_catalog.set_config('" + name + "', " + value + ", true)"
}

// Literal formats a text as an SQL literal.
func Literal(s string) string {
	// standard_conforming_strings is on in every transaction.
	return "'" + strings.ReplaceAll(s, "'", "''") + "'"
}

// ClockSQL returns the database's time: microseconds since 1970, and text that does not depend on
// settings.
const ClockSQL = `SELECT (extract(epoch FROM now()) * 1000000)::bigint, to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') || '+00'`
