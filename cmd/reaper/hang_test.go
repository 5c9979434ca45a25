package main

import (
	"errors"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/reaperdb/reaper/internal/dbtest"
)

// wire is a connection to a database that can be cut without either end noticing, as when a machine
// dies or a firewall drops its state.
type wire struct {
	net.Listener
	mu  sync.Mutex
	cut bool
}

// newWire makes a wire to a database, and returns the DSN of its near end.
func newWire(t *testing.T, dsn string) (*wire, string) {
	t.Helper()
	to, err := pgx.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	var config net.ListenConfig
	l, err := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{Listener: l}
	t.Cleanup(func() { _ = l.Close() })
	go w.serve(func() (net.Conn, error) {
		network, address := pgconn.NetworkAddress(to.Host, to.Port)
		return net.Dial(network, address) //nolint:noctx // closed with the other end
	})
	near := url.URL{Scheme: "postgres", User: url.User(to.User), Host: l.Addr().String(), Path: "/" + to.Database, RawQuery: "sslmode=disable"}
	return w, near.String()
}

func (w *wire) serve(dial func() (net.Conn, error)) {
	for {
		near, err := w.Accept()
		if err != nil {
			return
		}
		far, err := dial()
		if err != nil {
			_ = near.Close()
			continue
		}
		go w.carry(near, far)
		go w.carry(far, near)
	}
}

// carry copies until the wire is cut, and then stays silent.
func (w *wire) carry(to, from net.Conn) {
	buffer := make([]byte, 1<<16)
	for {
		n, err := from.Read(buffer)
		for w.isCut() {
			time.Sleep(50 * time.Millisecond)
		}
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if err != nil {
			_ = to.Close()
			if !errors.Is(err, io.EOF) {
				_ = from.Close()
			}
			return
		}
	}
}

func (w *wire) isCut() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.cut
}

func (w *wire) set(cut bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = cut
}

// A database that neither answers nor refuses makes the process unhealthy at once, and does not
// keep it from ending in time.
func TestRun_DatabaseHangs(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t, slow)
	w, dsn := newWire(t, db.DSN())
	defer w.set(false)
	s := serve(t, dsn, strings.Replace(slowPolicy, "name: p,", `name: p, schedule: "@every 3s",`, 1))
	s.await("a run is under way", 20*time.Second, func() bool { p := s.status().Policies[0].Running; return p != nil && p.Rows > 0 })
	w.set(true)
	s.await("unhealthy within 5 s", 5*time.Second, s.health(503))
	if code, _ := s.get("/metrics"); code != 200 {
		t.Errorf("/metrics: %d", code)
	}
	w.set(false)
	s.await("it answers again", 30*time.Second, s.shows("reaper_database_up 1"))
	w.set(true)
	s.ends()
}
