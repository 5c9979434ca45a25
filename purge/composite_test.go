package purge_test

import "testing"

// A tenants' key of a composite type is one value, also in the list of overrides.
func TestRule_OverridesOfACompositeKey(t *testing.T) {
	t.Parallel()
	b := prepare(t, `CREATE TYPE place AS (site int, code text); CREATE TABLE owners (id place PRIMARY KEY);
		CREATE TABLE things (id int PRIMARY KEY, owner place NOT NULL REFERENCES owners, at timestamptz NOT NULL); CREATE INDEX ON things (owner, at, id);
		INSERT INTO owners VALUES ('(1,a)'), ('(1,b)'), ('(2,a)');
		INSERT INTO things SELECT row_number() OVER (), o.id, now() - n * interval '1 day' - interval '1 hour' FROM owners o, generate_series(0, 99) n`,
		`tenants: {table: owners, key: id, default: 50d, overrides: {"(1,a)": 10d, "(2,a)": forever}}
policies: [{name: things, table: things, age: at, tenant: owner}]`)
	b.purge()
	b.left(`SELECT owner::text || ' ' || count(*) FROM things GROUP BY owner ORDER BY owner`, "(1,a) 10", "(1,b) 50", "(2,a) 100")
}
