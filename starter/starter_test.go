package starter_test

import (
	"context"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/internal/dbtest"
	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/starter"
)

func TestMain(m *testing.M) { os.Exit(dbtest.Main(m)) }

func read(t *testing.T, schema string) *starter.Proposal {
	t.Helper()
	p, err := starter.Read(t.Context(), pg.Pinned(open(t, dbtest.New(t, schema), "postgres")), "reaper", nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// open returns a pool for a role, in a mode in which statements can be pinned.
func open(t *testing.T, db *dbtest.DB, role string) *pgxpool.Pool {
	t.Helper()
	return db.Pool(t, func(c *pgxpool.Config) {
		c.ConnConfig.User = role
		c.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec
	})
}

// proposes compares the roots of a proposal, in any order.
func proposes(t *testing.T, p *starter.Proposal, want ...string) {
	t.Helper()
	var got []string
	for _, r := range p.Roots {
		got = append(got, r.Table.Name.Name)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("proposed: %v, want %v\n%s", got, want, p.YAML())
	}
}

// says reports patterns that no line of the file matches.
func says(t *testing.T, p *starter.Proposal, patterns ...string) {
	t.Helper()
	for _, pattern := range patterns {
		if !regexp.MustCompile("(?m)" + pattern).MatchString(p.YAML()) {
			t.Errorf("no line matches %s\n%s", pattern, p.YAML())
		}
	}
}

// chosen checks that the file is refused before the choices are made and accepted after.
func chosen(t *testing.T, p *starter.Proposal) {
	t.Helper()
	text := p.YAML()
	if len(p.Roots) > 0 {
		if _, err := policy.Parse("reaper.yaml", []byte(text)); err == nil || !strings.Contains(err.Error(), "CHOOSE") {
			t.Errorf("nobody has chosen, and the file is read: %v\n%s", err, text)
		}
	}
	text = strings.ReplaceAll(text, "retention: CHOOSE", "retention: 90d")
	for _, re := range []string{`(action: )CHOOSE(\}   # )([a-z]+)`, `(tenant: )CHOOSE( +# whose rows are they\? )(\[[^]]*\])`} {
		text = regexp.MustCompile(re).ReplaceAllString(text, "${1}${3}${2}${3}")
	}
	if _, err := policy.Parse("reaper.yaml", []byte(text)); err != nil {
		t.Errorf("%v\n%s", err, text)
	}
}

// Projects and keys are in use; the events of a project are what expires. init once proposed
// projects at a live 365 days, left out the events, and took a threshold for a hold.
func TestHistoryNotWhatIsInUse(t *testing.T) {
	t.Parallel()
	p := read(t, `
CREATE TABLE organizations (id bigint PRIMARY KEY, name text, spend_threshold numeric, created_at timestamptz);
CREATE TABLE projects (id bigint PRIMARY KEY, organization_id bigint NOT NULL REFERENCES organizations ON DELETE CASCADE, name text, created_at timestamptz NOT NULL);
CREATE TABLE events (id bigint PRIMARY KEY, project_id bigint NOT NULL REFERENCES projects ON DELETE CASCADE, payload text, created_at timestamptz NOT NULL);
CREATE INDEX ON events (project_id, created_at);
CREATE TABLE api_keys (id bigint PRIMARY KEY, project_id bigint NOT NULL REFERENCES projects ON DELETE CASCADE, created_at timestamptz NOT NULL);
INSERT INTO organizations VALUES (1, 'a', 5, now() - interval '3 years');
INSERT INTO projects SELECT g, 1, 'p' || g, now() - interval '2 years' FROM generate_series(1, 20) g;
INSERT INTO events SELECT g, 1 + g % 20, 'x', now() - g * interval '70 days' / 10000 FROM generate_series(1, 10000) g;
INSERT INTO api_keys SELECT g, g, now() - interval '2 years' FROM generate_series(1, 20) g;
ANALYZE`)
	proposes(t, p, "events")
	says(t, p, `^  table: public.organizations$`, `^    tenant: \[project_id, organization_id\]$`, `^    retention: CHOOSE `, `^  # hold: legal_hold`,
		`^#   public.projects: its rows are in use \(project\)$`, `^#   public.api_keys: its rows are in use \(key\)$`)
	chosen(t, p)
}

// helpdesk is twelve tables: tickets with their parts, events, tables in use, polymorphic
// references, and tables without a tenant.
const helpdesk = `
CREATE TABLE accounts (id bigint PRIMARY KEY, subdomain text UNIQUE NOT NULL, retention_days int, on_hold boolean, threshold int);
CREATE TABLE users (id bigint PRIMARY KEY, account_id bigint NOT NULL REFERENCES accounts, email text UNIQUE, created_at timestamptz NOT NULL);
CREATE TABLE groups (id bigint PRIMARY KEY, account_id bigint NOT NULL REFERENCES accounts, name text, created_at timestamptz NOT NULL);
CREATE TABLE tickets (id bigint PRIMARY KEY, account_id bigint NOT NULL REFERENCES accounts, requester_id bigint REFERENCES users, group_id bigint REFERENCES groups,
  status text, created_at timestamptz NOT NULL, closed_at timestamptz);
CREATE TABLE messages (id bigint PRIMARY KEY, ticket_id bigint NOT NULL REFERENCES tickets, author_id bigint REFERENCES users, body text, created_at timestamptz NOT NULL);
CREATE TABLE attachments (id bigint PRIMARY KEY, message_id bigint NOT NULL REFERENCES messages ON DELETE CASCADE, name text, created_at timestamptz NOT NULL);
CREATE TABLE tags (id bigint PRIMARY KEY, account_id bigint NOT NULL REFERENCES accounts, name text NOT NULL, UNIQUE (account_id, name));
CREATE TABLE taggings (id bigint PRIMARY KEY, tag_id bigint NOT NULL REFERENCES tags, taggable_type text NOT NULL, taggable_id bigint NOT NULL, created_at timestamptz NOT NULL);
CREATE TABLE audit_events (id bigint NOT NULL, account_id bigint NOT NULL, actor_id bigint, action text, created_at timestamptz NOT NULL, PRIMARY KEY (id, created_at)) PARTITION BY RANGE (created_at);
CREATE TABLE audit_events_2026_10 PARTITION OF audit_events FOR VALUES FROM ('2026-10-01') TO ('2026-11-01');
CREATE TABLE audit_events_2026_11 PARTITION OF audit_events FOR VALUES FROM ('2026-11-01') TO ('2026-12-01');
CREATE TABLE sessions (id bigint PRIMARY KEY, user_id bigint, data text, created_at timestamptz NOT NULL, updated_at timestamptz NOT NULL);
CREATE TABLE macros (id bigint PRIMARY KEY, account_id bigint NOT NULL REFERENCES accounts, title text, last_ticket_id bigint REFERENCES tickets, created_at timestamptz NOT NULL);
CREATE TABLE schema_migrations (version text PRIMARY KEY)`

func TestHelpDesk(t *testing.T) {
	t.Parallel()
	p := read(t, helpdesk+`;
INSERT INTO accounts VALUES (1, 'a', 30, false, 5);
INSERT INTO tags VALUES (1, 1, 'urgent');
INSERT INTO taggings SELECT g, 1, (ARRAY['App\Models\Ticket', 'User'])[1 + g % 2], g, now() FROM generate_series(1, 10) g`)
	proposes(t, p, "tickets", "audit_events", "sessions")
	says(t, p,
		`^  table: public.accounts$`, `^  retention: retention_days `, `^  hold: on_hold `,
		`^    table: public.tickets .*\n    age: closed_at\n    tenant: \[account_id\]$`,
		`^      - \{table: public.messages, via: ticket_id, action: CHOOSE\}   # delete \| keep; messages_ticket_id_fkey`,
		`^      - \{table: public.macros, via: last_ticket_id, action: CHOOSE\}   # nullify \| keep; `,
		`^    #  - \{table: public.taggings, match: \{taggable_id: id\}, where: 'taggable_type = ''App\\Models\\Ticket''', action: delete\}`,
		`^    table: public.audit_events .*\n    age: created_at\n    tenant: \[account_id\]   # by its name`,
		`^    table: public.sessions .*\n    age: updated_at\n    tenant: none  `,
		`^#   public.users: its rows are in use`, `^#   public.messages: deleted with public.tickets$`, `^#   public.attachments: content`,
		`^#   public.taggings: `, `^#   public.macros: `, `^#   public.schema_migrations: kept by migrations`)
	chosen(t, p)
}

// Rows in use that reference deleted rows are kept by an entry where the schema leaves it
// undecided; a table that would take them along by ON DELETE CASCADE is no root.
func TestNothingInUseGoesAlong(t *testing.T) {
	t.Parallel()
	p := read(t, `
CREATE TABLE tenants (id int PRIMARY KEY);
CREATE TABLE messages (id int PRIMARY KEY, tenant_id int NOT NULL REFERENCES tenants, created_at date NOT NULL);
CREATE TABLE runs (id int PRIMARY KEY, tenant_id int NOT NULL REFERENCES tenants, created_at date NOT NULL);
CREATE TABLE channels (id int PRIMARY KEY, tenant_id int NOT NULL REFERENCES tenants, name text, last_message_id int REFERENCES messages, first_run_id int REFERENCES runs ON DELETE CASCADE);
CREATE TABLE run_labels (run_id int REFERENCES runs ON DELETE CASCADE, label text, PRIMARY KEY (run_id, label))`)
	proposes(t, p, "messages")
	says(t, p, `^      - \{table: public.channels, via: last_message_id, action: keep\}   # its rows are in use`,
		`^#   public.runs: rows of public.channels, which are in use, would be deleted with it`)
	chosen(t, p)
}

// A table with a meaningless name is a root only if its rows suggest it and their dependents
// do not come long after them.
func TestWhatRowsSay(t *testing.T) {
	t.Parallel()
	p := read(t, `
CREATE TABLE tenants (id int PRIMARY KEY);
CREATE TABLE zarks (id int PRIMARY KEY, tenant_id int NOT NULL REFERENCES tenants, created_at timestamptz NOT NULL);
CREATE TABLE few_zarks (id int PRIMARY KEY, tenant_id int NOT NULL REFERENCES tenants, created_at timestamptz NOT NULL);
CREATE TABLE shuffled_zarks (id int PRIMARY KEY, tenant_id int NOT NULL REFERENCES tenants, created_at timestamptz NOT NULL);
CREATE TABLE runs (id int PRIMARY KEY, tenant_id int NOT NULL REFERENCES tenants, created_at timestamptz NOT NULL);
CREATE TABLE run_parts (id int PRIMARY KEY, run_id int NOT NULL REFERENCES runs ON DELETE CASCADE, created_at timestamptz NOT NULL);
INSERT INTO tenants VALUES (1);
INSERT INTO zarks SELECT g, 1, now() - (20000 - g) * interval '1 hour' FROM generate_series(1, 20000) g;
INSERT INTO few_zarks SELECT g, 1, now() - (20 - g) * interval '1 hour' FROM generate_series(1, 20) g;
INSERT INTO shuffled_zarks SELECT g, 1, now() - (g * 7919 % 20000) * interval '1 hour' FROM generate_series(1, 20000) g;
INSERT INTO runs SELECT g, 1, now() - interval '2 years' FROM generate_series(1, 50) g;
INSERT INTO run_parts SELECT g, 1 + g % 50, now() - g * interval '1 minute' FROM generate_series(1, 1000) g;
ANALYZE`)
	proposes(t, p, "zarks")
	says(t, p, `^#   public.few_zarks: nothing says that its rows are history, and there are only about 20$`,
		`^#   public.shuffled_zarks: nothing says that its rows are history: they are neither written in the order of created_at nor indexed by it$`,
		`^#   public.runs: still in use: the newest rows of public.run_parts came 7[23][0-9] days after the row that they reference$`)
}

// Where no column says when a row was made, its key may. Random and serial keys do not.
func TestAgesOfKeys(t *testing.T) {
	t.Parallel()
	p := read(t, `
CREATE TABLE tenants (id int PRIMARY KEY);
CREATE TABLE emails (id uuid PRIMARY KEY, tenant_id int NOT NULL REFERENCES tenants);
CREATE TABLE messages (id char(26) PRIMARY KEY, tenant_id int NOT NULL REFERENCES tenants);
CREATE TABLE audit_logs (id uuid PRIMARY KEY, tenant_id int NOT NULL REFERENCES tenants);
CREATE TABLE events (id bigint PRIMARY KEY, tenant_id int NOT NULL REFERENCES tenants);
CREATE TABLE notifications (id bigint PRIMARY KEY, tenant_id int NOT NULL REFERENCES tenants);
CREATE TABLE deliveries (id uuid PRIMARY KEY, tenant_id int NOT NULL REFERENCES tenants);
CREATE TABLE logins (id bigint PRIMARY KEY, tenant_id int NOT NULL REFERENCES tenants);
INSERT INTO tenants VALUES (1);
INSERT INTO emails SELECT (lpad(to_hex(1700000000000 + g), 12, '0') || '70008' || lpad(to_hex(g), 15, '0'))::uuid, 1 FROM generate_series(1, 20) g;
INSERT INTO messages SELECT '01hf7yat00' || lpad(g::text, 16, '0'), 1 FROM generate_series(1, 20) g;
INSERT INTO audit_logs SELECT (lpad(to_hex(1700000000000 + g), 12, '0') || lpad(to_hex(g), 20, '0'))::uuid, 1 FROM generate_series(1, 20) g;
INSERT INTO events SELECT (extract(epoch FROM now() - g * interval '1 day') * 1000 - 1288834974657)::bigint << 22, 1 FROM generate_series(1, 20) g;
INSERT INTO notifications SELECT (extract(epoch FROM now() - g * interval '1 day') * 1000 - 1420070400000)::bigint << 22, 1 FROM generate_series(1, 20) g;
INSERT INTO deliveries SELECT gen_random_uuid(), 1 FROM generate_series(1, 20) g;
INSERT INTO logins SELECT 1000000000 + g, 1 FROM generate_series(1, 20) g`)
	proposes(t, p, "emails", "messages", "audit_logs", "events", "notifications")
	const why = `# no column says when a row was made, but its key does`
	says(t, p, `^    age: \{column: id, unit: uuidv7\} `+why+`$`, `^    age: \{column: id, unit: ulid\} `+why+`$`,
		`^    age: \{column: id, unit: snowflake, epoch: twitter\} `+why+`: check the epoch$`, `^    age: \{column: id, unit: snowflake, epoch: discord\} `+why+`: check the epoch$`,
		`^#   public.deliveries: no column holds a row's age$`, `^#   public.logins: no column holds a row's age$`)
	chosen(t, p)
}

// Names as Rails, Django, Prisma and Laravel create them.
func TestNamesOfFrameworks(t *testing.T) {
	t.Parallel()
	p := read(t, `
CREATE TABLE sentry_organization (id int PRIMARY KEY, slug text UNIQUE);
CREATE TABLE sentry_usermessage (id int PRIMARY KEY, organization_id int NOT NULL REFERENCES sentry_organization, date_added timestamptz NOT NULL);
CREATE TABLE sentry_eventtype (id int PRIMARY KEY, organization_id int NOT NULL REFERENCES sentry_organization, date_added timestamptz NOT NULL);
CREATE TABLE sentry_useremail (id int PRIMARY KEY, organization_id int NOT NULL REFERENCES sentry_organization, email text, date_added timestamptz NOT NULL);
CREATE TABLE django_session (session_key text PRIMARY KEY, session_data text, expire_date timestamptz NOT NULL);
CREATE TABLE django_migrations (id int PRIMARY KEY, applied timestamptz);
CREATE TABLE "TaskRun" (id int PRIMARY KEY, "organizationId" int NOT NULL REFERENCES sentry_organization, "createdAt" timestamp NOT NULL, "completedAt" timestamp);
CREATE TABLE "JobDefinition" (id int PRIMARY KEY, "organizationId" int NOT NULL REFERENCES sentry_organization, "createdAt" timestamp NOT NULL);
CREATE TABLE failed_jobs (id int PRIMARY KEY, uuid text UNIQUE, failed_at timestamp NOT NULL DEFAULT now());
CREATE TABLE personal_access_tokens (id int PRIMARY KEY, created_at timestamp);
CREATE TABLE mm_audits (id text PRIMARY KEY, createat bigint, userid text)`)
	proposes(t, p, "sentry_usermessage", "django_session", "TaskRun", "failed_jobs", "mm_audits")
	says(t, p, `^    age: expire_date$`, `^    age: completedAt$`, `^    age: date_added$`, `^    age: \{column: createat, unit: ms\}$`, `^    tenant: \[organizationId\]$`,
		`^#   public.sentry_useremail: its rows are in use \(addresses, not messages\)$`)
	chosen(t, p)
}

// Several shortest paths are all listed for a person to choose; one that gives every row a
// tenant is preferred.
func TestPaths(t *testing.T) {
	t.Parallel()
	const tables = `
CREATE TABLE tenants (id int PRIMARY KEY);
CREATE TABLE boxes (id int PRIMARY KEY, tenant_id int NOT NULL REFERENCES tenants);
CREATE TABLE events (id int PRIMARY KEY, "Box" int %s REFERENCES boxes, other_id int NOT NULL REFERENCES boxes, at timestamptz NOT NULL)`
	p := read(t, strings.ReplaceAll(tables, "%s", "NOT NULL"))
	says(t, p, `^    tenant: CHOOSE         # whose rows are they\? \[Box, tenant_id\] \| \[other_id, tenant_id\]$`)
	chosen(t, p)
	p = read(t, strings.ReplaceAll(tables, "%s", ""))
	says(t, p, `^    tenant: \[other_id, tenant_id\]   # or \[Box, tenant_id\]$`)
	chosen(t, p)
}

// What one root's policy may delete cannot lie between another root and its tenants.
func TestPathsThatAreCut(t *testing.T) {
	t.Parallel()
	p := read(t, `
CREATE TABLE tenants (id int PRIMARY KEY);
CREATE TABLE runs (id int PRIMARY KEY, tenant_id int NOT NULL REFERENCES tenants, created_at timestamptz NOT NULL);
CREATE TABLE steps (id int PRIMARY KEY, run_id int NOT NULL REFERENCES runs ON DELETE CASCADE);
CREATE TABLE logs (id int PRIMARY KEY, step_id int REFERENCES steps ON DELETE SET NULL, created_at timestamptz NOT NULL)`)
	proposes(t, p, "runs")
	says(t, p, `^#   public.logs: reaches its tenants through rows that are deleted with public.runs$`)
}

// Tables that the role may not read are judged by the catalog alone.
func TestWithoutPrivileges(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t, `
CREATE TABLE tenants (id int PRIMARY KEY);
CREATE TABLE messages (id int PRIMARY KEY, tenant_id int NOT NULL REFERENCES tenants, created_at timestamptz NOT NULL);
CREATE TABLE parts (id int PRIMARY KEY, message_id int NOT NULL REFERENCES messages ON DELETE CASCADE, created_at timestamptz NOT NULL);
INSERT INTO tenants VALUES (1);
INSERT INTO messages VALUES (1, 1, now());
INSERT INTO parts VALUES (1, 1, now())`)
	p, err := starter.Read(t.Context(), pg.Pinned(open(t, db, db.Role(t, "looker"))), "reaper", nil)
	if err != nil {
		t.Fatal(err)
	}
	proposes(t, p, "messages")
}

// A lost connection is an error, not an empty proposal.
func TestNoDatabase(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if p, err := starter.Read(ctx, pg.Pinned(open(t, dbtest.New(t, helpdesk), "postgres")), "reaper", nil); err == nil {
		t.Errorf("read %d roots", len(p.Roots))
	}
}
