// Package pgtemp starts a throwaway PostgreSQL server for the demo and for tests. The server
// listens on a unix socket in its own directory, trusts everyone who can reach it, and dies
// with the process that started it.
package pgtemp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// socketPort names the socket file of a server without a TCP port.
const socketPort = 5432

// stopGrace bounds the wait for a server to exit before it is killed.
const stopGrace = 20 * time.Second

// Options configure the server; the zero Options is a durable server on a unix socket with
// PostgreSQL's default settings.
type Options struct {
	// BinDir holds initdb and postgres; empty means to use Find.
	BinDir string
	// Port on 127.0.0.1 to listen on, in addition to the unix socket. 0 means none, a negative
	// value any free port.
	Port int
	// Settings go to postgresql.conf as they are: name and unquoted value.
	Settings map[string]string
	// FsyncOff gives up durability in a crash of the machine (not of the server) for speed. For
	// tests only.
	FsyncOff bool
	// Dir is where the server's directory is created; empty means os.TempDir. If we are root,
	// other users must be able to enter it.
	Dir string
	// Data is an empty directory that becomes the data directory, such as the mount point of a
	// volume. It is given to the server's user, and Stop does not remove it. Empty means a
	// directory in the server's own directory.
	Data string
	// WALSegment is the size of a WAL segment in MB, a power of 2; 0 means 16.
	WALSegment int
	// Log gets the server's output, in addition to LogFile; may be nil. A detached server
	// writes only to the file.
	Log io.Writer
	// Detach lets the server outlive this process; StopCommand then says how to stop it.
	// Otherwise it dies with us, however we are killed.
	Detach bool
}

// Server is a running PostgreSQL server and its directory. Its methods must be called by one
// goroutine at a time, except for accessors such as DSN, TCP and Dir.
type Server struct {
	o       Options
	dir     string // everything is in here, except a socket whose path would be too long
	socket  string
	bin     string
	port    int
	version int
	lock    *os.File
	process *Process // nil when not running
}

// Start creates a data directory and starts a server on it; it returns when the server accepts
// connections. After an error nothing is left behind.
func Start(ctx context.Context, o Options) (*Server, error) {
	bin, err := Find(o.BinDir)
	if err != nil {
		return nil, err
	}
	version, err := majorVersion(ctx, bin)
	if err != nil {
		return nil, err
	}
	sweep(o.Dir)
	s := &Server{o: o, bin: bin, version: version, port: o.Port}
	if err := s.create(ctx); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	if err := s.start(ctx); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return s, nil
}

// DSN returns the URL of a database over the unix socket, for pgx and psql. It always names the
// port, because otherwise PGPORT of the environment would count.
func (s *Server) DSN(database string) string {
	q := url.Values{"host": {s.socket}, "port": {strconv.Itoa(s.socketPort())}}
	u := url.URL{Scheme: "postgres", User: url.User("postgres"), Path: "/" + database, RawQuery: q.Encode()}
	return u.String()
}

// TCP returns the URL of a database over 127.0.0.1, or "" if the server has no port.
func (s *Server) TCP(database string) string {
	if s.port == 0 {
		return ""
	}
	host := net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port))
	u := url.URL{Scheme: "postgres", User: url.User("postgres"), Host: host, Path: "/" + database}
	return u.String()
}

// Dir returns the server's own directory, which Stop removes.
func (s *Server) Dir() string { return s.dir }

// BinDir returns the directory of the server's binaries.
func (s *Server) BinDir() string { return s.bin }

// Port returns the TCP port on 127.0.0.1; 0 means unix socket only.
func (s *Server) Port() int { return s.port }

// LogFile returns the path of the server's log.
func (s *Server) LogFile() string { return filepath.Join(s.dir, "postgres.log") }

// Version returns PostgreSQL's major version: 17 for 17.5.
func (s *Server) Version() int { return s.version }

// StopCommand returns the shell command that stops the server and removes all of it, to show to
// the user of a detached server.
func (s *Server) StopCommand() string {
	stop := fmt.Sprintf("%s -D %s -m fast stop", filepath.Join(s.bin, "pg_ctl"), s.data())
	if name := runAs(); name != "" {
		stop = fmt.Sprintf("su -s /bin/sh %s -c '%s'", name, stop)
	}
	remove := "rm -rf " + s.dir
	if s.socket != s.dir {
		remove += " " + s.socket
	}
	return stop + " && " + remove
}

// Kill ends the server like a crash: nothing is flushed, clients are disconnected, and the next
// start recovers from the WAL. (An immediate shutdown does this as thoroughly as kill -9, but
// leaves no orphaned backends that keep the data directory busy.) The directory stays.
func (s *Server) Kill() error {
	if s.process == nil {
		return nil
	}
	err := s.process.Stop(syscall.SIGQUIT, stopGrace)
	s.process = nil
	return err
}

// Restart starts the server again on the same data, after Kill; a running server is shut down
// properly first.
func (s *Server) Restart(ctx context.Context) error {
	if s.dir == "" {
		return errors.New("restarting postgres: the server was stopped, and its data removed")
	}
	if s.process != nil {
		if err := s.process.Stop(syscall.SIGINT, stopGrace); err != nil {
			return err
		}
		s.process = nil
	}
	return s.start(ctx)
}

// Stop ends the server and removes its directory; a second Stop does nothing. There is no need
// to wait for a checkpoint, because the data is discarded.
func (s *Server) Stop() error {
	err := s.Kill()
	if s.dir == "" {
		return err
	}
	for _, dir := range []string{s.dir, s.socket} {
		if rmErr := os.RemoveAll(dir); rmErr != nil {
			err = errors.Join(err, fmt.Errorf("removing the server's directory: %w", rmErr))
		}
	}
	if s.lock != nil {
		err = errors.Join(err, s.lock.Close())
	}
	s.dir, s.socket, s.lock = "", "", nil
	return err
}

func (s *Server) data() string {
	if s.o.Data != "" {
		return s.o.Data
	}
	return filepath.Join(s.dir, "data")
}

func (s *Server) socketPort() int {
	if s.port == 0 {
		return socketPort
	}
	return s.port
}

// start runs postgres and waits until it is ready.
func (s *Server) start(ctx context.Context) error {
	log, err := os.OpenFile(s.LogFile(), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("starting postgres: %w", err)
	}
	defer log.Close()
	// Without the context, because the server outlives this call.
	//nolint:noctx // see above
	cmd := exec.Command(filepath.Join(s.bin, "postgres"), "-D", s.data())
	cmd.Dir, cmd.Env = s.dir, environment()
	cmd.Stdout, cmd.Stderr = log, log
	if s.o.Log != nil && !s.o.Detach {
		both := io.MultiWriter(log, s.o.Log)
		cmd.Stdout, cmd.Stderr = both, both
		cmd.WaitDelay = stopGrace // an orphaned backend would keep the pipe open
	}
	if s.process, err = Run(cmd, s.o.Detach); err != nil {
		return fmt.Errorf("starting postgres: %w", err)
	}
	if err := s.ready(ctx); err != nil {
		return fmt.Errorf("starting postgres: %w%s", err, tail(s.LogFile()))
	}
	return nil
}

// ready waits until the last line of postmaster.pid says so, which needs no database driver. A
// file left by a crashed predecessor has another pid.
func (s *Server) ready(ctx context.Context) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.process.Done():
			return errors.New("the server exited at once")
		case <-tick.C:
		}
		text, _ := os.ReadFile(filepath.Join(s.data(), "postmaster.pid"))
		lines := strings.Split(string(text), "\n")
		if len(lines) > 7 && lines[0] == strconv.Itoa(s.process.Pid()) && strings.TrimSpace(lines[7]) == "ready" {
			return nil
		}
	}
}

// tail returns the end of a log, on separate lines, for the text of an error.
func tail(file string) string {
	const enough = 2000
	text, err := os.ReadFile(file)
	if err != nil || len(text) == 0 {
		return ""
	}
	if len(text) > enough {
		text = text[len(text)-enough:]
	}
	return "; its log ends:\n" + strings.TrimSpace(string(text))
}
