package purge_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/archive"
	"github.com/reaperdb/reaper/purge"
)

// journal is what writers have committed: the last version of every row that they know of. A row that
// a writer deletes is taken out.
type journal struct {
	mu   sync.Mutex
	rows map[archive.Name]map[string]string // by key, as text
}

// note notes a row; an empty one was deleted.
func (j *journal) note(table, key, row string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	name := archive.Name{Schema: "public", Name: table}
	if row == "" {
		delete(j.rows[name], key)
	} else {
		j.rows[name][key] = row
	}
}

// What writers do: each returns the key and the new version of a row.
var writes = []struct{ table, sql string }{
	{"parts", `UPDATE parts SET mood = CASE mood WHEN 'good' THEN 'bad'::mood ELSE 'good' END WHERE id = (SELECT id FROM parts ORDER BY id OFFSET $1 %% 200 LIMIT 1) RETURNING id::text, (parts.*)::text`},
	{"parts", `UPDATE parts SET mail_id = (SELECT id FROM mails ORDER BY id OFFSET $1 %% 300 LIMIT 1) WHERE id = (SELECT id FROM parts ORDER BY id DESC OFFSET $1 %% 250 LIMIT 1) RETURNING id::text, (parts.*)::text`},
	{"parts", `INSERT INTO parts SELECT 100000 + $1, id FROM mails ORDER BY id OFFSET $1 %% 300 LIMIT 1 RETURNING id::text, (parts.*)::text`},
	{"clicks", `INSERT INTO clicks (part_id) SELECT id FROM parts ORDER BY id DESC OFFSET $1 %% 400 LIMIT 1 RETURNING id::text, (clicks.*)::text`},
	{"clicks", `DELETE FROM clicks WHERE id = (SELECT id FROM clicks ORDER BY id OFFSET $1 %% 200 LIMIT 1) RETURNING id::text, ''`},
	{"mails", `UPDATE mails SET state = 'read %[1]d' WHERE id = (SELECT id FROM mails ORDER BY id OFFSET $1 %% 300 LIMIT 1) RETURNING id::text, (mails.*)::text`},
	{"mails", `UPDATE mails SET at = now() WHERE id = (SELECT id FROM mails ORDER BY id DESC OFFSET $1 %% 300 LIMIT 1) RETURNING id::text, (mails.*)::text`},
}

// Whatever writers do while a purge runs, every row that they have committed is there or on a list of
// the archive, once, and as they last wrote it; and none that they deleted is on a list.
func TestArchive_Writers(t *testing.T) {
	t.Parallel()
	a := archivingBed(t, shop+`;
CREATE TYPE mood AS ENUM ('good', 'bad');
ALTER TABLE parts ADD mood mood DEFAULT 'good'`, small(shopPolicy))
	a.Exec(t, strings.ReplaceAll(manyMails, "1000", "400"))
	a.runner.Connections = 2
	j := &journal{rows: map[archive.Name]map[string]string{}}
	pool := a.Pool(t)
	for name, sql := range a.tables() {
		j.rows[name] = map[string]string{}
		rows, err := pool.Query(t.Context(), "SELECT id::text, (x.*)::text FROM "+sql+" x")
		if err != nil {
			t.Fatal(err)
		}
		var key, row string
		if _, err := pgx.ForEachRow(rows, []any{&key, &row}, func() error {
			j.rows[name][key] = row
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	var writers sync.WaitGroup
	for w := range 3 {
		writers.Go(func() { write(ctx, t, pool, j, w) })
	}
	o := a.purge()
	for o.Status == purge.Incomplete { // a row may have been busy each time
		stop()
		o = a.purge()
	}
	stop()
	writers.Wait()
	a.purge().is(purge.Complete)
	a.initial = map[archive.Name][]string{}
	for name, rows := range j.rows {
		for _, row := range rows {
			a.initial[name] = append(a.initial[name], row)
		}
	}
	back, err := putBack(t.Context(), pool, a.tables(), a.folder)
	if err != nil {
		t.Fatal(err)
	}
	for name := range back {
		slices.Sort(back[name])
		slices.Sort(a.initial[name])
	}
	if diff := cmp.Diff(a.initial, back); diff != "" {
		t.Errorf("what was written, and what is there or on lists (-written +found):\n%s", diff)
	}
}

// write changes random rows until ctx ends.
func write(ctx context.Context, t *testing.T, pool *pgxpool.Pool, j *journal, writer int) {
	for n := writer; ctx.Err() == nil; n += 3 {
		w := writes[rand.IntN(len(writes))]
		err := pgx.BeginFunc(t.Context(), pool, func(tx pgx.Tx) error {
			sql := fmt.Sprintf(w.sql, n)
			var key, row string
			err := tx.QueryRow(t.Context(), sql, n*7).Scan(&key, &row)
			if err == nil {
				j.note(w.table, key, row) // before the commit, while nobody else can change the row
			}
			return err
		})
		var refused *pgconn.PgError
		switch {
		case err == nil, errors.Is(err, pgx.ErrNoRows), errors.As(err, &refused):
		default:
			t.Error(err)
			return
		}
	}
}
