package purge_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/preview"
)

// chained is a table of letters, each answering the previous one and deleted with it, and seals
// that keep letters.
func chained(n int) string {
	return fmt.Sprintf(`CREATE TABLE letters (id int PRIMARY KEY, answers int REFERENCES letters ON DELETE CASCADE, at timestamptz);
		CREATE INDEX ON letters (answers);
		INSERT INTO letters SELECT n, nullif(n - 1, 0), now() - interval '90 days' FROM generate_series(1, %d) n;
		CREATE TABLE seals (letter int REFERENCES letters); CREATE INDEX ON seals (letter); ANALYZE;`, n)
}

// Keeping rows are searched once per row, not once per row and root. The time for a chain of
// letters used to grow with the square of its length.
func TestBacklogOfALongChain(t *testing.T) {
	t.Parallel()
	b := prepare(t, chained(20_000)+`INSERT INTO seals VALUES (10000)`, lettersPolicy[:len(lettersPolicy)-1]+`, dependents: [{table: seals, action: keep}]}`)
	began := time.Now()
	due, err := preview.Measure(t.Context(), b.pool, b.plans()[0], time.Minute, time.Minute)
	t.Log(time.Since(began))
	if err != nil || *due.Rows != 10_000 {
		t.Errorf("%+v is due (%v), want the 10000 behind the one that is kept", due, err)
	}
}

// The way from a kept row up to its root may use columns of other types and collations than the
// way down, and arbitrary texts.
func TestBacklogOfKeptRowsByReferencesOfAllTypes(t *testing.T) {
	t.Parallel()
	ground := ground(t)
	for _, c := range []struct{ name, key, reference, value, garbage string }{
		{"int", "int", "int", "n", "NULL"},
		{"int and bigint", "int", "bigint", "n", "99999999999"},
		{"bigint and int", "bigint", "int", "n", "7"},
		{"numeric and int", "numeric", "int", "n", "7"},
		{"text with a collation", `text COLLATE "C"`, `text COLLATE "C"`, "'k' || n", "''"},
		{"text of two collations", `text COLLATE "C"`, `text COLLATE "POSIX"`, "'k' || n", "''"},
		{"varchar and text", "varchar(20)", "text", "'k' || n", "''"},
		{"char and varchar", "char(20)", "varchar(20)", "'k' || n", "''"},
		{"int in a text", "int", "text", "n", "'x'), (52, '02'), (53, '99999999999999999999'), (54, '-'), (55, '2 '"},
		{"bigint in a text", "bigint", "varchar", "n * 1000000000000000000", "'x'), (52, '99999999999999999999'), (53, '9223372036854775808'"},
		{"uuid in a text", "uuid", "text", "md5(n::text)::uuid", "'x'), (52, upper(md5('2'))"},
		{"date in a date", "date", "date", "'2020-01-01'::date + n", "'2020-01-09'"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := ground.on(t, `CREATE TABLE letters (id `+c.key+` PRIMARY KEY, at timestamptz);
				INSERT INTO letters SELECT `+c.value+`, '2020-01-01' FROM generate_series(1, 4) n;
				CREATE TABLE pages (id int PRIMARY KEY, letter `+c.reference+`);
				INSERT INTO pages SELECT row_number() OVER (ORDER BY id), id FROM letters; INSERT INTO pages VALUES (51, `+c.garbage+`);
				CREATE TABLE seals (page int REFERENCES pages); INSERT INTO seals VALUES (2), (51)`,
				lettersPolicy[:len(lettersPolicy)-1]+`, dependents: [{table: pages, match: {letter: id}, where: id > 0, action: delete}, {table: seals, action: keep}]}`)
			due, err := preview.Measure(t.Context(), b.pool, b.plans()[0], time.Minute, time.Minute)
			if err != nil || *due.Rows != 3 {
				t.Errorf("%+v is due (%v), want all but one", due, err)
			}
			if v, err := preview.Look(t.Context(), b.pool, b.plans()[0], plan.Selection{}, false); err != nil || v.ExpiredRows != 3 || *v.Tables[1].ExpiredRows != 3 {
				t.Errorf("the plan is %+v (%v), want three letters and their pages", v, err)
			}
			b.purge().complete().rows(map[string]int64{"public.letters": 3, "public.pages": 3})
		})
	}
}

// When keeping rows are themselves deleted, both purge and plan continue. In a line of letters
// that each keep the previous one, the plan counted one where the purge deleted all.
func TestPlanGoesOnAsKeepersGo(t *testing.T) {
	t.Parallel()
	ground := ground(t)
	for _, c := range []struct {
		name, more string
		due, pages int64
		warning    string
	}{
		{"all go", "", 20, 10, ""},
		{"up to one that stays", `INSERT INTO seals VALUES (10)`, 10, 0, ""},
		{"up to one that is not due", `UPDATE letters SET at = now() WHERE id = 10`, 10, 0, ""},
		{"up to one that is kept through a page", `INSERT INTO marks VALUES (10)`, 10, 0, ""},
		{"through a page that goes", `INSERT INTO marks VALUES (NULL)`, 20, 10, ""},
		{"by a page that goes with another letter", `UPDATE pages SET cover = letter + 2; UPDATE letters SET answers = NULL`, 20, 10, ""},
		{"two in a circle", `UPDATE letters SET answers = 2 WHERE id = 1`, 18, 8, ""},
		{"more than is worked out", `INSERT INTO letters SELECT n, NULL, '2020-01-01' FROM generate_series(21, 100001) n`, 99982, 0, "more than 100000 expired rows"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := ground.on(t, `CREATE TABLE letters (id int PRIMARY KEY, answers int REFERENCES letters, at timestamptz);
				INSERT INTO letters SELECT n, nullif(n - 1, 0), '2020-01-01' FROM generate_series(1, 20) n; CREATE INDEX ON letters (answers);
				CREATE TABLE pages (id int PRIMARY KEY, letter int REFERENCES letters ON DELETE CASCADE, cover int REFERENCES letters); CREATE INDEX ON pages (letter); CREATE INDEX ON pages (cover);
				INSERT INTO pages SELECT n, n FROM generate_series(1, 10) n;
				CREATE TABLE seals (letter int REFERENCES letters); CREATE TABLE marks (page int REFERENCES pages); CREATE INDEX ON seals (letter); CREATE INDEX ON marks (page);`+c.more,
				lettersPolicy[:len(lettersPolicy)-1]+`, unindexed: allow, dependents: [{table: letters, action: keep}, {table: pages, via: cover, action: keep}, {table: seals, action: keep}, {table: marks, action: keep}]}`)
			v, err := preview.Look(t.Context(), b.pool, b.plans()[0], plan.Selection{}, false)
			if err != nil {
				t.Fatal(err)
			}
			counts := map[string]int64{}
			for _, x := range v.Tables {
				counts[x.Constraint] = *x.ExpiredRows
			}
			if d := cmp.Diff(map[string]int64{"": c.due, "letters_answers_fkey": 0, "pages_letter_fkey": c.pages, "pages_cover_fkey": 0, "seals_letter_fkey": 0, "marks_page_fkey": 0}, counts); d != "" || v.ExpiredRows != c.due {
				t.Errorf("%d rows are due, and of the tables (-want +got):\n%s", v.ExpiredRows, d)
			}
			if c.warning != "" {
				if last := v.Problems[len(v.Problems)-1]; last.Level != plan.LevelWarning || !strings.Contains(last.Text, c.warning) {
					t.Errorf("the last problem is %+v, want %s", last, c.warning)
				}
				return
			}
			want := map[string]int64{"public.letters": c.due}
			if c.pages > 0 {
				want["public.pages"] = c.pages
			}
			b.purge().complete().rows(want)
		})
	}
}
