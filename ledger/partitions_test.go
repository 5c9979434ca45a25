package ledger_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
)

func (b *fixture) detach(id string, partition uint32) {
	b.t.Helper()
	b.do(b.NoteDetach(b.t.Context(), b.pool, id, "mails", 4_000_000_000, partition, "public.p", "FOR VALUES FROM (1) TO (2)", []string{"a", "b c"}))
}

func (b *fixture) forget(partition uint32, want bool) {
	b.t.Helper()
	b.do(pgx.BeginFunc(b.t.Context(), b.pool, func(tx pgx.Tx) error {
		there, err := b.ForgetDetach(b.t.Context(), tx, partition)
		if there != want {
			b.t.Errorf("the note of %d was there: %t, want %t", partition, there, want)
		}
		return err
	}))
}

// A noted detach stays until it is settled, whatever becomes of its run.
func TestDetaches(t *testing.T) {
	t.Parallel()
	b := open(t, 0)
	id := b.begin("mails")
	b.detach(id, 7)
	b.detach(id, 4_100_000_000)
	b.detach(id, 7) // as after a lost connection
	b.forget(8, false)
	b.end(id, "mails", "failed", false)
	b.Exec(t, `DELETE FROM reaper.run`)
	notes := func(want ...string) {
		t.Helper()
		got := []string{}
		b.do(b.EachDetach(t.Context(), b.pool, func(policy string, parent, partition uint32, name, bound string, checks []string) {
			got = append(got, fmt.Sprintf("%s %d %d %s %s %q", policy, parent, partition, name, bound, checks))
		}))
		if diff := cmp.Diff(append([]string{}, want...), got); diff != "" {
			t.Errorf("notes (-want +got):\n%s", diff)
		}
	}
	const rest = ` public.p FOR VALUES FROM (1) TO (2) ["a" "b c"]`
	notes("mails 4000000000 7"+rest, "mails 4000000000 4100000000"+rest)
	b.forget(7, true)
	b.forget(7, false)
	notes("mails 4000000000 4100000000" + rest)
}

// Counts from a query are recorded like batches, next to real ones.
func TestRecordCounts(t *testing.T) {
	t.Parallel()
	b := open(t, 0)
	id := b.begin("mails")
	b.batch(id, "mails", 1, "a", map[string]int64{"public.mails": 5}, nil)
	record := func(used int64, counts string, wantBatches, wantRows int64) {
		t.Helper()
		b.do(pgx.BeginFunc(t.Context(), b.pool, func(tx pgx.Tx) error {
			batches, rows, err := b.RecordCounts(t.Context(), tx, id, "mails", used, "public.mails", counts, []any{"a"})
			if batches != wantBatches || rows != wantRows {
				t.Errorf("%d batches, %d rows, want %d, %d", batches, rows, wantBatches, wantRows)
			}
			return err
		}))
	}
	record(0, `WITH x AS (SELECT $1::text AS t) SELECT t, 10::bigint FROM x UNION ALL VALUES (NULL, 20), ('b', 3)`, 3, 33)
	record(3, `SELECT $1::text, 1::bigint`, 1, 1)
	record(4, `SELECT $1::text, 1::bigint WHERE false`, 0, 0)
	for range 2 {
		b.lines("a public.mails 16 0\nb public.mails 3 0\nnull public.mails 20 0", `SELECT concat_ws(' ', coalesce(tenant, 'null'), table_name, rows, rows_nullified) FROM reaper.deletions ORDER BY 1`)
		b.lines("39 5", `SELECT concat_ws(' ', rows_total, batches) FROM reaper.runs`)
		b.end(id, "mails", "complete", true)
	}
}
