package archive

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"
)

// DamagedError is the error of an object that is not what was written.
type DamagedError struct {
	Name string // of the object
	Err  error
}

// Error names the object.
func (e *DamagedError) Error() string { return fmt.Sprintf("%s is damaged: %v", e.Name, e.Err) }

func (e *DamagedError) Unwrap() error { return e.Err }

// LockedError is the error of an encrypted object for which there is no identity.
type LockedError struct{ Name string }

// Error names the object and the remedy.
func (e *LockedError) Error() string {
	return e.Name + " is encrypted, and no identity that was given can read it; name the file with the secret key by --identity FILE"
}

// Copy is a segment that was read, in the spool.
type Copy struct {
	Manifest
	Object Object
	// Schema is schema.sql.
	Schema string
	dir    string
	files  map[string]string // from the name in the tar to the path
}

// Fetch reads a segment, checks everything that its manifest says of it, and keeps it in the spool
// until Close. If the object's SHA-256 is known, it is compared too.
func (a *Archive) Fetch(ctx context.Context, o Object) (*Copy, error) {
	dir, err := os.MkdirTemp(a.spool, "reaper-archive-")
	if err != nil {
		return nil, fmt.Errorf("spooling segment %s: %w", o.Name, err)
	}
	c := &Copy{dir: dir, files: map[string]string{}}
	c.Object, err = a.read(ctx, o, c.unpack)
	if err == nil {
		if wrong := c.check(); wrong != nil {
			err = &DamagedError{o.Name, wrong}
		}
	}
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// Close removes the copy from the spool. It may be called twice.
func (c *Copy) Close() error { return os.RemoveAll(c.dir) }

// Open reads the rows of a table. The caller closes it.
func (c *Copy) Open(f *File) (*os.File, error) { return os.Open(c.files[f.File]) }

// read has an object's content read to the end, decrypted, and compares its size and SHA-256.
func (a *Archive) read(ctx context.Context, o Object, content func(io.Reader) error) (Object, error) {
	f, err := a.store.get(ctx, o.Name)
	if err != nil {
		return Object{}, fmt.Errorf("reading %s: %w", o.Name, err)
	}
	source := &source{from: f}
	m := &measured{Writer: io.Discard, hash: sha256.New()}
	tee := io.TeeReader(source, m)
	err = a.decrypted(o.Name, tee, content)
	_, locked := errors.AsType[*LockedError](err)
	if err == nil || locked {
		_, rest := io.Copy(io.Discard, tee) // what decryption leaves unread
		err = errors.Join(err, rest)
	}
	err = errors.Join(err, f.Close())
	read := Object{Name: o.Name, Bytes: m.size, SHA256: sum(m.hash)}
	switch {
	case locked && (o.SHA256 == "" || o.SHA256 == read.SHA256):
		return read, err
	case source.err != nil: // the store, not the object
		return read, fmt.Errorf("reading %s: %w", o.Name, source.err)
	case err != nil:
		return read, &DamagedError{o.Name, err}
	case o.SHA256 != "" && o.SHA256 != read.SHA256:
		return read, &DamagedError{o.Name, fmt.Errorf("its SHA-256 is %s, and was %s when it was written", read.SHA256, o.SHA256)}
	}
	return read, nil
}

// source keeps the error of what it reads from.
type source struct {
	from io.Reader
	err  error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.from.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

func (a *Archive) decrypted(name string, from io.Reader, content func(io.Reader) error) error {
	if !strings.HasSuffix(name, encryptedEnd) {
		return content(from)
	}
	if len(a.identities) == 0 {
		return &LockedError{name}
	}
	plain, err := age.Decrypt(from, a.identities...)
	if _, no := errors.AsType[*age.NoIdentityMatchError](err); no {
		return &LockedError{name}
	}
	if err != nil {
		return err
	}
	return content(plain)
}

// most is more than a manifest or schema.sql ever has.
const most = 64 << 20

// unpack reads the tar into the spool.
func (c *Copy) unpack(from io.Reader) error {
	z, err := zstd.NewReader(from, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(64<<20))
	if err != nil {
		return err
	}
	defer z.Close()
	t := tar.NewReader(z)
	for {
		h, err := t.Next()
		if err == io.EOF {
			_, err := io.Copy(io.Discard, z)
			return err
		}
		if err != nil {
			return err
		}
		if err := c.entry(h.Name, t); err != nil {
			return err
		}
	}
}

func (c *Copy) entry(name string, content io.Reader) error {
	switch name {
	case "load.sql": // for people
		return nil
	case "manifest.json", "schema.sql":
		text, err := io.ReadAll(io.LimitReader(content, most))
		if err != nil {
			return err
		}
		if name == "schema.sql" {
			c.Schema = string(text)
			return nil
		}
		return json.Unmarshal(text, &c.Manifest)
	}
	// The name in the tar is not trusted to be a path.
	path := filepath.Join(c.dir, fmt.Sprintf("table-%d", len(c.files)))
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	c.files[name] = path
	_, err = io.Copy(f, content)
	return errors.Join(err, f.Close())
}

// check compares the files with what the manifest says of them.
func (c *Copy) check() error {
	switch {
	case c.Format == 0:
		return errors.New("it has no manifest")
	case c.Format > Format:
		return fmt.Errorf("it has format %d, and this version of reaper reads up to %d: use a later version", c.Format, Format)
	}
	for i := range c.Tables {
		if err := c.checkFile(&c.Tables[i]); err != nil {
			return fmt.Errorf("%s: %w", c.Tables[i].File, err)
		}
	}
	return nil
}

func (c *Copy) checkFile(f *File) (err error) {
	from, err := c.Open(f)
	if err != nil {
		return errors.New("the manifest names it, and it is not there")
	}
	defer func() { err = errors.Join(err, from.Close()) }()
	m := &measured{Writer: io.Discard, hash: sha256.New()}
	lines := &lineCounter{into: m}
	if _, err := io.Copy(lines, from); err != nil {
		return err
	}
	if lines.n != f.Rows || m.size != f.Bytes || sum(m.hash) != f.SHA256 {
		return fmt.Errorf("it has %d rows, %d bytes and SHA-256 %s; the manifest says %d, %d and %s", lines.n, m.size, sum(m.hash), f.Rows, f.Bytes, f.SHA256)
	}
	return nil
}

type lineCounter struct {
	into io.Writer
	n    int64
}

func (l *lineCounter) Write(p []byte) (int, error) {
	l.n += int64(bytes.Count(p, []byte("\n")))
	return l.into.Write(p)
}

// ReadList reads a list.
func (a *Archive) ReadList(ctx context.Context, o Object) (List, error) {
	var l List
	_, err := a.read(ctx, o, func(from io.Reader) error {
		text, err := io.ReadAll(from)
		if err != nil {
			return err
		}
		return json.Unmarshal(text, &l)
	})
	return l, err
}
