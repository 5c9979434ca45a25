package ledger

// person is the SQL expression of who has said something: a parameter or, where that is empty, the
// database user and the application name. All names are qualified.
func person(param string) string {
	param += `::pg_catalog.text`
	return `CASE WHEN ` + param + ` OPERATOR(pg_catalog.<>) '' THEN ` + param + ` ELSE session_user::pg_catalog.text OPERATOR(pg_catalog.||) '@'::pg_catalog.text OPERATOR(pg_catalog.||) pg_catalog.current_setting('application_name') END`
}
