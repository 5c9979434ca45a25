package erasing_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/erasing"
	"github.com/reaperdb/reaper/erasure"
	"github.com/reaperdb/reaper/gate"
	"github.com/reaperdb/reaper/internal/dbtest"
	"github.com/reaperdb/reaper/ledger"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/policy"
)

// The keys of the tenants occur nowhere else.
const (
	acme  = "acme-4f1b"
	other = "other-9c2d"
)

// tables are those of a small application: by foreign keys, by a queue without one, by users who are
// gone by then, and in a circle.
const tables = `
	CREATE TABLE orgs (id text PRIMARY KEY, name text NOT NULL, closed_at timestamptz, held boolean NOT NULL DEFAULT false);
	CREATE TABLE users (id uuid PRIMARY KEY DEFAULT gen_random_uuid(), org_id text NOT NULL REFERENCES orgs, boss uuid REFERENCES users);
	CREATE INDEX ON users (org_id); CREATE INDEX ON users (boss);
	CREATE TABLE messages (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, user_id uuid NOT NULL REFERENCES users, at timestamptz NOT NULL DEFAULT now() - interval '1 year', body text);
	CREATE INDEX ON messages (user_id);
	CREATE TABLE jobs (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, args jsonb NOT NULL);
	CREATE TABLE visits (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, visitor uuid NOT NULL);
	CREATE INDEX ON visits (visitor);
	CREATE TABLE plans (id int PRIMARY KEY);
	INSERT INTO plans VALUES (1);
	INSERT INTO orgs (id, name) VALUES ('` + acme + `', 'Acme'), ('` + other + `', 'Other');
	INSERT INTO users (org_id) SELECT o.id FROM orgs o, generate_series(1, 20);
	UPDATE users u SET boss = (SELECT min(x.id::text)::uuid FROM users x WHERE x.org_id = u.org_id);
	INSERT INTO messages (user_id, body) SELECT u.id, 'hello' FROM users u, generate_series(1, 10);
	INSERT INTO jobs (args) SELECT jsonb_build_object('org_id', o.id) FROM orgs o, generate_series(1, 30);
	INSERT INTO visits (visitor) SELECT u.id FROM users u`

// file erases all of it.
const file = `version: 1
tenants: {table: orgs, key: id, hold: held, retention: 30d}
policies: [{name: messages, table: messages, age: at, tenant: [user_id, org_id], limits: {rows: 5}}]
erasure:
  wait: 0s
  leftovers: delete
  tables:
    - {table: jobs, owner: "args->>'org_id'"}
    - {table: visits, owner: ["visitor -> users.id", org_id]}
  global: [plans]
`

// fixture is a database with tenants, and what erases one.
type fixture struct {
	*dbtest.DB
	t      *testing.T
	text   string // of the policy file
	pool   *pgxpool.Pool
	ledger *ledger.Ledger
	erasing.Runner
}

// open prepares a database for a policy file; changes replace parts of the usual one, two by two.
func open(t *testing.T, more string, changes ...string) *fixture {
	t.Helper()
	b := &fixture{DB: dbtest.New(t, tables), t: t, ledger: ledger.New(ledger.DefaultSchema, 0)}
	if more != "" {
		b.Exec(t, more)
	}
	b.pool = b.DB.Pool(t, func(c *pgxpool.Config) {
		c.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec
		c.MaxConns = 4
	})
	if _, err := b.ledger.Migrate(t.Context(), b.pool); err != nil {
		t.Fatal(err)
	}
	b.Runner = erasing.Runner{
		Pool: b.pool, Ledger: b.ledger, Trigger: "manual", Sweeps: []time.Duration{time.Hour},
		Gates: &gate.Gates{Pool: b.pool, Ledger: b.ledger},
	}
	b.compile(strings.NewReplacer(changes...).Replace(file))
	return b
}

// compile plans the erasure for a file.
func (b *fixture) compile(text string) {
	b.t.Helper()
	b.text = text
	f, err := policy.Parse("reaper.yaml", []byte(text))
	if err != nil {
		b.t.Fatal(err)
	}
	err = b.pool.AcquireFunc(b.t.Context(), func(c *pgxpool.Conn) error {
		server, err := plan.ReadServer(b.t.Context(), c.Conn())
		if err != nil {
			return err
		}
		var problems []plan.Problem
		b.Plan, problems, err = erasure.Compile(b.t.Context(), c.Conn(), f, server, ledger.DefaultSchema)
		for _, p := range problems {
			if p.Level == plan.LevelError {
				b.t.Errorf("%s; %s", p.Text, p.Fix)
			}
		}
		return err
	})
	if err != nil || b.t.Failed() {
		b.t.Fatal(err)
	}
}

// request asks for the erasure of acme now.
func (b *fixture) request(gone bool) *ledger.Erasure {
	b.t.Helper()
	e, err := b.ledger.RequestErasure(b.t.Context(), b.pool, ledger.Request{Tenant: acme, Gone: gone, Reason: "closed", By: "ann"})
	if err != nil {
		b.t.Fatal(err)
	}
	return e
}

// erase erases a tenant, and wants it to end as a status.
func (b *fixture) erase(e *ledger.Erasure, want string) *erasing.Report {
	b.t.Helper()
	r, err := b.Erase(b.t.Context(), e)
	if err != nil {
		b.t.Fatal(err)
	}
	if string(r.Status) != want {
		b.t.Fatalf("it ended %s (%s), want %s", r.Status, r.Reason, want)
	}
	return r
}

// mentions are the columns of all tables but the ledger's in which a text occurs.
func (b *fixture) mentions(text string) []string { return b.mentionsIn("public", text) }

func (b *fixture) mentionsIn(schema, text string) (found []string) {
	b.t.Helper()
	for _, column := range b.Texts(b.t, `SELECT format('%I.%I %I', table_schema, table_name, column_name) FROM information_schema.columns JOIN information_schema.tables USING (table_schema, table_name) WHERE table_schema = $1 AND table_type = 'BASE TABLE' ORDER BY 1`, schema) {
		table, name, _ := strings.Cut(column, " ")
		if n := b.Int(b.t, fmt.Sprintf(`SELECT count(*)::int FROM %s WHERE strpos(%s::text, $1) > 0`, table, name), text); n > 0 {
			found = append(found, fmt.Sprintf("%s.%s: %d", table, name, n))
		}
	}
	return found
}

// dump is all rows of the tables, sorted.
func (b *fixture) dump() string { return b.dumpAfter("") }

// dumpAfter is what dump would be after these statements, which are rolled back.
func (b *fixture) dumpAfter(sql string) string {
	b.t.Helper()
	tx, err := b.pool.Begin(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = tx.Rollback(b.t.Context()) }()
	if _, err := tx.Conn().PgConn().Exec(b.t.Context(), sql).ReadAll(); err != nil {
		b.t.Fatal(err)
	}
	var all []string
	for _, table := range b.Texts(b.t, `SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' ORDER BY 1`) {
		rows, err := tx.Query(b.t.Context(), `SELECT '`+table+` ' || x::text FROM `+table+` x ORDER BY 1`)
		if err != nil {
			b.t.Fatal(err)
		}
		texts, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			b.t.Fatal(err)
		}
		all = append(all, texts...)
	}
	return strings.Join(all, "\n")
}
