package pg

import "testing"

// Whatever pgx has tried, the reason is one line in words of ours, and says who wanted where.
func TestUnreachable(t *testing.T) {
	t.Parallel()
	const who = "failed to connect to `user=app database=shop`:"
	for text, want := range map[string]string{
		who + " 127.0.0.1:1 (localhost): dial error: dial tcp 127.0.0.1:1: connect: connection refused": "nothing listens on 127.0.0.1:1",
		who + "\n\t[::1]:1 (localhost): dial error: dial tcp [::1]:1: connect: connection refused\n\t127.0.0.1:1 (localhost): dial error: dial tcp 127.0.0.1:1: connect: connection refused\n\t127.0.0.1:1 (localhost): dial error: dial tcp 127.0.0.1:1: connect: connection refused": "nothing listens on [::1]:1; nothing listens on 127.0.0.1:1",
		who + " hostname resolving error: lookup db.invalid on 10.0.0.53:53: no such host":                                       "the host db.invalid is not known",
		who + " hostname resolving error: lookup db.invalid: server misbehaving":                                                 "the host db.invalid cannot be looked up: server misbehaving",
		who + " /run/x/.s.PGSQL.5432 (/run/x): dial error: dial unix /run/x/.s.PGSQL.5432: connect: no such file or directory":   "there is no socket /run/x/.s.PGSQL.5432",
		who + " 10.0.0.7:5432 (db): dial error: timeout: context deadline exceeded":                                              "10.0.0.7:5432 does not answer",
		who + " 10.0.0.7:5432 (db): tls error: server refused TLS connection":                                                    "10.0.0.7:5432 has no TLS, which sslmode asks for",
		who + " 10.0.0.7:5432 (db): tls error: tls: failed to verify certificate: x509: certificate signed by unknown authority": "10.0.0.7:5432: tls: failed to verify certificate: x509: certificate signed by unknown authority",
		who + " 10.0.0.7:5432 (db): failed SASL auth: FATAL: password authentication failed for user \"app\" (SQLSTATE 28P01)":   "10.0.0.7:5432 says: password authentication failed for user \"app\" (SQLSTATE 28P01)",
		who + " 10.0.0.7:5432 (db): server error: FATAL: database \"shop\" does not exist (SQLSTATE 3D000)":                      "10.0.0.7:5432 says: database \"shop\" does not exist (SQLSTATE 3D000)",
		who: "no reason given",
	} {
		if got := unreachable(text); got != want+" (user=app database=shop)" {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}
