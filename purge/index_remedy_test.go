package purge_test

import (
	"strings"
	"testing"

	"github.com/reaperdb/reaper/plan"
)

// pasteIndexes runs each CREATE INDEX that the plan prints and wants no missing index
// afterwards.
func (b *bed) pasteIndexes(want ...string) {
	b.t.Helper()
	const lack = "no index serves"
	var fixes []string
	for _, level := range []plan.Level{plan.LevelError, plan.LevelWarning} {
		for _, problem := range b.problems(level) {
			if text, fix, _ := strings.Cut(problem, " => "); strings.Contains(text, lack) {
				fixes = append(fixes, fix)
			}
		}
	}
	if len(fixes) == 0 {
		b.t.Fatal("no index is missing")
	}
	for _, fix := range fixes {
		b.Exec(b.t, fix)
	}
	for _, w := range want {
		if !strings.Contains(strings.Join(fixes, "\n"), w) {
			b.t.Errorf("no fix says %q; there are %q", w, fixes)
		}
	}
	for _, level := range []plan.Level{plan.LevelError, plan.LevelWarning} {
		for _, problem := range b.problems(level) {
			if strings.Contains(problem, lack) {
				b.t.Errorf("after %q: %s", fixes, problem)
			}
		}
	}
}

// refusesLaxKeys: since PostgreSQL 18 no foreign key compares two collations if one is
// nondeterministic. References declared by match or a path still may.
func refusesLaxKeys(t *testing.T, ground *bed) bool {
	return ground.Int(t, `SELECT current_setting('server_version_num')::int`) >= 180000
}

// A printed index works for any comparison of the two columns.
func TestRule_IndexesThatArePrintedServe(t *testing.T) {
	t.Parallel()
	ground := ground(t)
	const lax = `CREATE COLLATION ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false); `
	const domain = `CREATE SCHEMA ext; CREATE EXTENSION citext SCHEMA ext; `
	for _, c := range []struct {
		name, before, ours, theirs string
		match                      bool
		want                       string
	}{
		{"alike", "", "int", "int", false, `("r")`},
		{"int4 of int8", "", "bigint", "int", false, `("r")`},
		{"int of numeric", "", "numeric", "int", false, `(((r)::numeric))`},
		{"citext of text", "CREATE EXTENSION citext; ", "text", "citext", false, `("r" text_ops)`},
		{"text of citext, match", "CREATE EXTENSION citext; ", "citext", "text", true, ""},
		{"text of citext elsewhere, match", domain, "ext.citext", "text", true, ""},
		{"citext of citext elsewhere", domain, "ext.citext", "ext.citext", false, `("r")`},
		{"citext of text elsewhere, match", domain, "text", "ext.citext", true, ""},
		{"varchar of char", "", "char(8)", "varchar(8)", false, `("r" bpchar_ops)`},
		{"char of varchar", "", "varchar(8)", "char(8)", false, `(((r)::text))`},
		{"char of varchar, match", "", "varchar(8)", "char(8)", true, ""},
		{"varchar of char, match", "", "char(8)", "varchar(8)", true, ""},
		{"varchar of text", "", "text", "varchar(8)", false, `("r")`},
		{"name of text", "", "text", "name", false, ""},
		{"text of a lax collation", lax, "text COLLATE ci", "text", false, `("r" COLLATE public.ci)`},
		{"text of a lax collation, match", lax, "text COLLATE ci", "text", true, ""},
		{"citext of a lax collation", lax + "CREATE EXTENSION citext; ", "text COLLATE ci", "citext", false, `("r" COLLATE public.ci text_ops)`},
		{"char of a lax collation", lax, "text COLLATE ci", "char(8)", false, ""},
		{"two strict collations", "", `text COLLATE "C"`, `text COLLATE "POSIX"`, false, `("r")`},
		{"text of int, match", "", "int", "text", true, `("r")`},
		{"a domain", "CREATE DOMAIN d AS varchar(8); ", "char(8)", "d", false, `("r" bpchar_ops)`},
		{"an operator class of its own", `CREATE OPERATOR FAMILY turned USING btree;
			CREATE FUNCTION turned(int, int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT btint4cmp($2, $1)';
			CREATE OPERATOR CLASS turned FOR TYPE int USING btree FAMILY turned AS OPERATOR 1 >, OPERATOR 2 >=, OPERATOR 3 =, OPERATOR 4 <=, OPERATOR 5 <, FUNCTION 1 turned(int, int); `, "int", "int", false, `("r")`},
		{"an enum", "CREATE TYPE e AS ENUM ('a'); ", "e", "e", false, `("r")`},
	} {
		t.Run(c.name, func(t *testing.T) {
			key, dependents := " REFERENCES roots ON DELETE CASCADE", ""
			if c.match || strings.HasPrefix(c.before, lax) && refusesLaxKeys(t, ground) {
				key, dependents = "", "{table: parts, match: {r: id}, action: delete}"
			}
			b := ground.on(t, `DROP SCHEMA IF EXISTS ext CASCADE; `+c.before+`CREATE TABLE roots (id `+c.ours+` PRIMARY KEY, at timestamptz NOT NULL);
				CREATE INDEX ON roots (at, id); CREATE TABLE parts (id int PRIMARY KEY, r `+c.theirs+key+`)`, tree(dependents))
			b.pasteIndexes(c.want)
		})
	}
}

// So does the index for finding expired rows, whose first column is compared with the tenant
// key or along the path to it.
func TestRule_IndexesForTheSearchServe(t *testing.T) {
	t.Parallel()
	ground := ground(t)
	const lax = `CREATE COLLATION ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false); `
	for _, c := range []struct{ name, before, key, owner, want string }{
		{"alike", "", "int", "int", `CREATE INDEX CONCURRENTLY ON "public"."things" ("owner", "at", "id")`},
		{"citext of text", "CREATE EXTENSION citext; ", "text", "citext", `("owner" text_ops, "at", "id")`},
		{"text of citext", "CREATE EXTENSION citext; ", "citext", "text", ""},
		{"varchar of char", "", "char(8)", "varchar(8)", `("owner" bpchar_ops, "at", "id")`},
		{"char of varchar", "", "varchar(8)", "char(8)", `(((owner)::text), "at", "id")`},
		{"text of a lax collation", lax, "text COLLATE ci", "text", `("owner" COLLATE public.ci, "at", "id")`},
		{"int of numeric", "", "numeric", "int", `(((owner)::numeric), "at", "id"); -- or give both columns one type`},
	} {
		paths := []string{"owner", "[owner, id]"}
		if c.name == "text of citext" || c.before == lax && refusesLaxKeys(t, ground) {
			paths = paths[:1] // no foreign key compares these
		}
		for _, path := range paths {
			t.Run(c.name+" along "+path, func(t *testing.T) {
				schema := c.before + `CREATE TABLE owners (id ` + c.key + ` PRIMARY KEY); CREATE TABLE things (id int PRIMARY KEY, owner ` + c.owner + `, at timestamptz NOT NULL)`
				if path != "owner" {
					schema += `; ALTER TABLE things ADD FOREIGN KEY (owner) REFERENCES owners`
				}
				b := ground.on(t, schema, "tenants: {table: owners, key: id, default: 30d}\npolicies: [{name: things, table: things, age: at, tenant: "+path+", undecided: delete}]")
				b.pasteIndexes(c.want)
			})
		}
	}
}

// The index of a partitioned table is not created concurrently, because PostgreSQL refuses
// that.
func TestRule_IndexesOfPartitionedTablesServe(t *testing.T) {
	t.Parallel()
	ground := ground(t)
	const parts = `CREATE TABLE parts (id int, r citext REFERENCES roots ON DELETE CASCADE, PRIMARY KEY (id)) PARTITION BY RANGE (id);
		CREATE TABLE parts_0 PARTITION OF parts FOR VALUES FROM (0) TO (10);
		CREATE TABLE parts_1 PARTITION OF parts FOR VALUES FROM (10) TO (99) PARTITION BY RANGE (id);
		CREATE TABLE parts_10 PARTITION OF parts_1 DEFAULT`
	const lettered = `CREATE EXTENSION citext; CREATE TABLE roots (id text PRIMARY KEY, at timestamptz NOT NULL); CREATE INDEX ON roots (at, id); `
	const events = `CREATE TABLE roots (id int, at timestamptz NOT NULL, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
		CREATE TABLE roots_0 PARTITION OF roots DEFAULT`
	const note = `; -- it blocks writes while it builds: to avoid that, first create the same index CONCURRENTLY on each partition`
	for _, c := range []struct{ name, schema, want string }{
		{"a dependent", lettered + parts, `CREATE INDEX ON "public"."parts" ("r" text_ops)` + note},
		{"a root", events, `CREATE INDEX ON "public"."roots" ("at", "id")` + note},
	} {
		t.Run(c.name, func(t *testing.T) {
			ground.on(t, c.schema, tree("")).pasteIndexes(c.want)
		})
	}
	t.Run("its partitions first", func(t *testing.T) {
		b := ground.on(t, lettered+parts, tree(""))
		for _, partition := range []string{"parts_0", "parts_10"} {
			b.Exec(t, `CREATE INDEX CONCURRENTLY ON `+partition+` ("r" text_ops)`)
		}
		b.pasteIndexes()
		b.count(`SELECT count(*) FROM pg_index WHERE indrelid IN ('parts_0'::regclass, 'parts_10'::regclass) AND NOT indisprimary`, 2)
	})
}

// A name cannot end the comment that contains it.
func TestRule_IndexesOverHostileNames(t *testing.T) {
	t.Parallel()
	b := prepare(t, `CREATE TABLE roots (id numeric PRIMARY KEY, at timestamptz NOT NULL); CREATE INDEX ON roots (at, id);
		CREATE TABLE parts (id int PRIMARY KEY, "r
DROP TABLE roots; --" int REFERENCES roots ON DELETE CASCADE)`, tree(""))
	b.pasteIndexes(`or give both columns one type: r\nDROP TABLE roots; -- is integer`)
}
