package ledger_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/ledger"
)

// The role's output settings change nothing, nor do operators and functions that its
// search_path finds first.
func TestSettingsOfTheRole(t *testing.T) {
	t.Parallel()
	for name, settings := range map[string][]string{
		"German dates":       {`"DateStyle" = 'German'`, `"IntervalStyle" = 'sql_standard'`, `"TimeZone" = 'Asia/Kolkata'`},
		"days before months": {`"DateStyle" = 'SQL, DMY'`},
		"their search_path":  {`search_path = theirs, pg_catalog`},
		"no search_path":     {`search_path = ''`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := open(t, 24*time.Hour)
			role := b.Role(t, "r")
			for _, grant := range b.Grants(role) {
				b.Exec(t, grant)
			}
			b.Exec(t, theirs+`GRANT USAGE ON SCHEMA theirs TO PUBLIC`)
			for _, setting := range settings {
				b.Exec(t, `ALTER ROLE `+role+` SET `+setting)
			}
			b.pool = connect(t, b.DB, func(c *pgxpool.Config) { c.ConnConfig.User = role })
			b.everything()
		})
	}
}

// theirs shadows pg_catalog, in a search_path that puts it first.
const theirs = `CREATE SCHEMA theirs;
	CREATE FUNCTION theirs.refuse() RETURNS bool LANGUAGE plpgsql AS $$ BEGIN RAISE 'stolen'; END $$;
	CREATE FUNCTION theirs.no(text, text) RETURNS bool LANGUAGE sql AS 'SELECT theirs.refuse()';
	CREATE FUNCTION theirs.no(uuid, uuid) RETURNS bool LANGUAGE sql AS 'SELECT theirs.refuse()';
	CREATE FUNCTION theirs.no(oid, oid) RETURNS bool LANGUAGE sql AS 'SELECT theirs.refuse()';
	CREATE FUNCTION theirs.no(int8, int8) RETURNS bool LANGUAGE sql AS 'SELECT theirs.refuse()';
	CREATE FUNCTION theirs.no(timestamptz, timestamptz) RETURNS bool LANGUAGE sql AS 'SELECT theirs.refuse()';
	CREATE FUNCTION theirs.minus(int8, int8) RETURNS int8 LANGUAGE plpgsql AS $$ BEGIN RAISE 'stolen'; END $$;
	CREATE OPERATOR theirs.= (LEFTARG = text, RIGHTARG = text, PROCEDURE = theirs.no);
	CREATE OPERATOR theirs.= (LEFTARG = uuid, RIGHTARG = uuid, PROCEDURE = theirs.no);
	CREATE OPERATOR theirs.= (LEFTARG = oid, RIGHTARG = oid, PROCEDURE = theirs.no);
	CREATE OPERATOR theirs.= (LEFTARG = int8, RIGHTARG = int8, PROCEDURE = theirs.no);
	CREATE OPERATOR theirs.> (LEFTARG = timestamptz, RIGHTARG = timestamptz, PROCEDURE = theirs.no);
	CREATE OPERATOR theirs.- (LEFTARG = int8, RIGHTARG = int8, PROCEDURE = theirs.minus);
	CREATE FUNCTION theirs.now() RETURNS timestamptz LANGUAGE plpgsql AS $$ BEGIN RAISE 'stolen'; END $$;
	CREATE FUNCTION theirs.clock_timestamp() RETURNS timestamptz LANGUAGE plpgsql AS $$ BEGIN RAISE 'stolen'; END $$;
	CREATE FUNCTION theirs.jsonb_each_text(jsonb, OUT key text, OUT value text) RETURNS SETOF record LANGUAGE plpgsql AS $$ BEGIN RAISE 'stolen'; END $$;
	CREATE DOMAIN theirs.uuid AS text CHECK (theirs.refuse());
	CREATE DOMAIN theirs.text AS pg_catalog.text CHECK (theirs.refuse());
	CREATE DOMAIN theirs.jsonb AS pg_catalog.jsonb CHECK (theirs.refuse());
	CREATE DOMAIN theirs.timestamptz AS pg_catalog.timestamptz CHECK (theirs.refuse());
	`

// everything calls what reaper calls, as the book's role.
func (b *fixture) everything() {
	b.t.Helper()
	ctx := b.t.Context()
	b.do(b.Usable(ctx, b.pool))
	if needs, err := b.NeedsMigration(ctx, b.pool); needs || err != nil {
		b.t.Errorf("needs a migration: %t, %v", needs, err)
	}
	b.do(b.Pause(ctx, b.pool, []string{"mails"}, time.Hour, "why", "me"))
	pauses, err := b.Pauses(ctx, b.pool)
	if err != nil || len(pauses) != 1 || pauses[0].Until.Sub(pauses[0].Since) != time.Hour || time.Since(pauses[0].Since).Abs() > time.Minute {
		b.t.Errorf("pauses %+v (%v)", pauses, err)
	}
	b.pausedByRole(true)
	if n, err := b.Resume(ctx, b.pool, nil); n != 1 || err != nil {
		b.t.Errorf("%d resumed (%v)", n, err)
	}
	b.pausedByRole(false)
	b.runs()
	if n, err := b.NumberEvents(ctx, b.pool); n != 1 || err != nil {
		b.t.Errorf("%d events got an id (%v), want 1", n, err)
	}
	b.schedules()
	backlog := int64(3)
	b.do(b.SaveSize(ctx, b.pool, ledger.Size{Tables: map[string]int64{"t": 1}, Policies: map[string]ledger.Counts{"mails": {Backlog: &backlog}}}))
	sizes, err := b.Sizes(ctx, b.pool, time.Hour)
	if err != nil || len(sizes) != 1 || time.Since(sizes[0].At).Abs() > time.Minute {
		b.t.Errorf("sizes %+v (%v)", sizes, err)
	}
	if due, err := b.SizeDue(ctx, b.pool); due || err != nil {
		b.t.Errorf("a size is due: %t, %v", due, err)
	}
}

// pausedByRole checks as a batch does, in a transaction under the role's search_path.
func (b *fixture) pausedByRole(want bool) {
	b.t.Helper()
	var got bool
	if err := b.pool.QueryRow(b.t.Context(), `SELECT `+b.PausedSQL(`$1::pg_catalog.text`), "mails").Scan(&got); err != nil || got != want {
		b.t.Errorf("paused %t (%v), want %t", got, err, want)
	}
}

func (b *fixture) runs() {
	b.t.Helper()
	ctx := b.t.Context()
	id := b.begin("mails")
	b.fix(id, [][]any{{"1", "2026-03-04 05:06:07.5+00"}})
	b.batch(id, "mails", 1, "1", map[string]int64{"t": 2}, map[string]int64{"u": 1})
	b.do(pgx.BeginFunc(ctx, b.pool, func(tx pgx.Tx) error {
		there, err := b.BatchCommitted(ctx, tx, id, "mails", 1)
		if err != nil || !there {
			b.t.Errorf("the batch is there: %t, %v", there, err)
		}
		event := &pgx.Batch{}
		b.do(b.Emit(event, ledger.Event{Kind: ledger.ErasureDone}))
		b.do(tx.SendBatch(ctx, event).Close())
		_, rows, err := b.RecordCounts(ctx, tx, id, "mails", 0, "t", `SELECT '1'::pg_catalog.text, 5::bigint`, nil)
		if rows != 5 {
			b.t.Errorf("%d rows counted, want 5", rows)
		}
		return err
	}))
	b.detach(id, 1)
	b.do(b.EachDetach(ctx, b.pool, func(string, uint32, uint32, string, string, []string) {}))
	b.forget(1, true)
	b.do(b.RecordAdvice(ctx, b.pool, id, "mails", "slow", "storage", "why"))
	b.do(b.KeepAlive(ctx, b.pool, id))
	if n, err := b.DoneTenants(ctx, b.pool, id, "mails", []string{"null"}); n != 1 || err != nil {
		b.t.Errorf("%d tenants done (%v)", n, err)
	}
	rows, nullified, batches, err := b.Totals(ctx, b.pool, id, "mails")
	if diff := cmp.Diff(map[string]int64{"t": 7, "u": 0}, rows); diff != "" || nullified != 1 || batches != 2 || err != nil {
		b.t.Errorf("totals %v, %d, %d (%v)", rows, nullified, batches, err)
	}
	b.end(id, "mails", "complete", true)
	h := b.history()
	if h.Last == nil || h.Success == nil || time.Since(*h.Success).Abs() > time.Minute || time.Since(h.Last.StartedAt).Abs() > time.Minute {
		b.t.Errorf("history %+v", h)
	}
	if rows, wal, err := b.Written(ctx, b.pool, "mails"); rows != 7 || wal != 99 || err != nil {
		b.t.Errorf("written %d, %d (%v)", rows, wal, err)
	}
	b.do(b.CloseDead(ctx, b.pool, "mails"))
}

func (b *fixture) schedules() {
	b.t.Helper()
	ctx := b.t.Context()
	at := time.Date(2026, 11, 5, 4, 3, 2, 1000, time.UTC)
	if won, err := b.Claim(ctx, b.pool, "mails", at, uuid.NewString(), "schedule", "i"); !won || err != nil {
		b.t.Errorf("claimed %t, %v", won, err)
	}
	if won, err := b.Claim(ctx, b.pool, "mails", at, uuid.NewString(), "schedule", "j"); won || err != nil {
		b.t.Errorf("claimed again %t, %v", won, err)
	}
	if last, err := b.LastTick(ctx, b.pool, "mails"); !last.Equal(at) || err != nil {
		b.t.Errorf("last tick %v (%v), want %v", last, err, at)
	}
	if running, err := b.Running(ctx, b.pool, "mails", at); !running || err != nil {
		b.t.Errorf("running %t, %v", running, err)
	}
	b.do(b.SaveScan(ctx, b.pool, "mails", ledger.Scan{At: at, Oldest: &at, Lag: 1.5}))
	scans, err := b.Scans(ctx, b.pool, []string{"mails"})
	if err != nil || !scans["mails"].At.Equal(at) || !scans["mails"].Oldest.Equal(at) {
		b.t.Errorf("scans %+v (%v)", scans["mails"], err)
	}
	if holder, err := b.Lease(ctx, b.pool, "scan", "i", time.Hour); holder != "i" || err != nil {
		b.t.Errorf("lease of %q, %v", holder, err)
	}
	if holder, err := b.Holder(ctx, b.pool, "scan"); holder != "i" || err != nil {
		b.t.Errorf("holder %q, %v", holder, err)
	}
	b.do(b.Release(ctx, b.pool, "scan", "i"))
}
