package purge_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/internal/dbtest"
	"github.com/reaperdb/reaper/internal/pgtemp"
	"github.com/reaperdb/reaper/ledger"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/purge"
)

// estate needs every privilege that a plan can need: cascades, edges walked by reaper, cleared
// ones, keep edges, a path of two steps, and a drain.
const estate = `
CREATE SCHEMA app;
CREATE TABLE app.orgs (id int PRIMARY KEY, days int);
CREATE TABLE app.projects (id int PRIMARY KEY, org_id int NOT NULL REFERENCES app.orgs);
CREATE TABLE app.roots (id int PRIMARY KEY, project_id int NOT NULL REFERENCES app.projects, at timestamptz NOT NULL);
CREATE INDEX ON app.roots (project_id, at, id);
CREATE TABLE app.parts (id int PRIMARY KEY, root int REFERENCES app.roots ON DELETE CASCADE); CREATE INDEX ON app.parts (root);
CREATE TABLE app.clicks (id int PRIMARY KEY, part int REFERENCES app.parts ON DELETE CASCADE); CREATE INDEX ON app.clicks (part);
CREATE TABLE app.notes (id int PRIMARY KEY, up int REFERENCES app.notes ON DELETE CASCADE, root int REFERENCES app.roots); CREATE INDEX ON app.notes (root); CREATE INDEX ON app.notes (up);
CREATE TABLE app.links (id int PRIMARY KEY, root int REFERENCES app.roots ON DELETE SET NULL, part int REFERENCES app.parts); CREATE INDEX ON app.links (root); CREATE INDEX ON app.links (part);
CREATE TABLE app.bills (id int PRIMARY KEY, part int REFERENCES app.parts); CREATE INDEX ON app.bills (part);
INSERT INTO app.orgs VALUES (1, 30); INSERT INTO app.projects VALUES (10, 1);
INSERT INTO app.roots SELECT n, 10, now() - interval '40 days' FROM generate_series(1, 12) n;
INSERT INTO app.parts SELECT n, 1 + n % 12 FROM generate_series(1, 120) n; INSERT INTO app.parts SELECT n, 5 FROM generate_series(1001, 1200) n;
INSERT INTO app.clicks SELECT n, 1 + n % 120 FROM generate_series(1, 240) n;
INSERT INTO app.notes SELECT n, CASE WHEN n > 6 THEN n - 6 END, 1 + n % 6 FROM generate_series(1, 24) n;
INSERT INTO app.links SELECT n, 1 + n % 12, 1 + n % 120 FROM generate_series(1, 120) n;
INSERT INTO app.bills VALUES (1, 3);`

const estatePolicy = `
tenants: {table: app.orgs, key: id, retention: days}
policies:
  - name: roots
    table: app.roots
    age: at
    tenant: [project_id, org_id]
    dependents: [{table: app.notes, action: delete}, {table: app.links, via: part, action: nullify}, {table: app.bills, action: keep}]
    limits: {rows: 5, total_rows: 50}`

// grantsFor returns the privileges that reaper says a role needs.
func (b *bed) grantsFor(role string) []string {
	b.t.Helper()
	return slices.Concat(plan.Grants(b.plans(), role), ledger.New(ledger.DefaultSchema, 0).Grants(role))
}

// A role with exactly the privileges that `grants` prints can do everything: a usual batch, a
// drain, clearing, keep.
func TestRule_GrantsAreEnough(t *testing.T) {
	for _, c := range []struct{ name, schema, policy string }{
		{"estate", estate, estatePolicy},
		{"cascade", shop, shopPolicy},
		{"cascade drained", shop, strings.Replace(shopPolicy, "age: at,", "age: at, limits: {total_rows: 2},", 1)},
		{"no action", ways[1].schema, ways[1].policy},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := prepare(t, c.schema, c.policy)
			role := b.Role(t, "reaper")
			b.Exec(t, `ANALYZE; REVOKE ALL ON SCHEMA public FROM public`)
			b.Exec(t, strings.Join(b.grantsFor(role), "\n"))
			b.connect(b.As(role))
			for _, p := range b.problems(plan.LevelWarning) {
				if strings.Contains(p, "lacks") {
					t.Errorf("with all that grants prints: %s", p)
				}
			}
			b.purge().complete()
			if c.name == "estate" {
				b.left(`SELECT id FROM app.roots`, "4") // part 3 belongs to it, and has a bill
				b.count(`SELECT count(*) FROM app.links WHERE root IS NOT NULL`, 10)
				b.count(`SELECT count(*) FROM app.links`, 120)
			}
		})
	}
}

// Each of these privileges, when missing, is reported before anything is touched, or was never
// needed.
func TestPromise5_EachMissingPrivilegeIsReported(t *testing.T) {
	t.Parallel()
	b := prepare(t, estate, estatePolicy)
	role := b.Role(t, "reaper")
	grants := plan.Grants(b.plans(), role)
	b.Exec(t, strings.Join(b.grantsFor(role), "\n"))
	b.connect(b.As(role))
	for _, grant := range grants {
		if strings.HasPrefix(grant, "--") {
			continue // not needed
		}
		words, rest, _ := strings.Cut(strings.TrimPrefix(strings.TrimSuffix(grant, ";"), "GRANT "), " ON ")
		on, _, _ := strings.Cut(rest, " TO ")
		for _, privilege := range splitPrivileges(words) {
			b.Exec(t, `REVOKE `+privilege+` ON `+on+` FROM `+role)
			found := append(b.problems(plan.LevelError), b.problems(plan.LevelWarning)...)
			kind, _, _ := strings.Cut(privilege, " ")
			name := strings.ReplaceAll(strings.TrimPrefix(on, "SCHEMA "), `"`, "")
			if !slices.ContainsFunc(found, func(p string) bool {
				return containsAll(p, kind[:3], name) || containsAll(p, "may not use schema", name)
			}) {
				t.Errorf("without %s on %s nothing is said: %q", privilege, on, found)
			}
			b.Exec(t, `GRANT `+privilege+` ON `+on+` TO `+role)
		}
	}
	b.purge().complete()
}

// splitPrivileges splits at commas outside parentheses.
func splitPrivileges(words string) (all []string) {
	depth, from := 0, 0
	for i, c := range words {
		switch {
		case c == '(':
			depth++
		case c == ')':
			depth--
		case c == ',' && depth == 0:
			all = append(all, strings.TrimSpace(words[from:i]))
			from = i + 1
		}
	}
	return append(all, strings.TrimSpace(words[from:]))
}

// Row-level security that hides rows is an error, on any table, and not "0 deleted"; a role
// that is not subject to it may continue.
func TestPromise5_RowSecurity(t *testing.T) {
	for _, table := range []string{"app.roots", "app.parts", "app.orgs", "app.projects", "app.bills"} {
		t.Run(table, func(t *testing.T) {
			t.Parallel()
			b := prepare(t, estate, estatePolicy)
			role := b.Role(t, "reaper")
			b.Exec(t, strings.Join(b.grantsFor(role), "\n"))
			b.connect(b.As(role))
			plans := b.plans()
			b.Exec(t, `ALTER TABLE `+table+` ENABLE ROW LEVEL SECURITY; CREATE POLICY own ON `+table+` USING (false)`)
			b.refuses("row-level security", table)
			// Enabled after the plan was made, it is an error in the batch.
			o := b.purgeWith(plans)
			if o.Status == purge.Complete && table != "app.bills" {
				t.Errorf("the run is complete behind row-level security")
			}
			b.ledgerIsTrue()
			b.Exec(t, `ALTER ROLE `+role+` BYPASSRLS`)
			b.connect(b.As(role))
			b.again()
			b.purge().complete()
			b.left(`SELECT id FROM app.roots`, "4")
		})
	}
}

// Where PostgreSQL does not count what CASCADE deletes, nothing is left to CASCADE.
func TestPromise5_TrackCountsOff(t *testing.T) {
	t.Parallel()
	server := dbtest.Server(t, pgtemp.Options{Settings: map[string]string{"track_counts": "off"}})
	pool := purgePool(t, server.DSN("postgres"))
	if _, err := pool.Exec(t.Context(), shop); err != nil {
		t.Fatal(err)
	}
	b := &bed{t: t, pool: pool, policy: shopPolicy}
	b.refuses("track_counts is off")
}

// A standby is recognized; so is a role for which foreign keys are not enforced.
func TestPromise5_ServerThatCannotDelete(t *testing.T) {
	t.Parallel()
	t.Run("standby", func(t *testing.T) {
		t.Parallel()
		server := dbtest.Server(t, pgtemp.Options{})
		if err := server.Kill(); err != nil {
			t.Fatal(err)
		}
		// A server with standby.signal in its data directory is a standby.
		signal := filepath.Join(server.Dir(), "data", "standby.signal")
		if err := os.WriteFile(signal, nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.CommandContext(t.Context(), "chown", "--reference="+filepath.Dir(signal), signal).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if err := server.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		s := readServer(t, purgePool(t, server.DSN("postgres")))
		if problems := s.Problems(); len(problems) != 1 || !containsAll(problems[0].Text, "standby") {
			t.Errorf("problems %+v, want that it is a standby", problems)
		}
	})
	t.Run("replication role", func(t *testing.T) {
		t.Parallel()
		b := prepare(t, shop, shopPolicy)
		b.Exec(t, `ALTER DATABASE `+b.Name()+` SET session_replication_role = replica`)
		b.connect(b.DSN())
		s := readServer(t, b.pool)
		if problems := s.Problems(); len(problems) != 1 || !containsAll(problems[0].Text, "session_replication_role", "replica") {
			t.Errorf("problems %+v, want that foreign keys are not enforced", problems)
		}
	})
	t.Run("a sound one", func(t *testing.T) {
		t.Parallel()
		b := prepare(t, shop, shopPolicy)
		s := readServer(t, b.pool)
		if problems := s.Problems(); len(problems) != 0 || s.ClockSkew > plan.MaxClockSkew {
			t.Errorf("problems %+v, clocks %s apart, want none", problems, s.ClockSkew)
		}
	})
}

func readServer(t *testing.T, pool *pgxpool.Pool) (s plan.Server) {
	t.Helper()
	err := pool.AcquireFunc(t.Context(), func(c *pgxpool.Conn) (err error) {
		s, err = plan.ReadServer(context.WithoutCancel(t.Context()), c.Conn())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// An edge without a decision, or with a wrong one, refuses the policy and names the constraint;
// so does one that would delete tenants.
func TestPromise5_DecisionsThatAreRefused(t *testing.T) {
	t.Parallel()
	ground := ground(t)
	for _, c := range []struct {
		name, schema, policy string
		words                []string
	}{
		{"undecided", noAction, shopPolicy, []string{"parts_mail_id_fkey", "nobody decided", "action: keep"}},
		{"undecided further down", strings.Replace(shop, "REFERENCES parts ON DELETE CASCADE", "REFERENCES parts ON DELETE RESTRICT", 1), shopPolicy, []string{"clicks_part_id_fkey", "nobody decided"}},
		{"nullify under cascade", shop, withDependents("{table: parts, action: nullify}"), []string{"parts_mail_id_fkey", "ON DELETE CASCADE"}},
		{"delete under cascade", shop, withDependents("{table: parts, action: delete}"), []string{"parts_mail_id_fkey", "ON DELETE CASCADE"}},
		{"nullify NOT NULL", noAction, withDependents("{table: parts, action: nullify}"), []string{"cannot be set to NULL"}},
		{"no such key", shop, withDependents("{table: orgs, action: keep}"), []string{"no foreign key of the plan leads from orgs"}},
		{"no such table", shop, withDependents("{table: part, action: keep}"), []string{"no table part", "public.parts"}},
		{"the tenants as a dependent", shop + `; ALTER TABLE orgs ADD mail int REFERENCES mails ON DELETE CASCADE`, shopPolicy, []string{"public.orgs", "who owns rows", "orgs_mail_fkey"}},
		{"the path as a dependent", shop + `; ALTER TABLE projects ADD mail int REFERENCES mails`, withDependents("{table: projects, action: delete}"), []string{"public.projects", "projects_mail_fkey"}},
		{"two keys, one entry", shop + `; CREATE TABLE two (id int PRIMARY KEY, a int REFERENCES mails, b int REFERENCES mails)`, withDependents("{table: two, action: delete}"), []string{"more than once", "via"}},
		{"a view", shop + `; CREATE VIEW v AS SELECT * FROM mails`, strings.Replace(shopPolicy, "table: mails", "table: v", 1), []string{"not a table"}},
		{"inheritance", shop + `; CREATE TABLE heir () INHERITS (mails)`, shopPolicy, []string{"inherit from public.mails"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			ground.on(t, c.schema, c.policy).refuses(c.words...)
		})
	}
}

// A decision below an edge that keeps or clears is unnecessary but no error: changing delete to
// keep does not require removing what is below. A decision that no key leads to is an error.
func TestDecisionsOutOfReach(t *testing.T) {
	t.Parallel()
	open := strings.Replace(shop, "REFERENCES parts ON DELETE CASCADE", "REFERENCES parts ON DELETE RESTRICT", 1)
	b := prepare(t, open, withDependents("{table: parts, action: keep}, {table: clicks, parent: parts, action: delete}"))
	if errors := b.problems(plan.LevelError); len(errors) > 0 {
		t.Errorf("refused: %v", errors)
	}
	b.tells(plan.LevelWarning, "the entry for clicks is not needed")
	b = prepare(t, open, withDependents("{table: parts, action: keep}, {table: orgs, parent: parts, action: delete}"))
	b.refuses("no foreign key of the plan leads from orgs to parts")
}

func withDependents(entries string) string {
	return strings.Replace(shopPolicy, "age: at,", "age: at, dependents: ["+entries+"],", 1)
}
