package pgtemp

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// maxSocketDir leaves room for "/.s.PGSQL.65535.lock" within the 103 bytes of the shortest
// sun_path (macOS).
const maxSocketDir = 80

// create creates the directory and the cluster in it.
func (s *Server) create(ctx context.Context) (err error) {
	if err := s.createDir(); err != nil {
		return err
	}
	if s.port < 0 {
		if s.port, err = freePort(ctx); err != nil {
			return err
		}
	}
	if err := s.initdb(ctx); err != nil {
		return err
	}
	return s.configure()
}

// createDir creates the directory, and another for the socket if its path is too long.
func (s *Server) createDir() (err error) {
	if s.dir, err = TempDir(s.o.Dir); err != nil {
		return err
	}
	s.socket = s.dir
	if len(s.dir) > maxSocketDir {
		if s.socket, err = TempDir("/tmp"); err != nil {
			return err
		}
	}
	if !s.o.Detach {
		if s.lock, err = lockDir(s.dir); err != nil {
			return err
		}
	}
	if s.o.Data == "" {
		return nil
	}
	if err := chown(s.o.Data); err != nil {
		return fmt.Errorf("giving the data directory to the server's user: %w", err)
	}
	return nil
}

func (s *Server) initdb(ctx context.Context) error {
	// --no-sync: a half-created cluster after a machine crash is no loss.
	args := []string{"--pgdata=" + s.data(), "--username=postgres", "--encoding=UTF8", "--no-locale", "--auth=trust", "--no-sync"}
	if s.o.WALSegment != 0 {
		args = append(args, fmt.Sprintf("--wal-segsize=%d", s.o.WALSegment))
	}
	cmd := exec.CommandContext(ctx, filepath.Join(s.bin, "initdb"), args...)
	cmd.Dir, cmd.Env = s.dir, environment()
	if err := unprivileged(cmd); err != nil {
		return err
	}
	out, err := cmd.CombinedOutput()
	if err == nil {
		return nil
	}
	hint := ""
	if name := runAs(); name != "" && (errors.Is(err, fs.ErrPermission) || strings.Contains(string(out), "Permission denied")) {
		hint = fmt.Sprintf(" (we are root, so it runs as user %s, who must be able to read %s and enter %s)", name, s.bin, s.dir)
	}
	return fmt.Errorf("running initdb: %w%s\n%s", err, hint, strings.TrimSpace(string(out)))
}

// configure appends to postgresql.conf, where later lines win.
func (s *Server) configure() error {
	settings := map[string]string{
		"listen_addresses":        "",
		"port":                    strconv.Itoa(s.socketPort()),
		"unix_socket_directories": s.socket,
		"timezone":                "UTC",
	}
	if s.port != 0 {
		settings["listen_addresses"] = "127.0.0.1"
	}
	if s.o.FsyncOff {
		settings["fsync"] = "off"
	}
	for name, value := range s.o.Settings {
		settings[strings.ToLower(name)] = value // names are case-insensitive
	}
	var text strings.Builder
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		fmt.Fprintf(&text, "%s = '%s'\n", name, strings.ReplaceAll(settings[name], "'", "''"))
	}
	file, err := os.OpenFile(filepath.Join(s.data(), "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("writing postgresql.conf: %w", err)
	}
	_, err = file.WriteString("\n" + text.String())
	if err := errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("writing postgresql.conf: %w", err)
	}
	return nil
}

// environment keeps our own PG* variables and locale from the server.
func environment() []string {
	return []string{"PATH=/usr/local/bin:/usr/bin:/bin", "LC_ALL=C", "TZ=UTC"}
}

// freePort returns a port that is free now and most likely still is when the server binds it.
func freePort(ctx context.Context) (int, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("finding a free port: %w", err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	if err := l.Close(); err != nil {
		return 0, fmt.Errorf("finding a free port: %w", err)
	}
	return port, nil
}
