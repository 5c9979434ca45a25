package restore

import (
	"errors"
	"io"
	"os"
	"reflect"
	"slices"

	"github.com/reaperdb/reaper/archive"
)

// source is where rows come from: a segment, or several small ones of the same tables.
type source struct {
	archive.Manifest
	name string // of the segment, or of the first
	open func(f *archive.File) (io.ReadCloser, error)
}

func sourceOf(c *archive.Copy) *source {
	return &source{Manifest: c.Manifest, name: c.Object.Name, open: func(f *archive.File) (io.ReadCloser, error) { return c.Open(f) }}
}

// alike reports whether the rows of two segments can come back together.
func alike(a, b *archive.Copy) bool {
	if a.Piece != nil || b.Piece != nil || a.Partition != nil || b.Partition != nil {
		return false
	}
	for i := range b.Tables {
		x := &b.Tables[i].Table
		if j := fileLike(a.Tables, x); j >= 0 && !reflect.DeepEqual(&a.Tables[j].Table, x) {
			return false
		}
	}
	return a.Run == b.Run && a.Policy == b.Policy && a.Root == b.Root && reflect.DeepEqual(a.RootKey, b.RootKey) &&
		reflect.DeepEqual(a.Edges, b.Edges) && reflect.DeepEqual(a.Settings, b.Settings)
}

// fileLike is the file of the same table and kind; -1: there is none.
func fileLike(files []archive.File, t *archive.Table) int {
	return slices.IndexFunc(files, func(f archive.File) bool {
		return f.Table.Name == t.Name && f.Kind == t.Kind && slices.EqualFunc(f.Emptied, t.Emptied, func(a, b archive.Left) bool { return a.Column == b.Column })
	})
}

// together is the source of several segments that are alike.
func together(copies []*archive.Copy) *source {
	s := sourceOf(copies[0])
	s.Tables = nil
	parts := map[string][]part{} // by the name of the file here
	for _, c := range copies {
		for i := range c.Tables {
			f := &c.Tables[i]
			at := fileLike(s.Tables, &f.Table)
			if at < 0 {
				at = len(s.Tables)
				s.Tables = append(s.Tables, archive.File{Table: f.Table, File: c.Object.Name + "/" + f.File})
			}
			s.Tables[at].Rows += f.Rows
			parts[s.Tables[at].File] = append(parts[s.Tables[at].File], part{c, f})
		}
	}
	s.open = func(f *archive.File) (io.ReadCloser, error) { return openAll(parts[f.File]) }
	return s
}

// part is a file of one of several segments.
type part struct {
	copy *archive.Copy
	file *archive.File
}

// several reads files one after the other.
type several struct {
	io.Reader
	files []*os.File
}

func openAll(parts []part) (io.ReadCloser, error) {
	s := &several{}
	var readers []io.Reader
	for _, p := range parts {
		f, err := p.copy.Open(p.file)
		if err != nil {
			return nil, errors.Join(err, s.Close())
		}
		s.files = append(s.files, f)
		readers = append(readers, f)
	}
	s.Reader = io.MultiReader(readers...)
	return s, nil
}

// Close closes them all.
func (s *several) Close() (err error) {
	for _, f := range s.files {
		err = errors.Join(err, f.Close())
	}
	return err
}
