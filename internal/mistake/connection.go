package mistake

import (
	"errors"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// A connection string contains a password, and the invalid part may be the password: no message
// repeats any part of the string.

// connectionForm is how a connection string is written.
const connectionForm = "write postgres://user:password@host:5432/database, or host=… user=… password=… dbname=…"

// Connection says what is wrong with a connection string that pgx refuses.
func Connection(err error) string {
	text := ""
	if parse, ok := errors.AsType[*pgconn.ParseConfigError](err); ok {
		text = parse.Error()
		if i := strings.LastIndex(text, "`: "); i >= 0 {
			text = text[i+len("`: "):]
		}
	}
	_, reason, _ := strings.Cut(strings.TrimSuffix(text, ")"), "(")
	switch {
	case strings.Contains(text, "keyword/value"):
		return "it is neither a URL nor key=value: " + connectionForm
	case strings.Contains(text, "invalid port"):
		return "the port is no number from 1 to 65535: " + connectionForm
	case strings.Contains(text, "parse as URL"):
		return "it is not a valid URL: " + connectionForm + "; in a URL, write % within the user and the password as %25"
	case strings.Contains(text, "sslmode is invalid"):
		return "sslmode: write disable, allow, prefer, require, verify-ca or verify-full"
	case strings.Contains(text, "connect_timeout"):
		return "connect_timeout: write a number of seconds"
	case strings.Contains(text, "configure TLS") && reason != "":
		return "TLS: cannot " + strings.TrimPrefix(reason, "unable to ")
	case strings.Contains(text, "service"):
		return "the service is not in the file of services (PGSERVICEFILE, or ~/.pg_service.conf)"
	case strings.HasPrefix(text, "cannot parse pool_"):
		name, _, _ := strings.Cut(strings.TrimPrefix(text, "cannot parse "), " ")
		return name + " is not valid: leave it out, --connections is what counts"
	}
	return "it cannot be read: " + connectionForm
}
