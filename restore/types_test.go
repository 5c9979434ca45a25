package restore_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/restore"
)

// samples has values for every type of pg_type that takes any, by name. "-" is a type whose input
// function refuses everything, so that no row can have one but by other means.
var samples = map[string][]string{
	"bool": {"t", "f"}, "bytea": {`\x`, `\x000a0d095c2c22ff`}, "char": {"a", "", "\\", "\t"}, "name": {"a b", `"`},
	"int8": {"-9223372036854775808"}, "int2": {"-32768"}, "int4": {"2147483647"}, "int2vector": {"1 2 3"}, "oidvector": {"1 2"},
	"text": {"", `\N`, `\.`, "NULL", "tab\tnl\ncr\rback\\slash", "\b\f\v\x01", "ü€𝄞", `{"a":"b\\n"}`}, "varchar": {"", "a "}, "bpchar": {"a  ", ""},
	"oid": {"4294967295"}, "tid": {"(4294967295,65535)"}, "xid": {"4294967295"}, "cid": {"1"}, "xid8": {"18446744073709551615"},
	"json": {`{"a": 1, "a": 2, "b": "\u00e9\n\\"}`, `  null `}, "jsonb": {`{"a": [1.50, "\"\\\t"]}`, `"\\n"`}, "jsonpath": {`$."a b"[*] ? (@ like_regex "^\\d")`}, "xml": {"<a b=\"c\">&lt;\n</a>", "text"},
	"float4": {"NaN", "-Infinity", "1e-45", "0.1", "-0"}, "float8": {"NaN", "Infinity", "5e-324", "0.1", "1.7976931348623157e308", "-0"},
	"numeric": {"NaN", "Infinity", "0.000", "1e-100", "-123456789012345678901234567890.00"}, "money": {"-92233720368547758.08", "0.01"},
	"point": {"(0.1,-0)"}, "lseg": {"[(0,0),(1,0.1)]"}, "path": {"[(0,0),(1,1)]", "((0,0),(1,1))"}, "box": {"(1,1),(0,0)"}, "polygon": {"((0,0),(1,1))"}, "line": {"{1,0.1,-1}"}, "circle": {"<(0,0),0.1>"},
	"date": {"infinity", "-infinity", "0044-03-15 BC", "5874897-12-31"}, "time": {"24:00:00", "00:00:00.000001"}, "timetz": {"12:00:00.5+05:45", "23:59:59-15:59:59"},
	"timestamp": {"infinity", "-infinity", "4713-01-01 00:00:00 BC", "294276-12-31 23:59:59.999999"}, "timestamptz": {"infinity", "-infinity", "1890-01-01 00:00:00.000001+00", "2026-10-25 01:30:00+00"},
	"interval": {"1 year -2 mons 3 days -04:05:06.7", "-1 days +00:00:00.000001", "178000000 years"}, "bit": {"1"}, "varbit": {"", "10110"},
	"macaddr": {"08:00:2b:01:02:03"}, "macaddr8": {"08:00:2b:01:02:03:04:05"}, "inet": {"10.0.0.1/8", "::1", "10.0.0.1"}, "cidr": {"10.0.0.0/8", "::/0"}, "uuid": {"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"},
	"tsvector": {`'a b':1A 'it''s':2 '\\':3`}, "tsquery": {`'a b' & !'c':*AB <2> 'd'`}, "txid_snapshot": {"10:20:10,14"}, "pg_snapshot": {"10:20:10,14"}, "pg_lsn": {"FFFFFFFF/FFFFFFFF"},
	"refcursor": {"c 1"}, "aclitem": {"postgres=r*w/postgres"},
	"regproc": {"now", "public.mine", "-"}, "regprocedure": {"abs(integer)", `public.mine()`}, "regoper": {"||/"}, "regoperator": {"+(integer,integer)"}, "regclass": {"pg_class", `public."Odd name"`}, "regcollation": {`"C"`},
	"regtype": {"integer[]", "public.state"}, "regrole": {"postgres"}, "regnamespace": {"public"}, "regconfig": {"english"}, "regdictionary": {"simple"}, "regdatabase": {"postgres"},
	"int4range": {"empty", "[1,10)", "(,)"}, "numrange": {"[0.10,)", "(,1]"}, "tsrange": {`["2026-01-01 00:00:00",infinity]`}, "tstzrange": {`["2026-01-01 00:00:00+00",)`}, "daterange": {"[2026-01-01,infinity)"}, "int8range": {"[1,2)"},
	"int4multirange": {"{}", "{[1,2),[5,)}"}, "nummultirange": {"{[0.10,1]}"}, "tsmultirange": {`{["2026-01-01 00:00:00",)}`}, "tstzmultirange": {`{["2026-01-01 00:00:00+00",)}`}, "datemultirange": {"{[2026-01-01,2026-02-01)}"}, "int8multirange": {"{[1,2)}"},
	"state": {"new", `it's "odd", \`}, "few": {"{1,2}", "{}"}, "pair": {`(1,"a ""b"", \\")`, "(,)"}, "nested": {`("(1,x)","{""(2,y)"",NULL}")`}, "steps": {"[a,b)", "empty"}, "multisteps": {"{[a,b)}"}, "rich": {"", "x"},
	"pg_node_tree": {"-"}, "pg_ndistinct": {"-"}, "pg_dependencies": {"-"}, "pg_mcv_list": {"-"}, "pg_brin_bloom_summary": {"-"}, "pg_brin_minmax_multi_summary": {"-"}, "gtsvector": {"-"},
}

const ownTypes = `CREATE TYPE state AS ENUM ('new', 'it''s "odd", \'); CREATE DOMAIN few AS int[] CHECK (coalesce(array_length(VALUE, 1), 0) < 3); CREATE TYPE pair AS (a int, b text); CREATE TYPE nested AS (p pair, ps pair[]);
CREATE TYPE steps AS RANGE (subtype = text, multirange_type_name = multisteps); CREATE DOMAIN rich AS text COLLATE "C" NOT NULL;
CREATE TABLE "Odd name" (); CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'`

// Every type that takes values comes back as it was, and arrays of it: byte by byte, where the server
// can send it so.
func TestTypes(t *testing.T) {
	t.Parallel()
	f := newFixture(t, ownTypes)
	types := f.Texts(t, `SELECT typname::text FROM pg_type t LEFT JOIN pg_class c ON c.oid = t.typrelid
		WHERE typtype IN ('b', 'c', 'd', 'e', 'r', 'm') AND typinput <> 0 AND coalesce(c.relkind = 'c', true) AND typcategory <> 'A' AND typnamespace IN ('pg_catalog'::regnamespace, 'public'::regnamespace)
		ORDER BY typname`)
	if len(types) < 60 {
		t.Fatalf("only %d types found", len(types))
	}
	f.Exec(t, "CREATE TABLE root (id int PRIMARY KEY)")
	var edges []edge
	parts := []part{{table: "root", where: "true", key: "id"}}
	f.Exec(t, "INSERT INTO root VALUES (1)")
	for _, name := range types {
		values, known := samples[name]
		if !known {
			t.Errorf("no sample of type %s", name)
			continue
		}
		if len(values) == 1 && values[0] == "-" {
			continue
		}
		table := "t " + name
		typ := pg.Ident(name)
		f.Exec(t, fmt.Sprintf("CREATE TABLE %s (root int, id int PRIMARY KEY, v %s, a %s[])", pg.Ident(table), typ, typ))
		for i, v := range values {
			f.Exec(t, fmt.Sprintf("INSERT INTO %s VALUES (1, %d, %s::%s, ARRAY[%s::%s%s])", pg.Ident(table), i, pg.Literal(v), typ, pg.Literal(v), typ, map[bool]string{true: "", false: ", NULL"}[name == "rich"]))
		}
		if name != "rich" {
			f.Exec(t, "INSERT INTO "+pg.Ident(table)+" VALUES (1, -1, NULL, NULL), (1, -2, NULL, '{}')")
		}
		edges = append(edges, edge{parent: "root", parentColumn: "id", child: table, childColumn: "root"})
		parts = append(parts, part{table: table, where: "true", key: "id"})
	}
	before := f.exact(parts)
	o := f.copy("root", edges, parts)
	f.list(o, 1, root("1"))
	for _, p := range parts {
		f.Exec(t, "DELETE FROM "+pg.Ident(p.table))
	}
	f.Exec(t, `ALTER DATABASE `+pg.Ident(f.Name())+` SET "DateStyle" = 'German'`)
	f.Exec(t, `ALTER DATABASE `+pg.Ident(f.Name())+` SET "IntervalStyle" = 'sql_standard'`)
	r, err := f.restore(restore.Options{})
	f.check(err)
	if !r.Complete() || r.Restored != 1 {
		t.Fatalf("report: %+v", r)
	}
	after := f.exact(parts)
	for table, want := range before {
		if after[table] != want {
			t.Errorf("%s\ngot  %q\nwant %q", table, after[table], want)
		}
	}
	again, err := f.restore(restore.Options{})
	f.check(err)
	if again.Present != 1 {
		t.Errorf("rows that were there were not seen to be the same: %+v", again)
	}
}

// exact is what tables have: in the binary format, where all types of a table have one.
func (f *fixture) exact(parts []part) map[string]string {
	f.t.Helper()
	tx, err := f.Pool(f.t).Begin(f.t.Context())
	f.check(err)
	defer pg.Rollback(tx)
	found := map[string]string{}
	for _, p := range parts {
		found[p.table] = f.exactTable(tx, p.table)
	}
	return found
}

func (f *fixture) exactTable(tx pgx.Tx, table string) string {
	var binary bool
	f.check(tx.QueryRow(f.t.Context(), "SELECT bool_and(typsend <> 0) FROM pg_attribute a JOIN pg_type t ON t.oid IN (a.atttypid, (SELECT typelem FROM pg_type WHERE oid = a.atttypid)) WHERE attrelid = $1::regclass AND attnum > 0", pg.Ident(table)).Scan(&binary))
	var b bytes.Buffer
	format := "text"
	if binary {
		format = "binary"
	}
	_, err := tx.Conn().PgConn().CopyTo(f.t.Context(), &b, fmt.Sprintf("COPY (SELECT * FROM %s ORDER BY 1, id) TO STDOUT (FORMAT %s)", pg.Ident(table), format))
	f.check(err)
	return b.String()
}
