package ledger

// person is the SQL expression of who has said something: a parameter or, where that is empty, the
// database user and the application name.
func person(param string) string {
	return `coalesce(nullif(` + param + `::text, ''), session_user || '@' || current_setting('application_name'))`
}
