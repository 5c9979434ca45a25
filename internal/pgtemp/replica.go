package pgtemp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// Replica creates a hot standby of s that streams from it with name as its application_name.
// It has the same settings, but no TCP port. Its data is in its own directory, wherever the
// data of s is. It is copied while s is shut down, because pg_basebackup is not always
// installed: clients of s are disconnected. Stop the replica before s.
func (s *Server) Replica(ctx context.Context, name string) (*Server, error) {
	if s.process == nil {
		return nil, errors.New("creating a replica: its primary is not running")
	}
	if err := s.process.Stop(syscall.SIGINT, stopGrace); err != nil {
		return nil, fmt.Errorf("creating a replica: %w", err)
	}
	s.process = nil
	r := &Server{o: s.o, bin: s.bin, version: s.version}
	r.o.Port, r.o.Data = 0, ""
	err := r.copyOf(s, name)
	if err := errors.Join(err, s.start(ctx)); err != nil {
		return nil, errors.Join(fmt.Errorf("creating a replica: %w", err), r.Stop())
	}
	if err := r.start(ctx); err != nil {
		return nil, errors.Join(err, r.Stop())
	}
	return r, nil
}

// copyOf creates the directory of a standby of a stopped server.
func (s *Server) copyOf(primary *Server, name string) error {
	if err := s.createDir(); err != nil {
		return err
	}
	if err := copyTree(primary.data(), s.data()); err != nil {
		return err
	}
	if err := s.configure(); err != nil {
		return err
	}
	socket := url.Values{"host": {primary.socket}, "port": {strconv.Itoa(primary.socketPort())}, "application_name": {name}}
	from := url.URL{Scheme: "postgres", User: url.User("postgres"), Path: "/", RawQuery: socket.Encode()}
	conf, err := os.OpenFile(filepath.Join(s.data(), "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("writing postgresql.conf: %w", err)
	}
	_, err = fmt.Fprintf(conf, "primary_conninfo = '%s'\n", from.String())
	if err := errors.Join(err, conf.Close()); err != nil {
		return fmt.Errorf("writing postgresql.conf: %w", err)
	}
	signal := filepath.Join(s.data(), "standby.signal")
	if err := os.WriteFile(signal, nil, 0o600); err != nil {
		return fmt.Errorf("writing standby.signal: %w", err)
	}
	return chown(signal)
}

// copyTree copies a directory for the user that servers run as.
func copyTree(from, to string) error {
	err := filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		switch {
		case entry.IsDir():
			err = os.Mkdir(target, 0o700)
		case entry.Type().IsRegular():
			err = copyFile(path, target)
		default:
			return nil // there are no tablespaces
		}
		return errors.Join(err, chown(target))
	})
	if err != nil {
		return fmt.Errorf("copying the data directory: %w", err)
	}
	return nil
}

func copyFile(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}

// chown makes the user that servers run as the owner of a path.
func chown(path string) error {
	name := runAs()
	if name == "" {
		return nil
	}
	uid, gid, err := ids(name)
	if err != nil {
		return err
	}
	return os.Chown(path, uid, gid)
}
