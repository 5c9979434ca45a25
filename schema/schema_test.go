package schema_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/internal/dbtest"
	"github.com/reaperdb/reaper/schema"
)

// catalog is the graph of one database, with lookups by name.
type catalog struct {
	*schema.Graph
	t    *testing.T
	conn *pgx.Conn
}

func read(t *testing.T, dsn string) *catalog {
	t.Helper()
	conn := dbtest.Connect(t, dsn)
	g, err := schema.Read(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	return &catalog{Graph: g, t: t, conn: conn}
}

func (c *catalog) oid(schemaName, name string) uint32 {
	c.t.Helper()
	oids, err := schema.Resolve(c.t.Context(), c.conn, [][2]string{{schemaName, name}})
	if err != nil {
		c.t.Fatal(err)
	}
	return oids[0]
}

func (c *catalog) table(name string) *schema.Table {
	c.t.Helper()
	oid := c.oid("public", name)
	if err := c.Load(c.t.Context(), c.conn, oid); err != nil {
		c.t.Fatal(err)
	}
	return c.Tables[oid]
}

// references formats the keys onto a table, in the graph's order.
func (c *catalog) references(name string) []string {
	c.t.Helper()
	return texts(c.References(c.oid("public", name)))
}

func texts(keys []schema.ForeignKey) []string {
	out := []string{}
	for _, k := range keys {
		out = append(out, fmt.Sprintf("%s(%s) -> %s(%s) %s", k.ChildName.Name, strings.Join(k.ChildColumns, ","), k.ParentName.Name, strings.Join(k.ParentColumns, ","), k.OnDelete))
	}
	return out
}

func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

// Every action, in the order of the key's columns and not the table's.
func TestForeignKeys(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t, `
		CREATE TABLE p (a int, b text, c int UNIQUE, PRIMARY KEY (b, a));
		CREATE TABLE k (x int, y text, z int, up int,
			CONSTRAINT k1 FOREIGN KEY (y, x) REFERENCES p ON DELETE CASCADE,
			CONSTRAINT k2 FOREIGN KEY (x, y) REFERENCES p (a, b) MATCH FULL ON DELETE SET NULL,
			CONSTRAINT k3 FOREIGN KEY (z) REFERENCES p (c) ON DELETE SET DEFAULT DEFERRABLE,
			CONSTRAINT k4 FOREIGN KEY (z) REFERENCES p (c) ON DELETE RESTRICT,
			CONSTRAINT k5 FOREIGN KEY (up) REFERENCES p (c));
		ALTER TABLE k ADD CONSTRAINT k6 FOREIGN KEY (up) REFERENCES p (c) NOT VALID;
		CREATE SCHEMA other; CREATE TABLE other.p (id int PRIMARY KEY); CREATE TABLE other.k (id int REFERENCES other.p)`)
	c := read(t, db.DSN())
	same(t, "references", c.references("p"), []string{
		"k(y,x) -> p(b,a) CASCADE", "k(x,y) -> p(a,b) SET NULL", "k(z) -> p(c) SET DEFAULT", "k(z) -> p(c) RESTRICT", "k(up) -> p(c) NO ACTION", "k(up) -> p(c) NO ACTION",
	})
	keys := c.Outgoing(c.oid("public", "k"))
	flags := []string{}
	for _, k := range keys {
		flags = append(flags, fmt.Sprintf("%s full=%t deferrable=%t valid=%t enforced=%t", k.Name, k.MatchFull, k.Deferrable, k.Validated, k.Enforced))
	}
	same(t, "flags", flags, []string{
		"k1 full=false deferrable=false valid=true enforced=true", "k2 full=true deferrable=false valid=true enforced=true", "k3 full=false deferrable=true valid=true enforced=true",
		"k4 full=false deferrable=false valid=true enforced=true", "k5 full=false deferrable=false valid=true enforced=true", "k6 full=false deferrable=false valid=false enforced=true",
	})
	same(t, "related", len(c.Related(c.oid("other", "p"))), 2)
}

// PostgreSQL 15: ON DELETE SET NULL for some columns of the key.
func TestSetNullColumns(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	if db.Int(t, `SELECT current_setting('server_version_num')::int`) < 150000 {
		return // older versions have nothing to read
	}
	db.Exec(t, `CREATE TABLE p (tenant int, id int, PRIMARY KEY (tenant, id));
		CREATE TABLE k (pid int, gone int, tenant int, FOREIGN KEY (tenant, pid) REFERENCES p ON DELETE SET NULL (pid)); ALTER TABLE k DROP gone`)
	c := read(t, db.DSN())
	keys := c.References(c.oid("public", "p"))
	if len(keys) != 1 {
		t.Fatalf("%d keys", len(keys))
	}
	same(t, "columns", keys[0].SetColumns, []string{"pid"})
}

// Copies of a key that PostgreSQL makes for partitions, on either side, are left out; a key
// on a single partition is not.
func TestPartitionsShowEachKeyOnce(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t, `
		CREATE TABLE p (id int PRIMARY KEY) PARTITION BY RANGE (id);
		CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10) PARTITION BY RANGE (id);
		CREATE TABLE p1a PARTITION OF p1 FOR VALUES FROM (0) TO (5);
		CREATE TABLE p1b PARTITION OF p1 FOR VALUES FROM (5) TO (10);
		CREATE TABLE p2 PARTITION OF p DEFAULT;
		CREATE TABLE k (id int, pid int REFERENCES p ON DELETE CASCADE) PARTITION BY LIST (id);
		CREATE TABLE k1 PARTITION OF k FOR VALUES IN (1);
		CREATE TABLE k2 PARTITION OF k DEFAULT;
		CREATE TABLE plain (id int, pid int REFERENCES p, one int REFERENCES p1b);
		ALTER TABLE k2 ADD FOREIGN KEY (pid) REFERENCES p2`)
	c := read(t, db.DSN())
	same(t, "references of the whole", c.references("p"), []string{
		"k(pid) -> p(id) CASCADE", "k2(pid) -> p2(id) NO ACTION", "plain(one) -> p1b(id) NO ACTION", "plain(pid) -> p(id) NO ACTION",
	})
	same(t, "outgoing", texts(c.Outgoing(c.oid("public", "k"))), []string{"k(pid) -> p(id) CASCADE"})
	same(t, "outgoing of a plain table", texts(c.Outgoing(c.oid("public", "plain"))), []string{"plain(one) -> p1b(id) NO ACTION", "plain(pid) -> p(id) NO ACTION"})
	same(t, "family", len(c.Family(c.oid("public", "p"))), 5)
	p := c.table("p")
	if p.Kind != schema.Partitioned || p.IsPartition || len(p.Children) != 2 {
		t.Errorf("p: %+v", p)
	}
	if p1 := c.table("p1b"); !p1.IsPartition || len(p1.Parents) != 1 {
		t.Errorf("p1b: %+v", p1)
	}
}

// An index description says what the index can serve: method, order, collation, predicate,
// validity.
func TestIndexes(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t, `
		CREATE TABLE x (a int PRIMARY KEY, b text COLLATE "C", c timestamptz, d int);
		INSERT INTO x VALUES (1, 'b', now(), 1), (2, 'b', '2020-01-01', 1);
		CREATE INDEX i1 ON x (b, c DESC, a) INCLUDE (d);
		CREATE INDEX i2 ON x (b COLLATE "POSIX");
		CREATE INDEX i3 ON x (c DESC NULLS LAST) WHERE c IS NOT NULL;
		CREATE INDEX i4 ON x (lower(b), a);
		CREATE INDEX i5 ON x USING hash (b);
		CREATE INDEX i6 ON x (b text_pattern_ops);
		ALTER TABLE x ADD CONSTRAINT i7 UNIQUE (c) DEFERRABLE`)
	// A failed concurrent build leaves an invalid index.
	conn := dbtest.Connect(t, db.DSN())
	if _, err := conn.Exec(t.Context(), `CREATE UNIQUE INDEX CONCURRENTLY i8 ON x (d)`); err == nil {
		t.Fatal("the index over duplicates was made")
	}
	db.Exec(t, `DELETE FROM x WHERE a = 2`)
	got := []string{}
	for _, i := range read(t, db.DSN()).table("x").Indexes {
		columns := []string{}
		for _, k := range i.Columns {
			text := k.Name
			for name, set := range map[string]bool{"": false, " desc": k.Desc, "+first": k.NullsFirst, "!collation": !k.OwnCollation, "!order": !k.DefaultOrder} {
				if set {
					text += "|" + name
				}
			}
			parts := strings.Split(text, "|")
			slices.Sort(parts[1:])
			columns = append(columns, strings.Join(parts, ""))
		}
		got = append(got, fmt.Sprintf("%s %s (%s) unique=%t primary=%t immediate=%t valid=%t %s", i.Name, i.Method, strings.Join(columns, ","), i.Unique, i.Primary, i.Immediate, i.Valid, i.Predicate))
	}
	same(t, "indexes", got, []string{
		"i1 btree (b,c desc+first,a) unique=false primary=false immediate=true valid=true ",
		"i2 btree (b!collation) unique=false primary=false immediate=true valid=true ",
		"i3 btree (c desc) unique=false primary=false immediate=true valid=true (c IS NOT NULL)",
		"i4 btree (!collation,a) unique=false primary=false immediate=true valid=true ",
		"i5 hash (b) unique=false primary=false immediate=true valid=true ",
		"i6 btree (b!order) unique=false primary=false immediate=true valid=true ",
		"i7 btree (c) unique=true primary=false immediate=false valid=true ",
		"i8 btree (d) unique=true primary=false immediate=true valid=false ",
		"x_pkey btree (a) unique=true primary=true immediate=true valid=true ",
	})
}

// Columns are described by their base type, as a cast has to name it.
func TestColumns(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t, `
		CREATE DOMAIN short AS varchar(3); CREATE DOMAIN shorter AS short NOT NULL; CREATE TYPE "Mood" AS ENUM ('a');
		CREATE TABLE x (a shorter, b numeric(8, 2) NOT NULL, c char(4) DEFAULT 'x', gone int, d "Mood", e int GENERATED ALWAYS AS (1) STORED, f timestamp(3), g bit(3), h int[], "I" text);
		ALTER TABLE x DROP gone`)
	got := []string{}
	for _, k := range read(t, db.DSN()).table("x").Columns {
		got = append(got, fmt.Sprintf("%s %s %s notnull=%t generated=%t varlena=%t default=%t", k.Name, k.Type, k.Category, k.NotNull, k.Generated, k.Varlena, k.HasDefault))
	}
	same(t, "columns", got, []string{
		"a character varying S notnull=true generated=false varlena=true default=false",
		"b numeric N notnull=true generated=false varlena=true default=false",
		"c bpchar S notnull=false generated=false varlena=true default=true",
		`d "Mood" E notnull=false generated=false varlena=false default=false`,
		"e integer N notnull=false generated=true varlena=false default=true",
		"f timestamp without time zone D notnull=false generated=false varlena=false default=false",
		`g "bit" V notnull=false generated=false varlena=true default=false`,
		"h integer[] A notnull=false generated=false varlena=true default=false",
		"I text S notnull=false generated=false varlena=true default=false",
	})
}

// Triggers and rules count if they fire on DELETE or UPDATE, including those of partitions.
func TestTriggersAndRules(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t, `
		CREATE TABLE p (id int, at timestamptz) PARTITION BY LIST (id);
		CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1);
		CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN OLD; END';
		CREATE TRIGGER either BEFORE DELETE OR UPDATE ON p FOR EACH ROW EXECUTE FUNCTION f();
		CREATE TRIGGER own AFTER DELETE ON p1 FOR EACH ROW EXECUTE FUNCTION f();
		CREATE TRIGGER statement BEFORE DELETE ON p1 EXECUTE FUNCTION f();
		CREATE TRIGGER off BEFORE DELETE ON p1 FOR EACH ROW EXECUTE FUNCTION f(); ALTER TABLE p1 DISABLE TRIGGER off;
		CREATE TRIGGER inserts BEFORE INSERT ON p1 FOR EACH ROW EXECUTE FUNCTION f();
		CREATE RULE r AS ON DELETE TO p1 DO INSTEAD NOTHING;
		CREATE RULE u AS ON UPDATE TO p1 DO ALSO NOTHING`)
	p := read(t, db.DSN()).table("p")
	got := []string{}
	for _, x := range p.Triggers {
		got = append(got, fmt.Sprintf("%s on %s before=%t row=%t", x.Name, x.Table.Name, x.Before, x.Row))
	}
	same(t, "triggers", got, []string{"either on p before=true row=true", "own on p1 before=false row=true", "statement on p1 before=true row=false"})
	same(t, "rules", p.Rules, []schema.Rule{
		{Name: "r", Table: schema.Name{Schema: "public", Name: "p1"}, OnDelete: true, Instead: true},
		{Name: "u", Table: schema.Name{Schema: "public", Name: "p1"}},
	})
}

// Privileges are those of the reading role, down to columns.
func TestPrivileges(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t, `CREATE SCHEMA s; CREATE TABLE public.x (a int, b int); CREATE TABLE s.y (a int); CREATE TABLE public.z (a int, b int); ALTER TABLE public.z ENABLE ROW LEVEL SECURITY`)
	role := db.Role(t, "r")
	db.Exec(t, `GRANT SELECT, UPDATE (b) ON x, z TO `+role)
	c := read(t, db.As(role))
	x := c.table("x")
	if !x.CanSelect || x.CanDelete || !x.CanUpdate || !x.CanUseSchema || x.RowSecurity {
		t.Errorf("x: %+v", x)
	}
	same(t, "columns of UPDATE", x.UpdateColumns, []string{"b"})
	if z := c.table("z"); !z.RowSecurity {
		t.Error("row-level security of z is not seen")
	}
	// A schema that the role may not use does not hide its tables.
	oid := c.oid("s", "y")
	if err := c.Load(t.Context(), c.conn, oid); err != nil || oid == 0 {
		t.Fatalf("OID %d, %v", oid, err)
	}
	if y := c.Tables[oid]; y.CanUseSchema || y.CanSelect || y.CanUpdate {
		t.Errorf("y: %+v", y)
	}
}

// Names are exact; without a schema the search_path decides.
func TestResolve(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t, `CREATE SCHEMA "Odd.one"; CREATE TABLE "Odd.one"."Say ""hi""" (a int); CREATE TABLE public."Mixed" (a int); CREATE TABLE "Odd.one".hidden (a int)`)
	c := read(t, db.DSN())
	for name, there := range map[[2]string]bool{
		{"Odd.one", `Say "hi"`}: true, {"", "Mixed"}: true, {"public", "Mixed"}: true, {"", "mixed"}: false,
		{"public", "mixed"}: false, {"", "hidden"}: false, {"Odd.one", "hidden"}: true, {"nowhere", "x"}: false, {"", "public.Mixed"}: false,
	} {
		if found := c.oid(name[0], name[1]) != 0; found != there {
			t.Errorf("%q found %t, want %t", name, found, there)
		}
	}
	_, names, err := schema.UserTables(t.Context(), c.conn)
	if err != nil {
		t.Fatal(err)
	}
	got := []string{}
	for _, n := range names {
		got = append(got, n.String())
	}
	same(t, "tables", got, []string{`"Odd.one"."Say ""hi"""`, `"Odd.one".hidden`, "public.Mixed"})
}

func TestNearest(t *testing.T) {
	t.Parallel()
	names := []string{"task_runs", "organizations", "TaskRun", "users"}
	for name, want := range map[string]string{"taskrun": "TaskRun", "task_run": "TaskRun", "organisation": "organizations", "user": "users", "zzz": ""} {
		if got := schema.Nearest(name, names); got != want {
			t.Errorf("nearest to %s is %q, want %q", name, got, want)
		}
	}
}
