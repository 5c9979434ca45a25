package purge_test

import (
	"fmt"
	"strings"
	"testing"
)

// A window function in `where` once left due rows in place with exit 0, and
// aggregates and sets failed in the middle of a run: SQL is over one row.
func TestPromise5_SQLOverOneRow(t *testing.T) {
	t.Parallel()
	b := prepare(t, owners+`CREATE TABLE notes (thing int, n int);
		CREATE FUNCTION several(int) RETURNS SETOF int LANGUAGE sql AS 'SELECT $1'`, "")
	for _, c := range []struct{ policy, what string }{
		{ownersPolicy(", default: 1d", `, where: "X > 1"`), "where: "},
		{ownersPolicy(`, default: 1d, hold: "X > 1"`, ""), "hold: "},
		{ownersPolicy(", default: 1d", `, hold: "X > 1"`), "hold: "},
		{ownersPolicy(`, retention: "X"`, ""), "retention: "},
		{ownersPolicy("", `, retention: "X"`), "retention: "},
		{ownersPolicy(", default: 1d", `, dependents: [{table: notes, match: {thing: id}, where: "X > 1", action: delete}]`), "where of dependent notes: "},
	} {
		for sql, refusal := range map[string]string{
			"max(1)":                  "aggregate functions are not allowed",
			"row_number() OVER ()":    "window functions are not allowed",
			"several(1)":              "set-returning functions are not allowed",
			"coalesce(several(1), 2)": "set-returning functions are not allowed",
		} {
			b.policy = "version: 1\n" + strings.ReplaceAll(c.policy, "X", sql)
			b.refuses(placeOf(b.policy, `"`+sql), c.what+refusal, "=> write an expression over one row")
		}
	}
}

// placeOf is where a piece of a policy file stands, as an error names it.
func placeOf(file, piece string) string {
	before, _, _ := strings.Cut(file, piece)
	return fmt.Sprintf("reaper.yaml:%d:%d: ", strings.Count(before, "\n")+1, len(before)-strings.LastIndex(before, "\n"))
}

// A query of tenants runs as a subselect: what is allowed only at the top of a
// statement passed the check once, and failed at run time.
func TestPromise5_QueryOfTenantsThatChangesData(t *testing.T) {
	t.Parallel()
	b := prepare(t, owners, `{version: 1, tenants: {query: "WITH x AS (DELETE FROM owners RETURNING id) SELECT id, 30 FROM x"}, policies: [{name: things, table: things, age: at, tenant: owner}]}`)
	b.refuses(placeOf(b.policy, `"WITH`)+"tenants.query: ", "data-modifying")
	b.policy = strings.Replace(b.policy, "WITH x AS (DELETE FROM owners RETURNING id) SELECT id, 30", "WITH x AS (SELECT id FROM owners) SELECT id, 30", 1)
	b.plans()
}
