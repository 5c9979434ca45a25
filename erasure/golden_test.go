package erasure

import (
	"strings"
	"testing"

	"github.com/reaperdb/reaper/internal/dbtest"
	"github.com/reaperdb/reaper/internal/plantest"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/policy"
)

// TestStatements shows the statements of every kind of step.
func TestStatements(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t, `
		CREATE TABLE orgs (id uuid PRIMARY KEY, name text, at timestamptz, owner_id int NOT NULL);
		CREATE TABLE users (id int PRIMARY KEY, org_id uuid NOT NULL REFERENCES orgs ON DELETE CASCADE, boss_id int REFERENCES users, email text);
		ALTER TABLE orgs ADD FOREIGN KEY (owner_id) REFERENCES users;
		CREATE TABLE posts (id int, user_id int REFERENCES users, at date, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
		CREATE TABLE invoices (id int PRIMARY KEY, org_id uuid, at date);
		CREATE TABLE receipts (id int PRIMARY KEY, invoice_id int REFERENCES invoices ON DELETE SET NULL, org_id uuid, at date);
		CREATE TABLE log (id int PRIMARY KEY, org_id uuid, ip text);
		CREATE TABLE files (id int PRIMARY KEY, kind text, record int);
		CREATE TABLE jobs (id int PRIMARY KEY, args jsonb);`)
	conn := dbtest.Connect(t, db.DSN())
	file, err := policy.Parse("reaper.yaml", []byte(`version: 1
tenants: {table: orgs, key: id}
policies: [{name: x, table: posts, age: at, tenant: none, retention: 1d}]
erasure:
  tables:
    - {table: invoices, owner: org_id}
    - {table: receipts, action: keep, for: 10y, age: at, reason: law, owner: org_id}
    - {table: log, action: redact, set: {ip: "NULL"}, owner: org_id}
    - {table: files, owner: [record -> users.id, org_id], where: "kind = 'User'"}
    - {table: jobs, owner: "args->>'org_id'"}
`))
	if err != nil {
		t.Fatal(err)
	}
	server, err := plan.ReadServer(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	p, problems, err := Compile(t.Context(), conn, file, server, "reaper")
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range problems {
		if x.Level == plan.LevelError {
			t.Fatal(x)
		}
	}
	var b strings.Builder
	show := func(s *Step) {
		found := rowsFound{count: 1}
		for range s.Tables {
			found.tables, found.places = append(found.tables, []uint32{1}), append(found.places, []string{"(0,1)"})
		}
		b.WriteString("-- " + string(s.Kind) + " " + names(s.Tables) + "\n" + s.findSQL("k", 100).String() + ";\n\n" + s.actSQL("k", found).String() + ";\n\n")
	}
	for _, s := range p.redactions {
		show(s)
	}
	for _, g := range p.Groups {
		for _, s := range g.steps {
			show(s)
		}
		for _, s := range g.clears {
			show(s)
		}
		if g.knot != nil {
			show(g.knot)
		}
	}
	if p.final != nil {
		show(p.final)
	}
	for _, x := range p.Tables {
		b.WriteString("-- count " + x.Name() + "\n" + p.countSQL(x, "k").String() + ";\n\n")
	}
	plantest.Golden(t, "statements", b.String())
}
