package web

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// requireLoopbackHost refuses requests for other hosts if the listener's address is loopback. Such a
// listener relies on being unreachable from outside, but any web page in a browser on the
// same machine can reach it: it makes its own host name resolve to 127.0.0.1 and reads the
// answers as same-origin (DNS rebinding). The browser still sends that name as the host.
//
// Other addresses are reachable anyway, under names that reaper cannot know.
func requireLoopbackHost(next http.Handler, addr net.Addr, name string) http.Handler {
	if !loopbackAddr(addr) {
		return next
	}
	if host, _, err := net.SplitHostPort(name); err == nil {
		name = host
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !loopbackHost(r.Host, name) {
			http.Error(w, "reaper listens on a loopback address and only answers requests for localhost: "+
				"have the proxy in front of it send the Host header localhost, or see --listen-addr", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func loopbackAddr(addr net.Addr) bool {
	tcp, ok := addr.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

// loopbackHost reports whether a Host header names a loopback address, with any port, or
// name. An empty one counts too: only HTTP/1.0 has none, which no browser speaks.
func loopbackHost(header, name string) bool {
	host := header
	if h, _, err := net.SplitHostPort(header); err == nil {
		host = h
	}
	host = strings.TrimSuffix(host, ".")
	if host == "" || strings.EqualFold(host, "localhost") || strings.EqualFold(host, name) {
		return true
	}
	ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && ip.Unmap().IsLoopback()
}
