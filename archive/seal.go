package archive

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"strings"
	"time"

	"filippo.io/age"
	"github.com/klauspost/compress/zstd"
)

// sealed is the object, whole, in the spool.
type sealed struct {
	Object
	file *os.File
}

// measured counts and hashes what is written.
type measured struct {
	io.Writer
	size int64
	hash hash.Hash
}

func (m *measured) Write(p []byte) (int, error) {
	n, err := m.Writer.Write(p)
	m.size += int64(n)
	m.hash.Write(p[:n])
	return n, err
}

func (s *Segment) seal() (err error) {
	if err := s.endFrame(); err != nil {
		return err
	}
	name, err := newName(s.folder, s.archive.Encrypted())
	if err != nil {
		return err
	}
	file, err := s.newFile()
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, file.Close())
		}
	}()
	m := &measured{Writer: file, hash: sha256.New()}
	if err := s.archive.encrypted(m, s.write); err != nil {
		return err
	}
	s.sealed = &sealed{Object{Name: name, Bytes: m.size, SHA256: sum(m.hash)}, file}
	return nil
}

// encrypted has content written into w, encrypted if there are recipients.
func (a *Archive) encrypted(w io.Writer, content func(io.Writer) error) error {
	if !a.Encrypted() {
		return content(w)
	}
	e, err := age.Encrypt(w, a.recipients...)
	if err != nil {
		return err
	}
	if err := content(e); err != nil {
		return err
	}
	return e.Close()
}

// write writes the compressed tar. Since frames of zstd may follow each other, those of the spool
// are taken as they are: frames of what the tar needs stand around them.
func (s *Segment) write(w io.Writer) error {
	s.Tables = nil
	for _, f := range s.files {
		f.SHA256 = sum(f.hash)
		s.Tables = append(s.Tables, f.File)
	}
	manifest, err := json.MarshalIndent(s.Manifest, "", "  ")
	if err != nil {
		return err
	}
	t := &frames{into: w, encoder: s.encoder}
	t.tar = tar.NewWriter(&t.pending)
	if err := t.text("manifest.json", string(manifest)+"\n", s.Started); err != nil {
		return err
	}
	if err := t.text("schema.sql", s.schemaSQL(), s.Started); err != nil {
		return err
	}
	if err := t.text("load.sql", s.loadSQL(), s.Started); err != nil {
		return err
	}
	for _, f := range s.files {
		if err := t.spooled(f, s.Started); err != nil {
			return err
		}
	}
	return t.end()
}

// schemaSQL is what makes the tables, under the settings that their types are written for.
func (s *Segment) schemaSQL() string {
	var b strings.Builder
	for _, set := range Settings {
		fmt.Fprintf(&b, "SET %s = %s;\n", set.Name, literal(set.Value))
	}
	for _, f := range s.files {
		if f.ddl != "" {
			fmt.Fprintf(&b, "\n%s\n", strings.TrimRight(f.ddl, "\n"))
		}
	}
	return b.String()
}

// loadSQL is what loads the rows into the tables of schema.sql, by psql.
func (s *Segment) loadSQL() string {
	var b strings.Builder
	for _, f := range s.files {
		if f.Kind != Deleted {
			continue
		}
		columns := make([]string, len(f.Columns))
		for i, c := range f.Columns {
			columns[i] = ident(c.Name)
		}
		fmt.Fprintf(&b, "\\copy %s.%s (%s) FROM '%s'\n", ident(f.Schema), ident(f.Table.Name.Name), strings.Join(columns, ", "), f.File.File)
	}
	return b.String()
}

func ident(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

func literal(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

// frames writes a tar as frames of zstd.
type frames struct {
	into    io.Writer
	encoder *zstd.Encoder
	tar     *tar.Writer
	pending writer // goes into the next frame
}

// writer takes what the tar writes until it is a frame of its own, or drops it.
type writer struct {
	buffer []byte
	drop   bool
}

func (w *writer) Write(p []byte) (int, error) {
	if !w.drop {
		w.buffer = append(w.buffer, p...)
	}
	return len(p), nil
}

// flush writes what is pending as a frame.
func (t *frames) flush() error {
	if len(t.pending.buffer) == 0 {
		return nil
	}
	t.encoder.Reset(t.into)
	if _, err := t.encoder.Write(t.pending.buffer); err != nil {
		return err
	}
	t.pending.buffer = t.pending.buffer[:0]
	return t.encoder.Close()
}

func header(name string, size int64, at time.Time) *tar.Header {
	return &tar.Header{Name: name, Mode: 0o600, Size: size, ModTime: at.Truncate(time.Second), Format: tar.FormatPAX}
}

func (t *frames) text(name, text string, at time.Time) error {
	if err := t.tar.WriteHeader(header(name, int64(len(text)), at)); err != nil {
		return err
	}
	_, err := io.WriteString(t.tar, text)
	return err
}

// spooled puts the frames of a table's file into the stream. The tar is told of as many bytes, so
// that it pads them; they themselves do not pass through it.
func (t *frames) spooled(f *spooled, at time.Time) error {
	if err := t.tar.WriteHeader(header(f.File.File, f.Bytes, at)); err != nil {
		return err
	}
	if err := t.flush(); err != nil {
		return err
	}
	if _, err := f.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	n, err := io.Copy(t.into, f.file)
	if err != nil {
		return err
	}
	if n != f.size {
		return fmt.Errorf("%s: %d bytes spooled, %d read back", f.file.Name(), f.size, n)
	}
	t.pending.drop = true
	_, err = io.CopyN(t.tar, zeros{}, f.Bytes)
	t.pending.drop = false
	return err
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

func (t *frames) end() error {
	if err := t.tar.Close(); err != nil {
		return err
	}
	return t.flush()
}

// putConfirmed puts an object and asks the store for it.
func (a *Archive) putConfirmed(ctx context.Context, o Object, content io.ReadSeeker) error {
	if _, err := content.Seek(0, io.SeekStart); err != nil {
		return err
	}
	if err := a.store.put(ctx, o.Name, content, o.Bytes, o.SHA256); err != nil {
		return err
	}
	there, err := a.store.ask(ctx, o.Name)
	if err != nil {
		return fmt.Errorf("asking the store for what was just written: %w", err)
	}
	if there.Bytes != o.Bytes || there.SHA256 != o.SHA256 {
		return fmt.Errorf("the store does not hold what it was given: %d bytes with SHA-256 %s were sent, %d with %s are there", o.Bytes, o.SHA256, there.Bytes, there.SHA256)
	}
	return nil
}
