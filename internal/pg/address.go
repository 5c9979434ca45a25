package pg

import (
	"net"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Address is the server of a connection, for people: host:port, or the directory of a Unix socket
// (with the port, if it is not 5432). If the configuration has several hosts, it is the address of
// the one that was reached, remote. Behind a pooler it is the pooler's.
func Address(c *pgx.ConnConfig, remote net.Addr) string {
	several := slices.ContainsFunc(c.Fallbacks, func(f *pgconn.FallbackConfig) bool { return f.Host != c.Host || f.Port != c.Port })
	if several && remote != nil && remote.Network() == "tcp" {
		return remote.String()
	}
	port := strconv.Itoa(int(c.Port))
	switch {
	case !strings.HasPrefix(c.Host, "/") && !strings.HasPrefix(c.Host, "@"):
		return net.JoinHostPort(c.Host, port)
	case port != "5432":
		return c.Host + " (port " + port + ")"
	}
	return c.Host
}
