package purge_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/preview"
)

// A look at the plan reports the cost of each missing index; the plan itself, which has counted
// nothing, does not.
func TestRule_HintsOfMissingIndexes(t *testing.T) {
	t.Parallel()
	ground := ground(t)
	const sweep = "every row is read along the key"
	sweeping := roots + `DROP INDEX roots_at_id_idx; INSERT INTO roots SELECT n, now() - CASE WHEN n <= 10 THEN interval '40 days' ELSE interval '1 day' END FROM generate_series(1, 245) n;`
	for _, c := range []struct {
		name, schema, policy string
		want                 []string
	}{
		{
			"a sweep", sweeping, tree(""),
			[]string{sweep + "; the key sweep reads 48 rows for each one deleted, with the pass that confirms; with this index: 1"},
		},
		{
			"a sweep with where", sweeping, strings.Replace(tree(""), "age: at", "age: at\n    where: id > 4", 1),
			[]string{sweep + "; the key sweep reads 81 rows for each one deleted, with the pass that confirms; with this index: 1, plus those that are old enough but stay"},
		},
		{
			"a sweep of all", roots + `DROP INDEX roots_at_id_idx; INSERT INTO roots SELECT generate_series(1, 5)`, tree(""),
			[]string{sweep + "; the key sweep reads 1 row for each one deleted, with the pass that confirms; with this index: 1"},
		},
		{
			"nothing expired", sweeping + `CREATE TABLE parts (root int REFERENCES roots ON DELETE CASCADE); INSERT INTO parts VALUES (99); UPDATE roots SET at = now()`, tree(""),
			[]string{"each deleted row of public.roots reads the whole table", sweep},
		},
		{"edges", roots + `INSERT INTO roots SELECT generate_series(1, 4);
			CREATE TABLE parts (id int PRIMARY KEY, root int REFERENCES roots ON DELETE CASCADE); INSERT INTO parts VALUES (1, 1), (2, 1), (3, 2), (4, 2), (5, 3), (6, NULL);
			CREATE TABLE clicks (part int REFERENCES parts); INSERT INTO clicks VALUES (1), (NULL), (NULL);
			CREATE TABLE notes (root int REFERENCES roots ON DELETE SET NULL); INSERT INTO notes VALUES (1), (NULL);
			CREATE TABLE two (a int REFERENCES roots ON DELETE CASCADE, b int REFERENCES roots ON DELETE CASCADE); CREATE INDEX ON two (a); INSERT INTO two VALUES (1, 2);
			CREATE TABLE files (root int); INSERT INTO files SELECT 1 FROM generate_series(1, 50);
			CREATE TABLE empty (root int REFERENCES roots ON DELETE CASCADE);`, tree("{table: files, match: {root: id}, action: delete}", "rows: 2"), []string{
			"each deleted row of public.parts reads the whole table; 3 rows read for each deleted row of public.parts; with this index: 0.2",
			"each deleted row of public.roots reads the whole table",
			"each deleted row of public.roots reads the whole table; 1 row read for each deleted row of public.roots; with this index: only those that reference it",
			"each deleted row of public.roots reads the whole table; 2 rows read for each deleted row of public.roots; with this index: 0.2",
			"each deleted row of public.roots reads the whole table; 6 rows read for each deleted row of public.roots; with this index: 1.2",
			"every batch reads the whole table; 25 rows read for each deleted row of public.roots; with this index: 12",
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := ground.on(t, c.schema, c.policy)
			p := b.plans()[0]
			v, err := preview.Look(t.Context(), b.pool, p, plan.Selection{}, false)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, x := range v.Problems {
				if !strings.HasPrefix(x.Text, "no index serves") {
					continue
				}
				_, text, _ := strings.Cut(x.Text, ": ")
				if _, reason, found := strings.Cut(text, "the age: "); found {
					text = reason
				}
				got = append(got, text)
			}
			slices.Sort(got)
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
			for _, x := range p.Problems {
				if strings.Contains(x.Text, "with this index") {
					t.Errorf("the plan says %q", x.Text)
				}
			}
		})
	}
}
