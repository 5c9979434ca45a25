package archive

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/google/uuid"
	"github.com/klauspost/compress/zstd"
)

// Segment is a segment that is being written. It must not be used by several goroutines.
type Segment struct {
	archive *Archive
	Manifest
	folder string // in the store
	dir    string // the spool; empty: discarded
	files  []*spooled
	now    *spooled // the file that Table returned last
	// encoder compresses one file after the other.
	encoder *zstd.Encoder
	sealed  *sealed
}

// spooled is a table's file: compressed frames, one for each call of Table.
type spooled struct {
	File
	ddl  string
	file *os.File
	size int64 // compressed
	hash hash.Hash
	into *zstd.Encoder
}

// Begin begins a segment. Discard must follow, sooner or later.
func (a *Archive) Begin(m Manifest) (*Segment, error) {
	folder, err := a.folder(m.Run, m.Policy, m.Tenant)
	if err != nil {
		return nil, err
	}
	encoder, err := newEncoder(nil)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(a.spool, "reaper-archive-")
	if err != nil {
		return nil, fmt.Errorf("spooling a segment: %w", err)
	}
	m.Format, m.Settings, m.Tables = Format, Settings, nil
	return &Segment{archive: a, Manifest: m, folder: folder, dir: dir, encoder: encoder}, nil
}

// newEncoder makes an encoder that needs a few MiB and no goroutine of its own.
func newEncoder(w io.Writer) (*zstd.Encoder, error) {
	return zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithWindowSize(1<<20))
}

// Table returns what takes rows of a table in the COPY text format, as a server writes them under
// Settings. It is valid until the next call of a method of the segment but Size. A table of the
// same name, kind and emptied columns as an earlier one goes on in the same file.
func (s *Segment) Table(t Table) (io.Writer, error) {
	if err := s.open("adding a table to a segment"); err != nil {
		return nil, err
	}
	if err := s.endFrame(); err != nil {
		return nil, err
	}
	f := s.find(&t)
	if f == nil {
		var err error
		if f, err = s.add(t); err != nil {
			return nil, err
		}
	}
	s.encoder.Reset(counter{f})
	f.into, s.now = s.encoder, f
	return f, nil
}

func (s *Segment) open(doing string) error {
	if s.dir == "" {
		return fmt.Errorf("%s: it was discarded", doing)
	}
	if s.sealed != nil {
		return fmt.Errorf("%s: it was sealed", doing)
	}
	return nil
}

func (s *Segment) find(t *Table) *spooled {
	for _, f := range s.files {
		if f.Name == t.Name && f.Kind == t.Kind && slices.EqualFunc(f.Emptied, t.Emptied, func(a, b Left) bool { return a.Column == b.Column }) {
			return f
		}
	}
	return nil
}

func (s *Segment) add(t Table) (*spooled, error) {
	switch {
	case t.Kind != Deleted && t.Kind != Emptied:
		return nil, fmt.Errorf("rows of table %s.%s: unknown kind %q", t.Schema, t.Name.Name, t.Kind)
	case t.Kind == Emptied && (len(t.Key) == 0 || len(t.Emptied) == 0):
		return nil, fmt.Errorf("emptied rows of table %s.%s: no key, or no column that was emptied", t.Schema, t.Name.Name)
	}
	file, err := s.newFile()
	if err != nil {
		return nil, fmt.Errorf("spooling a segment: %w", err)
	}
	f := &spooled{File: File{Table: t, File: fileName(len(s.files)+1, &t)}, ddl: t.DDL, file: file, hash: sha256.New()}
	s.files = append(s.files, f)
	return f, nil
}

// newFile makes a file of the spool. It is not encrypted, so it has no name: it goes away with the
// process, however that ends.
func (s *Segment) newFile() (*os.File, error) {
	file, err := os.CreateTemp(s.dir, "")
	if err != nil {
		return nil, err
	}
	if err := os.Remove(file.Name()); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// fileName is the name of a table's file within the tar: a number, since names of tables are
// limited by nothing, and what is harmless of the name, for people.
func fileName(n int, t *Table) string {
	harmless := func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' {
			return r
		}
		return '-'
	}
	return fmt.Sprintf("%03d.%s.%s.%s.copy", n, t.Kind, strings.Map(harmless, t.Schema), strings.Map(harmless, t.Name.Name))
}

// Write takes rows.
func (f *spooled) Write(p []byte) (int, error) {
	if f.into == nil {
		return 0, errors.New("writing rows of a segment: another table has begun")
	}
	f.Rows += int64(bytes.Count(p, []byte("\n")))
	f.Bytes += int64(len(p))
	f.hash.Write(p)
	return f.into.Write(p)
}

// counter writes compressed bytes into a file's spool.
type counter struct{ *spooled }

func (c counter) Write(p []byte) (int, error) {
	n, err := c.file.Write(p)
	c.size += int64(n)
	return n, err
}

// endFrame ends what Table began.
func (s *Segment) endFrame() error {
	if s.now == nil {
		return nil
	}
	err := s.encoder.Close()
	s.now.into, s.now = nil, nil
	if err != nil {
		return fmt.Errorf("spooling a segment: %w", err)
	}
	return nil
}

// Rows is the number of rows so far, by kind.
func (s *Segment) Rows(k Kind) (n int64) {
	for _, f := range s.files {
		if f.Kind == k {
			n += f.File.Rows
		}
	}
	return n
}

// Size is the number of compressed bytes so far; up to a few hundred KiB of the last table may be
// missing.
func (s *Segment) Size() (n int64) {
	for _, f := range s.files {
		n += f.size
	}
	return n
}

// Send seals the segment, puts it into the store, and asks the store for its size and checksum.
// Nothing may be deleted before it has returned without an error. After an error it may be called
// again, and sends the same object.
func (s *Segment) Send(ctx context.Context) (Object, error) {
	if s.dir == "" {
		return Object{}, errors.New("sending a segment: it was discarded")
	}
	if s.sealed == nil {
		if err := s.seal(); err != nil {
			return Object{}, fmt.Errorf("sealing a segment: %w", err)
		}
	}
	if err := s.archive.putConfirmed(ctx, s.sealed.Object, s.sealed.file); err != nil {
		return Object{}, fmt.Errorf("sending segment %s: %w", s.sealed.Name, err)
	}
	return s.sealed.Object, nil
}

// Discard removes the spool, whether the segment was sent or not. It may be called twice.
func (s *Segment) Discard() {
	if s.dir == "" {
		return
	}
	for _, f := range s.files {
		_ = f.file.Close() // it goes away in any case
	}
	if s.sealed != nil {
		_ = s.sealed.file.Close()
	}
	_ = os.RemoveAll(s.dir) // nothing depends on it; the system clears its temporary files
	s.dir, s.now = "", nil
}

// newName is the name of a new object in a folder of the store; its beginning tells its time.
func newName(folder string, encrypted bool) (string, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return "", err
	}
	name := folder + id.String() + segmentEnd
	if encrypted {
		name += encryptedEnd
	}
	return name, nil
}

const (
	segmentEnd   = ".tar.zst"
	listEnd      = ".json"
	encryptedEnd = ".age"
)

func sum(h hash.Hash) string { return hex.EncodeToString(h.Sum(nil)) }
