package purge_test

import (
	"fmt"
	"strings"
	"testing"
)

// SQL must be over one row: a window function in `where` used to leave due rows in place with
// exit 0, and aggregates and set-returning functions failed during a run.
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

// placeOf is the position of a fragment of a policy file, as errors name it.
func placeOf(file, piece string) string {
	before, _, _ := strings.Cut(file, piece)
	return fmt.Sprintf("reaper.yaml:%d:%d: ", strings.Count(before, "\n")+1, len(before)-strings.LastIndex(before, "\n"))
}

// A tenants query runs as a subselect: what is allowed only at the top level of a statement
// used to pass the check and fail at run time.
func TestPromise5_QueryOfTenantsThatChangesData(t *testing.T) {
	t.Parallel()
	b := prepare(t, owners, `{version: 1, tenants: {query: "WITH x AS (DELETE FROM owners RETURNING id) SELECT id, 30 FROM x"}, policies: [{name: things, table: things, age: at, tenant: owner}]}`)
	b.refuses(placeOf(b.policy, `"WITH`)+"tenants.query: ", "data-modifying")
	b.policy = strings.Replace(b.policy, "WITH x AS (DELETE FROM owners RETURNING id) SELECT id, 30", "WITH x AS (SELECT id FROM owners) SELECT id, 30", 1)
	b.plans()
}

// Rows are found by arrays of values, and an array of arrays is one array: such keys and
// references used to pass the check and fail at run time.
func TestPromise5_Arrays(t *testing.T) {
	t.Parallel()
	ground := ground(t)
	const none = "policies: [{name: things, table: things, age: at, tenant: none, retention: 30d, undecided: delete%s}]"
	for _, c := range []struct {
		name, schema, policy string
		refused              []string // empty: accepted
	}{
		{"root's key", `CREATE TABLE things (id int[] PRIMARY KEY, at timestamptz)`, fmt.Sprintf(none, ""), []string{"reaper.yaml:2:34: ", "no key that identifies its rows", "column id is an array", "no arrays)"}},
		{"a domain over arrays", `CREATE DOMAIN trail AS int[]; CREATE TABLE things (id trail PRIMARY KEY, at timestamptz)`, fmt.Sprintf(none, ""), []string{"column id is an array"}},
		{"another key besides", `CREATE TABLE things (id int[] PRIMARY KEY, n int NOT NULL UNIQUE, at timestamptz)`, fmt.Sprintf(none, ""), nil},
		{
			"a reference", `CREATE TABLE things (n int PRIMARY KEY, id int[] UNIQUE, at timestamptz); CREATE TABLE parts (id int PRIMARY KEY, thing int[] REFERENCES things (id))`,
			fmt.Sprintf(none, ""),
			[]string{"parts_thing_fkey compares public.parts.thing with public.things.id", "another type"},
		},
		{
			"a match", `CREATE TABLE things (n int PRIMARY KEY, id int[], at timestamptz); CREATE TABLE parts (id int PRIMARY KEY, thing int[])`,
			fmt.Sprintf(none, ", dependents: [{table: parts, match: {thing: id}, action: delete}]"),
			[]string{"match compares public.parts.thing", "match columns that are not arrays"},
		},
		{
			"the tenants' key", `CREATE TABLE owners (id int[] PRIMARY KEY); CREATE TABLE things (id int PRIMARY KEY, owner int[], at timestamptz)`,
			ownersPolicy(", default: 30d", ""),
			[]string{"the tenants' key id is integer[]"},
		},
		{
			"a step to the tenants", owners + `CREATE TABLE vias (id int[] PRIMARY KEY, owner int); ALTER TABLE things ADD via int[] REFERENCES vias`,
			strings.Replace(ownersPolicy(", default: 30d", ""), "tenant: owner", "tenant: [via, owner]", 1),
			[]string{"the tenant path goes through public.vias.id"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := ground.on(t, c.schema, c.policy)
			if c.refused == nil {
				b.Exec(t, `INSERT INTO things VALUES ('{1}', 1, '2020-01-01'), ('{2}', 2, now())`)
				b.purge().complete()
				b.left(`SELECT n FROM things`, "2")
				return
			}
			b.refuses(c.refused...)
		})
	}
}
