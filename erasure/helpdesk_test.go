package erasure_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/reaperdb/reaper/internal/dbtest"
	"github.com/reaperdb/reaper/internal/plantest"
)

// helpdesk is an application with most of what makes erasing hard: an owner that the tenant's row
// needs, folders in folders, users of several tenants, references by type and id, exclusive
// references, a queue without any foreign key, a log that outlives users, and invoices that the law
// keeps.
const helpdesk = `
	CREATE TABLE plans (id int PRIMARY KEY, name text);
	CREATE TABLE people (id bigint PRIMARY KEY, email text);
	CREATE TABLE orgs (id uuid PRIMARY KEY, name text, at timestamptz DEFAULT now(), plan_id int REFERENCES plans, owner_id bigint NOT NULL, closed_at timestamptz);
	CREATE TABLE agents (id bigint PRIMARY KEY, org_id uuid NOT NULL REFERENCES orgs, person_id bigint REFERENCES people, manager_id bigint REFERENCES agents ON DELETE SET NULL, name text);
	ALTER TABLE orgs ADD FOREIGN KEY (owner_id) REFERENCES agents DEFERRABLE INITIALLY DEFERRED;
	CREATE TABLE memberships (org_id uuid NOT NULL REFERENCES orgs ON DELETE CASCADE, person_id bigint NOT NULL REFERENCES people ON DELETE CASCADE, PRIMARY KEY (org_id, person_id));
	CREATE TABLE folders (id bigint PRIMARY KEY, org_id uuid NOT NULL REFERENCES orgs, parent_id bigint REFERENCES folders);
	CREATE TABLE tickets (id bigint PRIMARY KEY, org_id uuid NOT NULL REFERENCES orgs, folder_id bigint REFERENCES folders, agent_id bigint REFERENCES agents ON DELETE SET NULL, title text);
	CREATE TABLE comments (id bigint PRIMARY KEY, ticket_id bigint NOT NULL REFERENCES tickets ON DELETE CASCADE, reply_to bigint REFERENCES comments ON DELETE CASCADE, body text);
	CREATE TABLE tags (id bigint PRIMARY KEY, org_id uuid NOT NULL REFERENCES orgs, name text);
	CREATE TABLE ticket_tags (ticket_id bigint REFERENCES tickets, tag_id bigint REFERENCES tags, PRIMARY KEY (ticket_id, tag_id));
	CREATE TABLE attachments (id bigint PRIMARY KEY, record_type text, record_id bigint, name text);
	CREATE TABLE invoices (id bigint PRIMARY KEY, org_id uuid NOT NULL REFERENCES orgs, agent_id bigint REFERENCES agents, issued_at date NOT NULL);
	CREATE TABLE invoice_lines (id bigint PRIMARY KEY, invoice_id bigint NOT NULL REFERENCES invoices, text text);
	CREATE TABLE audit_log (id bigint PRIMARY KEY, org_id uuid NOT NULL REFERENCES orgs, agent_id bigint REFERENCES agents, ip inet, actor text);
	CREATE TABLE jobs (id bigint PRIMARY KEY, args jsonb);
	INSERT INTO plans VALUES (1, 'small');
	INSERT INTO people SELECT i, 'p' || i FROM generate_series(1, 4) i;
	SET session_replication_role = replica;
	INSERT INTO orgs SELECT ('00000000-0000-4000-8000-00000000000' || o)::uuid, 'org ' || o, now(), 1, o * 100 + 1 FROM generate_series(1, 3) o;
	INSERT INTO agents SELECT o.owner_id + i, o.id, 1 + i, CASE WHEN i > 0 THEN o.owner_id + i - 1 ELSE o.owner_id + 3 END, 'agent' FROM orgs o, generate_series(0, 3) i;
	INSERT INTO memberships SELECT o.id, p.id FROM orgs o, people p;
	INSERT INTO folders SELECT o.owner_id + i, o.id, CASE WHEN i > 0 THEN o.owner_id + i - 1 END FROM orgs o, generate_series(0, 9) i;
	INSERT INTO folders SELECT o.owner_id + 20 + i, o.id, o.owner_id + 21 - i FROM orgs o, generate_series(0, 1) i;
	INSERT INTO tickets SELECT o.owner_id + i, o.id, o.owner_id + i, o.owner_id + i % 4, 'ticket' FROM orgs o, generate_series(0, 9) i;
	INSERT INTO comments SELECT t.id * 10 + i, t.id, CASE WHEN i > 0 THEN t.id * 10 + i - 1 END, 'comment' FROM tickets t, generate_series(0, 3) i;
	INSERT INTO tags SELECT o.owner_id + i, o.id, 'tag' FROM orgs o, generate_series(0, 2) i;
	INSERT INTO ticket_tags SELECT t.id, g.id FROM tickets t JOIN tags g USING (org_id) WHERE (t.id + g.id) % 2 = 0;
	INSERT INTO attachments SELECT t.id, 'Ticket', t.id, 'a' FROM tickets t UNION ALL SELECT c.id + 100000, 'Comment', c.id, 'b' FROM comments c UNION ALL SELECT 999999, 'Plan', 1, 'price list';
	INSERT INTO invoices SELECT o.owner_id + i, o.id, o.owner_id + 2, CASE i WHEN 0 THEN current_date ELSE '2001-01-01' END FROM orgs o, generate_series(0, 1) i;
	INSERT INTO invoice_lines SELECT i.id * 10 + n, i.id, 'line' FROM invoices i, generate_series(1, 2) n;
	INSERT INTO audit_log SELECT o.owner_id + i, o.id, o.owner_id + i, '10.0.0.1', 'agent' || i FROM orgs o, generate_series(0, 3) i;
	INSERT INTO jobs SELECT o.owner_id + i, jsonb_build_object('org_id', o.id, 'n', i) FROM orgs o, generate_series(0, 4) i;
	RESET session_replication_role;`

// helpdeskSection is what a person decides; the rest is pasted from remedies.
func helpdeskSection() *section {
	return &section{
		tables: []string{
			"{table: invoices, action: keep, for: 10y, age: issued_at, reason: tax law}",
			"{table: invoice_lines, action: keep, for: forever, reason: tax law}",
			`{table: audit_log, action: redact, owner: org_id, set: {ip: "NULL", actor: "'erased'"}}`,
		},
		global: []string{"plans", "people"},
		more:   []string{"when: closed_at < now()", "tenant_row: redact", `redact: {name: "'erased'"}`},
	}
}

const erased = "00000000-0000-4000-8000-000000000001"

// TestHelpdesk erases one tenant of three of an application, and looks at every row.
func TestHelpdesk(t *testing.T) {
	db := dbtest.New(t, helpdesk)
	conn := dbtest.Connect(t, db.DSN())
	s := helpdeskSection()
	s.tables = append(s.tables, "{table: agents, action: redact, owner: org_id, set: {name: \"'erased'\"}}")
	p := settle(t, conn, s)
	plantest.Golden(t, "helpdesk", p.Print())

	before := rows(t, db)
	seen, err := erase(t, conn, p, erased, 3)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]string{}
	for name, lines := range before {
		want[name] = []string{}
		for _, line := range lines {
			if line, stays := helpdeskFate(name, line); stays {
				want[name] = append(want[name], line)
			}
		}
		slices.Sort(want[name])
	}
	after := rows(t, db)
	for name := range after {
		slices.Sort(after[name])
	}
	if diff := cmp.Diff(want, after); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if _, err := erase(t, conn, p, erased, 3); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(want["audit_log"], rows(t, db)["audit_log"], cmp.Transformer("sort", sorted)); diff != "" {
		t.Errorf("a second run changed something: %s", diff)
	}

	// What arrives later is still told by what was remembered.
	db.Exec(t, `INSERT INTO jobs VALUES (9001, '{"org_id": "`+erased+`"}'); INSERT INTO attachments VALUES (9001, 'Ticket', 103, 'late'), (9002, 'Ticket', 203, 'of another')`)
	counts, err := p.LeftoverCount(t.Context(), conn, erased, seen)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]int64{}
	for _, c := range counts {
		if c.Rows > 0 {
			found[c.Table.Name()] = c.Rows
		}
	}
	if diff := cmp.Diff(map[string]int64{"public.jobs": 1, "public.attachments": 1}, found); diff != "" {
		t.Errorf("leftovers (-want +got):\n%s", diff)
	}
	for _, step := range p.Leftovers(seen) {
		if _, err := runStep(t.Context(), conn, p, step, erased, 10); err != nil {
			t.Fatal(err)
		}
	}
	if got := db.Ints(t, "SELECT id FROM jobs WHERE id > 9000 UNION ALL SELECT id FROM attachments WHERE id > 9000 AND id < 10000"); !slices.Equal(got, []int{9002}) {
		t.Errorf("after the sweep %v are there, want 9002", got)
	}
}

func sorted(lines []string) []string { return slices.Sorted(slices.Values(lines)) }

// helpdeskFate is what has to become of a row: of tenant 1, whose rows have ids from 101 on.
func helpdeskFate(table, line string) (string, bool) {
	fields := strings.Split(strings.Trim(line, "()"), ",")
	id := fields[0]
	mine := strings.Contains(line, erased)
	switch table {
	case "plans", "people":
		return line, true
	case "orgs":
		return strings.Replace(line, `"org 1"`, "erased", 1), true
	case "agents":
		if mine {
			line = strings.Replace(line, ",agent)", ",erased)", 1)
		}
		return line, true
	case "audit_log":
		if mine {
			line = strings.Join(fields[:3], ",") + ",,erased)"
			return "(" + strings.TrimPrefix(line, "("), true
		}
		return line, true
	case "invoices":
		return line, true // old ones have lines that are kept for ever
	case "invoice_lines":
		return line, true
	case "comments":
		return line, !strings.HasPrefix(id, "10") && !strings.HasPrefix(id, "11")
	case "ticket_tags":
		return line, !strings.HasPrefix(id, "1")
	case "attachments":
		number := len(id)
		switch {
		case id == "999999":
			return line, true
		case number == 3:
			return line, !strings.HasPrefix(id, "1")
		default: // comments, by 100000 more
			return line, !strings.HasPrefix(id, "1010") && !strings.HasPrefix(id, "1011")
		}
	}
	return line, !mine
}

// TestDroppedKeys drops each foreign key in turn: then coverage refuses the table and its remedy finds
// the same rows, or another way does.
func TestDroppedKeys(t *testing.T) {
	db := dbtest.New(t, helpdesk)
	conn := dbtest.Connect(t, db.DSN())
	count := func(s *section) map[string]int64 {
		p := settle(t, conn, s)
		counts, err := p.Remaining(t.Context(), conn, erased)
		if err != nil {
			t.Fatal(err)
		}
		all := map[string]int64{}
		for _, c := range counts {
			all[c.Table.Name()] = c.Rows + c.Kept
		}
		return all
	}
	basic := func() *section { return &section{global: []string{"plans", "people"}} }
	whole := count(basic())
	for _, key := range db.Texts(t, `SELECT format('ALTER TABLE %s|DROP CONSTRAINT %I|ADD CONSTRAINT %2$I %s', conrelid::regclass, conname, pg_get_constraintdef(oid)) FROM pg_constraint WHERE contype = 'f' ORDER BY 1`) {
		parts := strings.Split(key, "|")
		db.Exec(t, parts[0]+" "+parts[1])
		if diff := cmp.Diff(whole, count(basic())); diff != "" {
			t.Errorf("without %s (-with +without):\n%s", key, diff)
		}
		db.Exec(t, parts[0]+" "+parts[2])
	}
}
