package ledger_test

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/internal/dbtest"
	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/ledger"
)

// In a database with FOR ALL TABLES published, rows of every ledger table can still be
// updated and deleted.
func TestEveryTableHasAKey(t *testing.T) {
	t.Parallel()
	b := open(t, time.Millisecond)
	b.Exec(t, `CREATE PUBLICATION everything FOR ALL TABLES`)
	b.lines("", `SELECT c.relname FROM pg_class c WHERE c.relnamespace = 'reaper'::regnamespace AND c.relkind IN ('r', 'p')
		AND NOT EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary) ORDER BY 1`)
	for range 3 {
		id := b.begin("mails")
		b.batch(id, "mails", 1, "1", map[string]int64{"t": 1, "u": 2}, nil)
		b.batch(id, "mails", 2, "", map[string]int64{"t": 1}, nil)
		b.end(id, "mails", "complete", true)
		b.Exec(t, `UPDATE reaper.run SET finished_at = finished_at - interval '1 hour'`)
	}
	b.end(b.begin("mails"), "mails", "failed", false)
	b.lines("2", `SELECT count(*)::text FROM reaper.run`) // the last success and the run just ended
	b.lines("3", `SELECT count(*)::text FROM reaper.deletion`)
}

// Upgrading a ledger keeps its rows.
func TestUpgrade(t *testing.T) {
	t.Parallel()
	l := ledger.New(ledger.DefaultSchema, 0)
	sql, err := l.Print()
	if err != nil {
		t.Fatal(err)
	}
	db := dbtest.New(t)
	sql, _, _ = strings.Cut(sql, "-- version 7\n")
	db.Exec(t, sql+`COMMIT`)
	b := &fixture{Ledger: l, DB: db, t: t, pool: connect(t, db)}
	id, under := uuid.NewString(), uuid.NewString()
	const opened = `INSERT INTO reaper.run (run_id, policy, trigger, cutoff_base, lease_until) VALUES ($1, 'mails', 'manual', now(), now() + interval '1 minute')`
	b.Exec(t, opened, id)
	b.Exec(t, opened, under)
	b.batch(id, "mails", 1, "1", map[string]int64{"t": 7, "u": 2}, nil)
	b.batch(id, "mails", 2, "", map[string]int64{"t": 1}, map[string]int64{"u": 3})
	b.Exec(t, `UPDATE reaper.run SET status = 'complete', finished_at = now() WHERE run_id = $1`, id)
	b.batch(under, "mails", 1, "1", map[string]int64{"t": 5}, nil)
	b.fix(under, [][]any{{"b", "2026-01-01 00:00:00+00"}, {"a", "2026-01-02 00:00:00+00"}})
	const all = `SELECT concat_ws(' ', run_id, tenant, table_name, rows, rows_nullified) FROM reaper.deletions ORDER BY 1`
	before := strings.Join(b.Texts(t, all), "\n")
	applied, err := l.Migrate(t.Context(), b.pool)
	if err != nil || len(applied) == 0 || applied[0] != 7 {
		t.Fatalf("applied %v (%v), want 7 and what follows", applied, err)
	}
	// A process of the older version begins nothing more: it knows nothing of holds.
	for _, sql := range []string{opened, `INSERT INTO reaper.tick (policy, at, run_id, instance) VALUES ('mails', now(), $1, 'old')`} {
		if _, err := b.pool.Exec(t.Context(), sql, uuid.NewString()); !pg.HasCode(err, "23502") {
			t.Errorf("%s: %v, want it refused", sql, err)
		}
	}
	newest := b.begin("mails")
	b.lines("true", `SELECT (version = (SELECT max(version) FROM reaper.schema_version))::text FROM reaper.run WHERE run_id = '`+newest+`'`)
	b.lines(before, all)
	b.lines("1 b\n2 a", `SELECT rank || ' ' || tenant FROM reaper.cutoff ORDER BY rank`)
	b.end(under, "mails", "complete", true)
	b.lines("8", `SELECT sum(rows + rows_nullified)::text FROM reaper.deletions WHERE table_name = 't' AND run_id = '`+id+`'`)
}

// A tenant's key may be incompressible and longer than any index can hold.
func TestLongKeys(t *testing.T) {
	t.Parallel()
	for _, length := range []int{2690, 1 << 20} {
		b := open(t, time.Hour)
		random := make([]byte, length)
		if _, err := rand.Read(random); err != nil {
			t.Fatal(err)
		}
		key := base64.StdEncoding.EncodeToString(random)[:length]
		if _, err := b.Hold(t.Context(), b.pool, nil, []string{key}, ledger.HoldEnd{}, "why", "ann"); err != nil {
			t.Error(err)
		}
		id := b.begin("mails")
		b.fix(id, [][]any{{key, "2026-01-01 00:00:00+00"}, {"short", "2026-01-01 00:00:00+00"}})
		b.batch(id, "mails", 1, key, map[string]int64{"t": 1}, nil)
		b.do(pgx.BeginFunc(t.Context(), b.pool, func(tx pgx.Tx) error {
			_, _, err := b.RecordCounts(t.Context(), tx, id, "mails", 0, "t", `SELECT $1::text, 2::bigint`, []any{key})
			return err
		}))
		b.do(b.SaveScan(t.Context(), b.pool, "mails", ledger.Scan{At: time.Now(), Worst: []ledger.Overdue{{Key: &key, Lag: 1}}}))
		if n, err := b.DoneTenants(t.Context(), b.pool, id, "mails", []string{}); n != 1 || err != nil {
			t.Errorf("%d tenants done (%v), want 1", n, err)
		}
		b.end(id, "mails", "complete", true)
		if n := b.Int(t, `SELECT rows::int FROM reaper.deletions WHERE tenant = $1`, key); n != 3 {
			t.Errorf("%d rows of the long key, want 3", n)
		}
		scans, err := b.Scans(t.Context(), b.pool, []string{"mails"})
		if err != nil || *scans["mails"].Worst[0].Key != key {
			t.Errorf("the scan lost the long key (%v)", err)
		}
	}
}

// warnings collects log messages.
type warnings struct {
	slog.Handler
	mu    sync.Mutex
	texts []string
}

func (w *warnings) Enabled(context.Context, slog.Level) bool { return true }

func (w *warnings) Handle(_ context.Context, r slog.Record) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	text := r.Message
	r.Attrs(func(a slog.Attr) bool {
		text += " " + a.String()
		return true
	})
	w.texts = append(w.texts, text)
	return nil
}

// A failure to delete old rows is only a warning: the run is closed, the pause made, the
// tick claimed.
func TestForgettingFails(t *testing.T) {
	t.Parallel()
	b := open(t, time.Hour)
	log := &warnings{}
	b.Log = slog.New(log)
	id := b.begin("mails")
	b.batch(id, "mails", 1, "1", map[string]int64{"t": 1}, nil)
	b.end(id, "mails", "failed", false)
	if err := b.Pause(t.Context(), b.pool, nil, time.Minute, "why", ""); err != nil {
		t.Fatal(err)
	}
	tick := time.Now().Truncate(time.Second)
	b.claimed(tick.Add(-30 * 24 * time.Hour))
	b.Exec(t, `UPDATE reaper.run SET finished_at = finished_at - interval '1 day'; UPDATE reaper.pause SET created_at = created_at - interval '1 day', ends_at = ends_at - interval '1 day';
		CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'refused'; END $$;
		CREATE TRIGGER refuse BEFORE DELETE ON reaper.run FOR EACH ROW EXECUTE FUNCTION public.refuse();
		CREATE TRIGGER refuse BEFORE DELETE ON reaper.pause FOR EACH ROW EXECUTE FUNCTION public.refuse();
		CREATE TRIGGER refuse BEFORE DELETE ON reaper.tick FOR EACH ROW EXECUTE FUNCTION public.refuse()`)
	b.end(b.begin("mails"), "mails", "complete", true)
	b.do(b.Pause(t.Context(), b.pool, nil, time.Hour, "why", ""))
	b.claimed(tick)
	b.lines("complete\nfailed\nrunning\nrunning", `SELECT status FROM reaper.runs ORDER BY 1`)
	b.lines("2 2", `SELECT concat_ws(' ', (SELECT count(*) FROM reaper.pause), (SELECT count(*) FROM reaper.tick))`)
	for i, rows := range []string{"rows=runs", "rows=pauses", "rows=ticks"} {
		if len(log.texts) != 3 || !strings.Contains(log.texts[i], rows) || !strings.Contains(log.texts[i], "refused") {
			t.Fatalf("logged %q", log.texts)
		}
	}
}

func (b *fixture) claimed(at time.Time) {
	b.t.Helper()
	if won, err := b.Claim(b.t.Context(), b.pool, "mails", at, "00000000-0000-0000-0000-00000000"+at.Format("0102"), "schedule", "i"); !won || err != nil {
		b.t.Fatalf("claiming: %t, %v", won, err)
	}
}

// A lock on old rows does not hold up a run.
func TestForgettingWaitsForNobody(t *testing.T) {
	t.Parallel()
	b := open(t, time.Hour)
	log := &warnings{}
	b.Log = slog.New(log)
	b.end(b.begin("mails"), "mails", "failed", false)
	b.Exec(t, `UPDATE reaper.run SET finished_at = finished_at - interval '1 day'`)
	b.do(pgx.BeginFunc(t.Context(), b.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(t.Context(), `SELECT FROM reaper.run FOR UPDATE`); err != nil {
			return err
		}
		b.end(b.begin("mails"), "mails", "complete", true)
		return nil
	}))
	b.lines("complete\nfailed", `SELECT status FROM reaper.runs ORDER BY 1`)
	if len(log.texts) != 1 || !strings.Contains(log.texts[0], "55P03") {
		t.Errorf("logged %q", log.texts)
	}
}
