package policy_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/reaperdb/reaper/policy"
)

func TestParse(t *testing.T) {
	const file = `version: 1
tenants:
  table: app.organizations
  key: id
  retention: retention_days
  hold: legal_hold
  default: 30d
  min: 1d
  overrides: {"42": forever, 7: 1y6mo}
safety: {foreign_key_checks: proven, synchronous_commit: on, breaker: off, drift: warn, grace: 1w}
policies:
  - name: emails
    table: outgoing_emails
    age: created_at
    tenant: [domain_id, organization_id]
    where: status <> 'queued'
    undecided: keep
    dependents:
      - {table: invoice_lines, action: keep}
      - {table: replies, via: parent_id, action: nullify}
      - {table: attachments, match: {record_id: id}, where: record_type = 'Email', action: delete}
    schedule: "15 */6 * * *"
    heartbeat: https://hc.example/ping
    max_lag: 12h
    triggers: allow
    unindexed: allow
    partitions: delete
    vacuum: never
    breaker: {times: 5}
    grace: none
    limits: {rows: 10, total_rows: 200, bytes: 1MB, time: 1s, pace: 25%}
  - name: runs
    table: '"odd.schema".TaskRun'
    age: {column: at, time_zone: Europe/Paris}
    tenant: runtimeId -> "Run.time".id
    retention: 90d
  - name: visits
    table: visits
    age: {column: 3, unit: ms}
    tenant: none
    retention: 2w
`
	f, err := policy.Parse("reaper.yaml", []byte(file))
	if err != nil {
		t.Fatal(err)
	}
	days := func(n int32, text string) *policy.Duration { return &policy.Duration{Days: n, Text: text} }
	text := func(s string) policy.Text { return policy.Text{Value: s} }
	want := &policy.File{
		Guards: implied(),
		Name:   "reaper.yaml",
		Tenants: &policy.Tenants{
			Table: policy.Table{Schema: "app", Name: "organizations"},
			Key:   text("id"),
			Settings: policy.Settings{
				Retention: policy.Retention{SQL: text("retention_days")},
				Hold:      text("legal_hold"),
				Default:   days(30, "30d"),
				Min:       days(1, "1d"),
				Overrides: []policy.Override{
					{Key: text("42"), Duration: policy.Duration{Forever: true, Text: "forever"}},
					{Key: text("7"), Duration: policy.Duration{Months: 18, Text: "1y6mo"}},
				},
			},
		},
		Safety: policy.Safety{Proven: true, SynchronousCommit: true, WarnsOfDrift: true},
		Policies: []policy.Policy{{
			Name:      "emails",
			Table:     policy.Table{Name: "outgoing_emails"},
			Age:       policy.Age{Column: text("created_at")},
			Tenant:    policy.Path{Steps: []policy.Step{{Column: "domain_id"}, {Column: "organization_id"}}},
			Where:     text("status <> 'queued'"),
			Undecided: policy.Keep,
			Dependents: []policy.Dependent{
				{Table: policy.Table{Name: "invoice_lines"}, Action: policy.Keep},
				{Table: policy.Table{Name: "replies"}, Via: []policy.Text{text("parent_id")}, Action: policy.Nullify},
				{
					Table: policy.Table{Name: "attachments"}, Match: []policy.Match{{Theirs: "record_id", Ours: "id"}},
					Where: text("record_type = 'Email'"), Action: policy.Delete,
				},
			},
			Schedule:       text("15 */6 * * *"),
			Heartbeat:      policy.Heartbeat{URL: "https://hc.example/ping"},
			MaxLag:         &policy.Duration{Micros: 12 * time.Hour.Microseconds(), Text: "12h"},
			AllowTriggers:  true,
			AllowUnindexed: true,
			KeepPartitions: true,
			Vacuum:         policy.VacuumNever,
			Breaker:        policy.Breaker{Times: 5, Share: 0.5},
			Limits:         policy.Limits{Rows: 10, TotalRows: 200, Bytes: 1 << 20, Time: time.Second, Pace: 0.25},
		}, {
			Name:  "runs",
			Table: policy.Table{Schema: "odd.schema", Name: "TaskRun"},
			Age:   policy.Age{Column: text("at"), TimeZone: text("Europe/Paris")},
			Tenant: policy.Path{Steps: []policy.Step{
				{Column: "runtimeId", Table: policy.Table{Name: "Run.time"}, ToColumn: "id"},
			}},
			Settings: policy.Settings{Retention: policy.Retention{Duration: days(90, "90d")}},
			Grace:    days(7, "1w"),
			Vacuum:   policy.VacuumAuto,
			Breaker:  policy.Breaker{},
			Limits:   policy.DefaultLimits,
		}, {
			Name:     "visits",
			Table:    policy.Table{Name: "visits"},
			Age:      policy.Age{Column: text("3"), Unit: policy.UnitMilliseconds},
			Tenant:   policy.Path{None: true},
			Settings: policy.Settings{Retention: policy.Retention{Duration: days(14, "2w")}},
			Grace:    days(7, "1w"),
			Vacuum:   policy.VacuumAuto,
			Breaker:  policy.Breaker{},
			Limits:   policy.DefaultLimits,
		}},
	}
	if diff := cmp.Diff(want, f, cmpopts.IgnoreTypes(policy.Pos{})); diff != "" {
		t.Error(diff)
	}
}

// Later stages need positions for their messages.
func TestPositions(t *testing.T) {
	const file = `version: 1
tenants:
  query: |
    SELECT id, days FROM orgs;
  key: org
policies:
  - name: a
    table: t
    age: {column: at, unit: s}
    tenant: [b, c -> D.e]
    dependents:
    - table: u
      via: [x, y]
      action: keep
`
	f, err := policy.Parse("f", []byte(file))
	if err != nil {
		t.Fatal(err)
	}
	p := f.Policies[0]
	got := map[string]policy.Pos{
		"tenants": f.Tenants.Pos, "query": f.Tenants.Query.Pos, "key": f.Tenants.Key.Pos,
		"policy": p.Pos, "table": p.Table.Pos, "column": p.Age.Column.Pos, "unit": p.Age.UnitPos,
		"tenant": p.Tenant.Pos, "step": p.Tenant.Steps[1].Pos,
		"dependent": p.Dependents[0].Pos, "via": p.Dependents[0].Via[1].Pos,
	}
	want := map[string]policy.Pos{
		"tenants": {3, 3}, "query": {3, 10}, "key": {5, 8},
		"policy": {7, 5}, "table": {8, 12}, "column": {9, 19}, "unit": {9, 29},
		"tenant": {10, 13}, "step": {10, 17},
		"dependent": {12, 7}, "via": {13, 16},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if got, want := f.Tenants.Query.Value, "SELECT id, days FROM orgs"; got != want {
		t.Errorf("query is %q, want %q", got, want)
	}
}

// Unusual forms with the same meaning.
func TestParseForms(t *testing.T) {
	const plain = "version: 1\npolicies:\n- name: a\n  table: t\n  age: at\n  tenant: none\n  retention: 1d\n"
	want, err := policy.Parse("f", []byte(plain))
	if err != nil {
		t.Fatal(err)
	}
	for name, file := range map[string]string{
		"flow":             `{version: 1, policies: [{name: a, table: t, age: at, tenant: none, retention: 1d}]}`,
		"json":             `{"version":1,"policies":[{"name":"a","table":"t","age":"at","tenant":"none","retention":"1d"}]}`,
		"byte order mark":  "\ufeff" + plain,
		"document markers": "---\n" + plain + "...\n",
		"line ends":        "version: 1\r\npolicies:\r\n- name: a\r\n  table: t\r\n  age: at\r\n  tenant: none\r\n  retention: 1d\r\n",
		"comments":         "# one\nversion: 1 # two\n\npolicies: # three\n- name: a\t# four\n  table: t\n  # five\n  age: at\n  tenant: none\n  retention: 1d\n# six\n",
		"quoted names":     "version: 1\npolicies:\n- name: a\n  table: '\"t\"'\n  age: '\"at\"'\n  tenant: none\n  retention: 1d\n",
		"unneeded tenants": "version: 1\ntenants: {table: o, key: id}\npolicies:\n- name: a\n  table: t\n  age: at\n  tenant: none\n  retention: 1d\n",
		"spelled defaults": plain + "  undecided: error\n  triggers: error\n  unindexed: error\n  vacuum: auto\n  partitions: drop\n  limits: {pace: full}\n  dependents: []\n  overrides: {}\n",
	} {
		got, err := policy.Parse("f", []byte(file))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(want, got, cmpopts.IgnoreTypes(policy.Pos{}), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestExamples(t *testing.T) {
	for _, path := range exampleFiles(t) {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := policy.Parse(path, data); err != nil {
			t.Error(err)
		}
	}
}

func exampleFiles(t *testing.T) []string {
	t.Helper()
	paths, err := filepath.Glob("../examples/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if len(paths) < 6 {
		t.Fatalf("%d examples found, want at least 6", len(paths))
	}
	return paths
}
