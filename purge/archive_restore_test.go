package purge_test

import (
	"archive/tar"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/klauspost/compress/zstd"

	"github.com/reaperdb/reaper/archive"
	"github.com/reaperdb/reaper/deletion"
)

// This file puts back what was archived, by nothing but tar, zstd, JSON and COPY.

// openArchive opens an archive in a folder.
func openArchive(folder string) (deletion.Archive, error) {
	a, err := archive.Open(archive.Config{URL: "file://" + folder})
	if err != nil {
		return nil, err
	}
	return deletion.ArchiveIn(a), nil
}

// object is a segment as the store has it.
type object struct {
	name string
	archive.Manifest
	files map[string][]byte
	lists []archive.List
}

// readObjects reads all segments of a folder, the oldest first.
func readObjects(folder string) (found []*object, err error) {
	var names []string
	err = filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			names = append(names, path)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(names, func(a, b string) int { return strings.Compare(filepath.Base(a), filepath.Base(b)) })
	for _, path := range names {
		base, segment := strings.CutSuffix(path, ".tar.zst")
		if !segment {
			continue
		}
		o, err := readObject(path)
		if err != nil {
			return nil, err
		}
		for _, other := range names {
			if strings.HasPrefix(other, base+".") && strings.HasSuffix(other, ".json") {
				var l archive.List
				text, err := os.ReadFile(other)
				if err == nil {
					err = json.Unmarshal(text, &l)
				}
				if err != nil {
					return nil, err
				}
				o.lists = append(o.lists, l)
			}
		}
		found = append(found, o)
	}
	return found, nil
}

func readObject(path string) (_ *object, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	z, err := zstd.NewReader(f)
	if err != nil {
		return nil, err
	}
	defer z.Close()
	o := &object{name: path, files: map[string][]byte{}}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if o.files[h.Name], err = io.ReadAll(r); err != nil {
			return nil, err
		}
	}
	return o, json.Unmarshal(o.files["manifest.json"], &o.Manifest)
}

// snapshot are the rows of tables, as text, sorted.
func snapshot(ctx context.Context, db *pgxpool.Pool, tables map[archive.Name]string) (map[archive.Name][]string, error) {
	all := map[archive.Name][]string{}
	for name, sql := range tables {
		rows, err := db.Query(ctx, "SELECT (x.*)::text FROM "+sql+" x ORDER BY 1")
		if err != nil {
			return nil, err
		}
		if all[name], err = pgx.CollectRows(rows, pgx.RowTo[string]); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// putBack copies tables as they are into a schema of its own, adds what is on a list of the archive,
// the latest first, and returns the rows. Segments that are named have a list elsewhere.
func putBack(ctx context.Context, db *pgxpool.Pool, tables map[archive.Name]string, folder string, named ...string) (map[archive.Name][]string, error) {
	objects, err := readObjects(folder)
	if err != nil {
		return nil, err
	}
	if _, err := db.Exec(ctx, `DROP SCHEMA IF EXISTS back CASCADE; CREATE SCHEMA back`); err != nil {
		return nil, err
	}
	copies := map[archive.Name]string{}
	for name, sql := range tables {
		copies[name] = fmt.Sprintf("back.t%d", len(copies))
		if _, err := db.Exec(ctx, "CREATE TABLE "+copies[name]+" AS TABLE "+sql); err != nil {
			return nil, err
		}
	}
	for _, o := range slices.Backward(objects) {
		if len(o.lists) == 0 && !slices.ContainsFunc(named, func(name string) bool { return strings.HasSuffix(o.name, name) }) {
			continue
		}
		for _, f := range slices.Backward(o.Tables) {
			if err := putFile(ctx, db, copies[f.Name], f, o.files[f.File]); err != nil {
				return nil, fmt.Errorf("%s: %s: %w", o.name, f.File, err)
			}
		}
	}
	return snapshot(ctx, db, copies)
}

func putFile(ctx context.Context, db *pgxpool.Pool, into string, f archive.File, content []byte) error {
	quoted := func(names ...string) string {
		var all []string
		for _, n := range names {
			all = append(all, pgx.Identifier{n}.Sanitize())
		}
		return strings.Join(all, ", ")
	}
	var names []string
	for _, c := range f.Columns {
		names = append(names, c.Name)
	}
	return db.AcquireFunc(ctx, func(c *pgxpool.Conn) error {
		if _, err := c.Exec(ctx, "DROP TABLE IF EXISTS back.incoming; CREATE TABLE back.incoming AS SELECT "+quoted(names...)+" FROM "+into+" LIMIT 0"); err != nil {
			return err
		}
		if _, err := c.Conn().PgConn().CopyFrom(ctx, strings.NewReader(string(content)), "COPY back.incoming ("+quoted(names...)+") FROM STDIN"); err != nil {
			return err
		}
		if f.Kind == archive.Deleted {
			_, err := c.Exec(ctx, "INSERT INTO "+into+" ("+quoted(names...)+") SELECT * FROM back.incoming")
			return err
		}
		var set, on []string
		for _, e := range f.Emptied {
			set = append(set, quoted(e.Column)+" = i."+quoted(e.Column))
		}
		for _, k := range f.Key {
			on = append(on, "t."+quoted(k)+" = i."+quoted(k))
		}
		tag, err := c.Exec(ctx, "UPDATE "+into+" t SET "+strings.Join(set, ", ")+" FROM back.incoming i WHERE "+strings.Join(on, " AND "))
		if err == nil && tag.RowsAffected() != f.Rows {
			err = fmt.Errorf("%d of %d emptied rows are there", tag.RowsAffected(), f.Rows)
		}
		return err
	})
}
