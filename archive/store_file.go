package archive

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"
)

// fileStore keeps objects as files below a folder.
type fileStore struct{ folder string }

// unfinished marks the files of objects that are being written; no object's name begins with it.
const unfinished = ".unfinished-"

func (s fileStore) path(name string) string { return filepath.Join(s.folder, filepath.FromSlash(name)) }

func (s fileStore) put(ctx context.Context, name string, content io.ReadSeeker, size int64, _ string) (err error) {
	path := s.path(name)
	dir := filepath.Dir(path)
	if err := makeFolder(dir); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, unfinished+"*")
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, f.Close())
		if err != nil {
			_ = os.Remove(f.Name()) // after a rename there is nothing of this name
		}
	}()
	n, err := io.Copy(f, reader{ctx, content})
	if err != nil {
		return err
	}
	if n != size {
		return errors.New("the content is not as long as it was said to be")
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncFolder(dir)
}

// makeFolder makes a folder and those above it, and has each new one written into the one above.
func makeFolder(dir string) error {
	if _, err := os.Stat(dir); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	above := filepath.Dir(dir)
	if err := makeFolder(above); err != nil {
		return err
	}
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return syncFolder(above)
}

func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

func (s fileStore) ask(ctx context.Context, name string) (Object, error) {
	f, err := s.get(ctx, name)
	if err != nil {
		return Object{}, err
	}
	hash := sha256.New()
	n, err := io.Copy(hash, f)
	return Object{Name: name, Bytes: n, SHA256: hex.EncodeToString(hash.Sum(nil))}, errors.Join(err, f.Close())
}

func (s fileStore) get(ctx context.Context, name string) (io.ReadCloser, error) {
	f, err := os.Open(s.path(name))
	if err != nil {
		return nil, err
	}
	return readCloser{reader{ctx, f}, f}, nil
}

func (s fileStore) list(ctx context.Context, prefix string) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		// The prefix may end within a name: begin at the folder that it is in.
		root := s.path(prefix[:strings.LastIndexByte(prefix, '/')+1])
		err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			switch {
			case errors.Is(err, fs.ErrNotExist): // nothing was written yet, or it was removed just now
				return nil
			case err != nil:
				return err
			case entry.IsDir():
				return ctx.Err()
			case strings.HasPrefix(entry.Name(), unfinished), !entry.Type().IsRegular(): // a link could lead anywhere
				return nil
			}
			return s.found(path, prefix, entry, yield)
		})
		if err != nil && !errors.Is(err, fs.SkipAll) {
			yield(Object{}, err)
		}
	}
}

func (s fileStore) found(path, prefix string, entry fs.DirEntry, yield func(Object, error) bool) error {
	rel, err := filepath.Rel(s.folder, path)
	if err != nil {
		return err
	}
	name := filepath.ToSlash(rel)
	if !strings.HasPrefix(name, prefix) {
		return nil
	}
	info, err := entry.Info()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if !yield(Object{Name: name, Bytes: info.Size()}, nil) {
		return fs.SkipAll
	}
	return nil
}

func (s fileStore) remove(_ context.Context, name string) error {
	path := s.path(name)
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// Folders that are empty now go too. One that is not stays: that is the error.
	for dir := filepath.Dir(path); dir != filepath.Clean(s.folder) && len(dir) > len(s.folder); dir = filepath.Dir(dir) {
		if os.Remove(dir) != nil {
			return nil
		}
	}
	return nil
}

// reader ends when its context does.
type reader struct {
	ctx context.Context
	io.Reader
}

func (r reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.Reader.Read(p)
}

type readCloser struct {
	io.Reader
	io.Closer
}
