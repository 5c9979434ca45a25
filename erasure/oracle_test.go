package erasure_test

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/reaperdb/reaper/internal/dbtest"
)

// oracleCases is how many random databases a normal test run erases tenants of; REAPER_FUZZ_CASES
// overrides it.
const oracleCases = 12

// world is a random database of three tenants. Every row is somebody's, and references only rows of
// the same tenant or shared ones: so whose it is, is known without any query.
type world struct {
	keyType string
	keys    []string
	tables  []*wtable
	rows    []*wrow
	limit   int
}

type wtable struct {
	name     string
	direct   string // "": no reference to orgs; else its declaration
	loose    string // how it names the tenant without a foreign key: "", column, json, path
	refs     []wref
	keeps    bool
	parted   bool
	pathTo   int
	shared   bool
	sharedBy int // index of a shared table it references; -1: none
}

type wref struct {
	column   string
	to       int
	nullable bool
	onDelete string
}

type wrow struct {
	id, table, tenant int
	refs              []int // by refs of the table: index in rows; -1: NULL
	young             bool
}

func drawWorld(t *rapid.T) *world {
	w := &world{limit: rapid.IntRange(1, 6).Draw(t, "limit"), keyType: rapid.SampledFrom([]string{"text", "uuid", "bigint"}).Draw(t, "key type")}
	w.keys = map[string][]string{
		"text":   {"key-anna", "key-bert", "key-carl"},
		"uuid":   {"aaaaaaaa-0000-4000-8000-00000000000a", "bbbbbbbb-0000-4000-8000-00000000000b", "cccccccc-0000-4000-8000-00000000000c"},
		"bigint": {"7700000001", "7700000002", "7700000003"},
	}[w.keyType]
	n := rapid.IntRange(2, 7).Draw(t, "tables")
	for i := range n {
		w.drawTable(t, i)
	}
	for i, x := range w.tables { // references to any table, so circles too
		for range rapid.IntRange(0, 2).Draw(t, "more references") {
			to := rapid.IntRange(0, n-1).Draw(t, "to")
			if w.tables[to].shared || x.shared {
				continue
			}
			w.drawRef(t, i, to, false)
		}
	}
	w.drawRows(t)
	return w
}

func (w *world) drawTable(t *rapid.T, i int) {
	x := &wtable{name: fmt.Sprintf("t%d", i), sharedBy: -1}
	w.tables = append(w.tables, x)
	cascade := rapid.SampledFrom([]string{"", " ON DELETE CASCADE", " ON DELETE RESTRICT"})
	var owned []int
	for k := range i {
		if !w.tables[k].shared && !w.tables[k].parted {
			owned = append(owned, k)
		}
	}
	kind := rapid.SampledFrom([]string{"direct", "direct", "child", "child", "child", "column", "json", "path", "shared"}).Draw(t, "kind")
	switch {
	case kind == "shared":
		x.shared = true
		return
	case kind == "column" || kind == "json":
		x.loose = kind
	case kind == "path" && len(owned) > 0:
		x.loose, x.pathTo = kind, rapid.SampledFrom(owned).Draw(t, "path to")
	case kind == "child" && len(owned) > 0:
		w.drawRef(t, i, rapid.SampledFrom(owned).Draw(t, "spine"), true)
	default:
		x.direct = " NOT NULL REFERENCES orgs" + cascade.Draw(t, "direct")
		x.parted = rapid.IntRange(0, 4).Draw(t, "partitioned") == 0
	}
	x.keeps = rapid.IntRange(0, 5).Draw(t, "keeps") == 0
}

func (w *world) drawRef(t *rapid.T, from, to int, spine bool) {
	x := w.tables[from]
	r := wref{to: to, column: fmt.Sprintf("r%d_%d", len(x.refs), to), nullable: !spine && rapid.IntRange(0, 3).Draw(t, "nullable") > 0}
	actions := []string{"", "", " ON DELETE CASCADE", " ON DELETE RESTRICT"}
	if r.nullable {
		actions = append(actions, " ON DELETE SET NULL", " ON DELETE SET NULL")
	}
	r.onDelete = rapid.SampledFrom(actions).Draw(t, "on delete")
	if w.tables[to].parted {
		return // its primary key has another column
	}
	x.refs = append(x.refs, r)
}

func (w *world) drawRows(t *rapid.T) {
	by := map[[2]int][]int{}
	counts := rapid.IntRange(1, 5)
	for i, x := range w.tables {
		for tenant := range 3 {
			for range counts.Draw(t, "rows") {
				by[[2]int{i, tenant}] = append(by[[2]int{i, tenant}], len(w.rows))
				w.rows = append(w.rows, &wrow{id: 1000 + len(w.rows), table: i, tenant: tenant, young: rapid.Bool().Draw(t, "young") && x.keeps})
			}
		}
	}
	for _, row := range w.rows {
		for _, r := range w.tables[row.table].refs {
			to := -1
			if !r.nullable || rapid.IntRange(0, 2).Draw(t, "set") > 0 {
				to = rapid.SampledFrom(by[[2]int{r.to, row.tenant}]).Draw(t, "target")
			}
			row.refs = append(row.refs, to)
		}
		if x := w.tables[row.table]; x.loose == "path" {
			row.refs = append(row.refs, rapid.SampledFrom(by[[2]int{x.pathTo, row.tenant}]).Draw(t, "path target"))
		}
	}
}

// sql makes the database.
func (w *world) sql() string {
	var b, keys, data strings.Builder
	fmt.Fprintf(&b, "CREATE TABLE orgs (id %s PRIMARY KEY, name text, at timestamptz DEFAULT now());\n", w.keyType)
	for i, k := range w.keys {
		fmt.Fprintf(&b, "INSERT INTO orgs VALUES ('%s', 'org %d');\n", k, i)
	}
	for _, x := range w.tables {
		id, end := "id bigint PRIMARY KEY", ""
		if x.parted {
			id, end = "id bigint, p int NOT NULL DEFAULT 1, PRIMARY KEY (id, p)", " PARTITION BY LIST (p)"
		}
		columns := id + ", at timestamptz, note text"
		switch {
		case x.direct != "":
			columns += ", org_id " + w.keyType + x.direct
		case x.loose == "column":
			columns += ", org_id " + w.keyType
		case x.loose == "json":
			columns += ", args jsonb"
		case x.loose == "path":
			columns += ", via bigint"
		}
		for _, r := range x.refs {
			columns += ", " + r.column + " bigint"
			if !r.nullable {
				columns += " NOT NULL"
			}
			fmt.Fprintf(&keys, "ALTER TABLE %s ADD FOREIGN KEY (%s) REFERENCES %s%s;\n", x.name, r.column, w.tables[r.to].name, r.onDelete)
		}
		fmt.Fprintf(&b, "CREATE TABLE %s (%s)%s;\n", x.name, columns, end)
		if x.parted {
			fmt.Fprintf(&b, "CREATE TABLE %[1]s_1 PARTITION OF %[1]s FOR VALUES IN (1);\nCREATE TABLE %[1]s_2 PARTITION OF %[1]s FOR VALUES IN (2);\n", x.name)
		}
	}
	for _, row := range w.rows {
		data.WriteString(w.insert(row))
	}
	return b.String() + "SET session_replication_role = replica;\n" + data.String() + "RESET session_replication_role;\n" + keys.String()
}

func (w *world) insert(row *wrow) string {
	x := w.tables[row.table]
	at := "2001-01-01"
	if row.young {
		at = "2999-01-01"
	}
	columns, values := "id, at, note", fmt.Sprintf("%d, '%s', 'note %d'", row.id, at, row.id)
	add := func(column, value string) { columns, values = columns+", "+column, values+", "+value }
	key := w.keys[row.tenant]
	switch {
	case x.direct != "", x.loose == "column":
		add("org_id", "'"+key+"'")
	case x.loose == "json":
		add("args", fmt.Sprintf(`'{"org_id": "%s"}'`, key))
	case x.loose == "path":
		add("via", strconv.Itoa(w.rows[row.refs[len(x.refs)]].id))
	}
	if x.parted {
		add("p", strconv.Itoa(1+row.id%2))
	}
	for i, r := range x.refs {
		if row.refs[i] >= 0 {
			add(r.column, strconv.Itoa(w.rows[row.refs[i]].id))
		}
	}
	return fmt.Sprintf("INSERT INTO %s (%s) VALUES (%s);\n", x.name, columns, values)
}

// section is the part of the file that nothing proposes. Where a table has other references too, nothing
// shows whether these decide for all of its rows.
func (w *world) section() *section {
	s := &section{}
	for _, x := range w.tables {
		more := ""
		if x.keeps {
			more = ", action: keep, for: 1y, age: at, reason: law"
		}
		switch {
		case x.shared:
			s.global = append(s.global, x.name)
		case x.loose == "path":
			s.tables = append(s.tables, fmt.Sprintf("{table: %s%s, owner: [via -> %s.id, %s]}", x.name, more, w.tables[x.pathTo].name, w.pathEnd(x.pathTo)))
		case x.loose == "column" && (x.keeps || len(x.refs) > 0):
			s.tables = append(s.tables, fmt.Sprintf("{table: %s%s, owner: org_id}", x.name, more))
		case x.loose == "json" && (x.keeps || len(x.refs) > 0):
			s.tables = append(s.tables, fmt.Sprintf(`{table: %s%s, owner: "args->>'org_id'"}`, x.name, more))
		case x.keeps:
			s.tables = append(s.tables, fmt.Sprintf("{table: %s%s}", x.name, more))
		}
	}
	return s
}

// pathEnd is the rest of a path from a table on.
func (w *world) pathEnd(i int) string {
	x := w.tables[i]
	switch {
	case x.direct != "" || x.loose == "column":
		return "org_id"
	case x.loose == "path":
		return fmt.Sprintf("via -> %s.id, %s", w.tables[x.pathTo].name, w.pathEnd(x.pathTo))
	}
	r := x.refs[0]
	return fmt.Sprintf("%s -> %s.id, %s", r.column, w.tables[r.to].name, w.pathEnd(r.to))
}

// ends reports whether a path through a table can be written.
func (w *world) ends(i int) bool {
	switch x := w.tables[i]; {
	case x.loose == "json" || x.parted:
		return false
	case x.direct != "" || x.loose == "column":
		return true
	case x.loose == "path":
		return w.ends(x.pathTo)
	case len(x.refs) == 0:
		return false
	default:
		return w.ends(x.refs[0].to)
	}
}

// usable reports whether the world is one that the section can say.
func (w *world) usable() bool {
	for _, x := range w.tables {
		if x.loose == "path" && !w.ends(x.pathTo) || x.direct == "" && x.loose == "" && !x.shared && len(x.refs) == 0 {
			return false
		}
	}
	return true
}

// kept are the rows of a tenant that stay: those of tables that keep, while they are young, and what
// they reference, at any remove.
func (w *world) kept(tenant int) map[int]bool {
	kept := map[int]bool{}
	var open []int
	for i, row := range w.rows {
		if row.tenant == tenant && w.tables[row.table].keeps && row.young {
			open = append(open, i)
		}
	}
	for len(open) > 0 {
		i := open[len(open)-1]
		open = open[:len(open)-1]
		if i < 0 || kept[i] {
			continue
		}
		kept[i] = true
		open = append(open, w.rows[i].refs...)
	}
	return kept
}

// expected is what has to be there after a tenant was erased, by table.
func (w *world) expected(tenant int, before map[string][]string, redacts bool) map[string][]string {
	kept := w.kept(tenant)
	gone := map[string]map[string]bool{}
	for i, row := range w.rows {
		name := w.tables[row.table].name
		if gone[name] == nil {
			gone[name] = map[string]bool{}
		}
		if row.tenant == tenant && !w.tables[row.table].shared && !kept[i] {
			gone[name][strconv.Itoa(row.id)] = true
		}
	}
	want := map[string][]string{}
	for name, lines := range before {
		want[name] = []string{}
		for _, line := range lines {
			id, _, _ := strings.Cut(strings.Trim(line, "()"), ",")
			switch {
			case name == "orgs" && id == w.keys[tenant] && redacts && (len(kept) > 0 || !w.keeps()):
				want[name] = append(want[name], strings.Replace(line, fmt.Sprintf(`"org %d"`, tenant), "erased", 1))
			case name == "orgs" && id == w.keys[tenant], gone[name][id]:
			default:
				want[name] = append(want[name], line)
			}
		}
	}
	return want
}

func (w *world) keeps() bool {
	return slices.ContainsFunc(w.tables, func(x *wtable) bool { return x.keeps })
}

// TestOracle erases a tenant of three in random databases, with tiny batches, and compares every row.
func TestOracle(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds, and -short was given")
	}
	cases := oracleCases
	if s := os.Getenv("REAPER_FUZZ_CASES"); s != "" {
		var err error
		if cases, err = strconv.Atoi(s); err != nil {
			t.Fatalf("REAPER_FUZZ_CASES: %v", err)
		}
	}
	seed := 0
	if s := os.Getenv("REAPER_FUZZ_SEED"); s != "" {
		var err error
		if seed, err = strconv.Atoi(s); err != nil {
			t.Fatalf("REAPER_FUZZ_SEED: %v", err)
		}
	}
	db := dbtest.New(t)
	conn := dbtest.Connect(t, db.DSN())
	for n := range cases {
		w := rapid.Custom(drawWorld).Filter((*world).usable).Example(seed + n)
		setup := w.sql()
		db.Exec(t, "DROP SCHEMA public CASCADE; CREATE SCHEMA public; "+setup)
		s := w.section()
		p := settle(t, conn, s)
		before := rows(t, db)
		_, err := erase(t, conn, p, w.keys[0], w.limit)
		if err != nil && strings.Contains(err.Error(), "raise limits") {
			_, err = erase(t, conn, p, w.keys[0], 1000)
		}
		if err != nil {
			t.Fatalf("case %d: %v\n%s\n%s", seed+n, err, setup, s.file())
		}
		if diff := cmp.Diff(w.expected(0, before, s.redactsTenant()), rows(t, db)); diff != "" {
			t.Fatalf("case %d (-want +got):\n%s\n%s\n%s", seed+n, diff, setup, s.file())
		}
		counts, err := p.Remaining(t.Context(), conn, w.keys[0])
		if err != nil {
			t.Fatalf("case %d: %v", seed+n, err)
		}
		kept := int64(0)
		for _, c := range counts {
			if c.Rows != 0 {
				t.Errorf("case %d: %d rows of %s remain, says the recheck\n%s\n%s", seed+n, c.Rows, c.Table.Name(), setup, s.file())
			}
			if c.Table != p.Tenants {
				kept += c.Kept
			}
		}
		if want := int64(len(w.kept(0))); kept != want {
			t.Errorf("case %d: %d rows are kept, says the recheck; they are %d\n%s\n%s", seed+n, kept, want, setup, s.file())
		}
	}
}
