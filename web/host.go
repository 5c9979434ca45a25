package web

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// ownHost refuses requests for other hosts where the listener's address is loopback.
// Whoever listens there relies on nobody outside reaching the port, but any page in a
// browser on the same machine can: it lets its own name resolve to 127.0.0.1 and then
// reads the answers as its own (DNS rebinding). The browser still sends that name.
//
// Elsewhere the address is reachable anyway, under names that reaper cannot know.
func ownHost(next http.Handler, addr net.Addr, name string) http.Handler {
	if !loopbackAddr(addr) {
		return next
	}
	if host, _, err := net.SplitHostPort(name); err == nil {
		name = host
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !loopbackHost(r.Host, name) {
			http.Error(w, "reaper listens on a loopback address and answers requests for localhost alone: "+
				"let a proxy in front of it send the Host header localhost, or see --listen-addr", http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func loopbackAddr(addr net.Addr) bool {
	tcp, ok := addr.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

// loopbackHost reports whether a Host header names a loopback address, with any port,
// or name. An empty one does: only HTTP/1.0 has none, and no browser speaks that.
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
