package purge_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/preview"
	"github.com/reaperdb/reaper/purge"
)

// Each test here is a bug, reduced to the smallest case that showed it.

const letters = `CREATE TABLE letters (id int PRIMARY KEY, at timestamptz);
	INSERT INTO letters SELECT n, now() - interval '90 days' FROM generate_series(1, 4) n`

const lettersPolicy = `
policies:
  - {name: letters, table: letters, age: at, tenant: none, retention: 30d}`

// A role or database may set its own date format.
func TestDateStyleOfTheDatabase(t *testing.T) {
	t.Parallel()
	b := prepare(t, letters, lettersPolicy, func(c *pgxpool.Config) {
		c.ConnConfig.RuntimeParams["datestyle"] = "German"
		c.ConnConfig.RuntimeParams["timezone"] = "Pacific/Auckland"
	})
	run := b.purge().complete().rows(map[string]int64{"public.letters": 4})
	if off := time.Since(run.StartedAt).Abs(); off > time.Hour {
		t.Errorf("the run says that it began at %s, %s from now", run.StartedAt, off)
	}
}

// A walk by age alone reads the rows of one age again, ordered by key, if some of them had to
// stay.
func TestKeptRowsOfOneAgeAreCountedOnce(t *testing.T) {
	t.Parallel()
	b := prepare(t, letters+`; CREATE INDEX ON letters (at);
		CREATE TABLE seals (letter int REFERENCES letters); INSERT INTO seals VALUES (2), (3)`, lettersPolicy[:len(lettersPolicy)-1]+`,
     dependents: [{table: seals, action: keep}], limits: {rows: 2}}`)
	run := b.purge().complete().rows(map[string]int64{"public.letters": 2})
	if kept := run.one().KeptRows; kept != 2 {
		t.Errorf("kept_rows is %d, want 2", kept)
	}
}

// Roots of many tenants depend on one another: workers block each other with their locks, round
// after round, unless the last rounds use only one.
func TestKeptRowsOfTenantsThatDependOnOneAnother(t *testing.T) {
	t.Parallel()
	b := prepare(t, `CREATE TABLE organizations (id int PRIMARY KEY); INSERT INTO organizations SELECT generate_series(1, 30);
		CREATE TABLE letters (id int PRIMARY KEY, organization int, answers int REFERENCES letters ON DELETE CASCADE, at timestamptz);
		INSERT INTO letters SELECT n, n, nullif(n - 1, 0), now() - interval '90 days' FROM generate_series(1, 30) n;
		CREATE INDEX ON letters (organization, at); CREATE INDEX ON letters (answers);
		CREATE TABLE seals (letter int REFERENCES letters); INSERT INTO seals VALUES (30)`, `
tenants: {table: organizations, key: id, default: 30d}
policies:
  - name: letters
    table: letters
    age: at
    tenant: organization
    dependents: [{table: seals, action: keep}]`)
	b.runner.Connections = 4
	if kept := b.purge().complete().one().KeptRows; kept != 30 {
		t.Errorf("kept_rows is %d, want 30", kept)
	}
}

// The search for kept roots goes from row to row by the values of the current row. PostgreSQL
// prunes partitions by such a value before it checks the value's table: a text key must not be
// read as another table's number.
func TestKeptThroughAPartitionedTable(t *testing.T) {
	t.Parallel()
	b := prepare(t, `CREATE TABLE letters (id text PRIMARY KEY, at timestamptz);
		CREATE TABLE pages (id int PRIMARY KEY, letter text REFERENCES letters ON DELETE CASCADE);
		CREATE TABLE prints (page int PRIMARY KEY REFERENCES pages ON DELETE CASCADE) PARTITION BY HASH (page);
		CREATE TABLE prints_0 PARTITION OF prints FOR VALUES WITH (MODULUS 2, REMAINDER 0);
		CREATE TABLE prints_1 PARTITION OF prints FOR VALUES WITH (MODULUS 2, REMAINDER 1);
		CREATE TABLE seals (print int REFERENCES prints);
		INSERT INTO letters SELECT 'letter ' || n, now() - interval '90 days' FROM generate_series(1, 4) n;
		INSERT INTO pages SELECT n, 'letter ' || n FROM generate_series(1, 4) n;
		INSERT INTO prints SELECT n FROM generate_series(1, 4) n; INSERT INTO seals VALUES (2)`, lettersPolicy[:len(lettersPolicy)-1]+`,
     dependents: [{table: seals, action: keep}]}`)
	v, err := preview.Look(t.Context(), b.pool, b.plans()[0], plan.Selection{}, false)
	if err != nil {
		t.Fatal(err)
	}
	if v.ExpiredRows != 3 {
		t.Errorf("%d rows would go, want 3", v.ExpiredRows)
	}
	b.purge().complete().rows(map[string]int64{"public.letters": 3, "public.pages": 3, "public.prints": 3})
}

// A row whose reference is to be cleared, and that CASCADE also deletes, is cleared first:
// RESTRICT is checked before CASCADE reaches the row.
func TestEmptiedRowThatGoesByCascadeBesides(t *testing.T) {
	t.Parallel()
	b := prepare(t, letters+`; CREATE TABLE pages (id int PRIMARY KEY, letter int REFERENCES letters ON DELETE CASCADE);
		CREATE TABLE notes (page int REFERENCES pages);
		CREATE TABLE stamps (id int PRIMARY KEY, letter int REFERENCES letters ON DELETE RESTRICT, page int REFERENCES pages ON DELETE CASCADE);
		INSERT INTO pages VALUES (1, 1); INSERT INTO notes VALUES (1); INSERT INTO stamps VALUES (1, 1, 1), (2, 2, NULL)`, lettersPolicy[:len(lettersPolicy)-1]+`,
     dependents: [{table: notes, action: delete}, {table: stamps, via: letter, action: nullify}]}`)
	b.purge().complete().rows(map[string]int64{"public.letters": 4, "public.pages": 1, "public.notes": 1, "public.stamps": 1})
	b.left(`SELECT id || ' ' || coalesce(letter, 0) FROM stamps`, "2 0")
}

// A plan counts the references it would clear, excluding rows that are deleted themselves: in a
// chain of letters that all expire there is none.
func TestPlanCountsEmptiedRowsThatStay(t *testing.T) {
	t.Parallel()
	for name, pages := range map[string]string{
		"tables in a line": `CREATE TABLE pages (id int PRIMARY KEY, letter int REFERENCES letters ON DELETE CASCADE, cover int REFERENCES letters ON DELETE SET NULL)`,
		"tables in a ring": `CREATE TABLE pages (id int PRIMARY KEY, letter int REFERENCES letters ON DELETE CASCADE, cover int REFERENCES letters ON DELETE SET NULL,
			next int REFERENCES pages ON DELETE CASCADE)`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := prepare(t, letters+`; ALTER TABLE letters ADD answers int REFERENCES letters ON DELETE SET NULL; UPDATE letters SET answers = id - 1 WHERE id > 1;
				INSERT INTO letters VALUES (9, now(), 4);`+pages+`;
				INSERT INTO pages (id, letter, cover) VALUES (1, 1, 2), (2, NULL, 2), (3, NULL, 9), (4, 9, 1)`, lettersPolicy)
			v, err := preview.Look(t.Context(), b.pool, b.plans()[0], plan.Selection{}, false)
			if err != nil {
				t.Fatal(err)
			}
			got := map[string]int64{}
			for _, x := range v.Tables {
				got[x.Constraint] = *x.ExpiredRows
			}
			delete(got, "pages_next_fkey")
			want := map[string]int64{"": 4, "letters_answers_fkey": 1, "pages_letter_fkey": 1, "pages_cover_fkey": 2}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("rows of the plan (-want +got):\n%s", d)
			}
			b.purge().complete().rows(map[string]int64{"public.letters": 4, "public.pages": 1})
		})
	}
}

// A run that another process took for dead and closed is no success: its cutoffs were removed,
// so it finds nothing more.
func TestClosedByAnotherProcess(t *testing.T) {
	t.Parallel()
	b := prepare(t, letters+`; CREATE INDEX ON letters (at)`, lettersPolicy[:len(lettersPolicy)-1]+`, limits: {rows: 1}}`)
	b.connect(b.DSN(), before(atDelete, func() {
		b.session().do(`UPDATE reaper.run SET status = 'failed', reason = 'dead', finished_at = now()`)
	}))
	report, err := b.runner.Run(t.Context(), b.plans(), purge.Options{Trigger: "test"})
	if err != nil {
		t.Fatal(err)
	}
	if p := report.Policies[0]; p.Status != purge.Failed || !strings.Contains(p.Reason, "another process closed the run") {
		t.Errorf("%s: %s", p.Status, p.Reason)
	}
	b.left(`SELECT DISTINCT status FROM reaper.runs`, "failed")
}
