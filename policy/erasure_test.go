package policy_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/reaperdb/reaper/policy"
)

// inErasure places a line at 10:3.
func inErasure(line string) string { return head + tail + "erasure:\n  " + line + "\n" }

var erasureMistakes = []mistake{
	{file: none + "  retention: 1d\nerasure: {}\n", at: "8:10", words: "needs tenants|add a tenants section"},
	{file: byQuery("default: 1d") + "erasure: {}\n", at: "9:10", words: "tenants.query|no foreign keys|by table and key"},
	{file: inErasure("whenn: true"), at: "10:3", words: "unknown key|when", shape: true},
	{file: inErasure("undecided: delete"), at: "10:14", words: "one of error", shape: true},
	{file: inErasure("tenant_row: keep"), at: "10:15", words: "delete, redact", shape: true},
	{file: inErasure("tenant_row: redact"), at: "10:3", words: "nothing says what to overwrite|add redact"},
	{file: inErasure(`redact: {name: "NULL"}`), at: "10:12", words: "without tenant_row: redact", shape: true},
	{file: inErasure("leftovers: keep"), at: "10:14", words: "delete, report", shape: true},
	{file: inErasure("wait: forever"), at: "10:9", words: "nothing would ever be erased"},
	{file: inErasure("wait: 10"), at: "10:9", words: "no unit", shape: true},
	{file: inErasure("breaker: {tenants: 0}"), at: "10:22", words: "whole number from 1 on", shape: true},
	{file: inErasure("breaker: none"), at: "10:12", words: "write off, or {tenants: 3}", shape: true},
	{file: inErasure("when: SELECT 1"), at: "10:9", words: "keyword SELECT"},
	{file: inErasure("global: plans"), at: "10:11", words: "must be a list", shape: true},
	{file: inErasure("tables: [{owner: a}]"), at: "10:12", words: "no table", shape: true},
	{file: inErasure("tables: [{table: a, action: nullify}]"), at: "10:31", words: "delete, keep, redact", shape: true},
	{file: inErasure("tables: [{table: a, owner: []}]"), at: "10:30", words: "empty list", shape: true},
	{file: inErasure("tables: [{table: a, owner: 'a.b; c'}]"), at: "10:30", words: "semicolon"},
	{file: inErasure("tables: [{table: a, where: b}]"), at: "10:30", words: "where without owner", shape: true},
	{file: inErasure("tables: [{table: a, action: keep, reason: law}]"), at: "10:12", words: "for how long|for: forever"},
	{file: inErasure("tables: [{table: a, action: keep, for: 1y, reason: law}]"), at: "10:42", words: "for without age"},
	{file: inErasure("tables: [{table: a, action: keep, for: forever, age: b, reason: law}]"), at: "10:56", words: "remove age"},
	{file: inErasure("tables: [{table: a, action: keep, for: 0d, age: b, reason: law}]"), at: "10:42", words: "for is zero"},
	{file: inErasure("tables: [{table: a, action: keep, for: 1y, age: b}]"), at: "10:12", words: "no reason"},
	{file: inErasure("tables: [{table: a, action: keep, for: 1y, age: {column: b, unit: snowflake, epoch: twitter}, reason: law}]"), at: "10:69", words: "column of a time|s, ms or us"},
	{file: inErasure("tables: [{table: a, action: keep, for: 1y, age: {sql: b}, reason: law}]"), at: "10:57", words: "column of a time"},
	{file: inErasure("tables: [{table: a, for: 1y, age: b}]"), at: "10:12", words: "action: keep"},
	{file: inErasure("tables: [{table: a, age: b}]"), at: "10:12", words: "action: keep", shape: true},
	{file: inErasure("tables: [{table: a, action: redact}]"), at: "10:12", words: "add set"},
	{file: inErasure(`tables: [{table: a, set: {b: "NULL"}}]`), at: "10:29", words: "action: redact"},
	{file: inErasure("tables: [{table: a, action: redact, set: {}}]"), at: "10:44", words: "write {column: SQL}", shape: true},
	{file: inErasure("tables: [{table: a, action: redact, set: {b: NULL}}]"), at: "10:45", words: `write "NULL", in quotes`, shape: true},
	{file: inErasure("tables: [{table: a}, {table: a}]"), at: "10:24", words: "already listed on line 10"},
	{file: inErasure("tables: [{table: a, owner: b}, {table: a, owner: c, action: keep}]"), at: "10:34", words: "one action"},
	{file: inErasure("tables: [{table: a, owner: b}]\n  global: [a]"), at: "11:12", words: "global and has an entry on line 10"},
	{file: head + "policies:\n- {name: erasure, table: t, age: at}\nerasure: {}\n", at: "6:3", words: "another name"},
}

// TestErasure reads a whole section.
func TestErasure(t *testing.T) {
	t.Parallel()
	f, err := policy.Parse("reaper.yaml", []byte(head+tail+`erasure:
  when: closed_at < now() - interval '30 days'
  undecided: error
  tables:
    - {table: invoices, action: keep, for: 10y, age: issued_at, reason: tax law}
    - {table: audit_log, action: redact, set: {ip: "NULL", n: 0}}
    - {table: jobs, owner: "args->>'org_id'"}
    - {table: files, owner: [record_id -> users.id, org_id], where: "type = 'User'"}
    - {table: files, owner: none, where: "type = 'Plan'"}
  global: [plans, "audit.*"]
  tenant_row: redact
  redact: {name: "'erased'"}
  breaker: off
`))
	if err != nil {
		t.Fatal(err)
	}
	e := f.Erasure
	path := policy.Path{Steps: []policy.Step{{Column: "record_id", Table: policy.Table{Name: "users"}, ToColumn: "id"}, {Column: "org_id"}}}
	want := &policy.Erasure{
		When: policy.Text{Value: "closed_at < now() - interval '30 days'"},
		Tables: []policy.ErasureTable{
			{Table: policy.Table{Name: "invoices"}, Action: policy.Keep, For: &policy.Duration{Months: 120, Text: "10y"}, Age: policy.Age{Column: policy.Text{Value: "issued_at"}}, Reason: "tax law"},
			{Table: policy.Table{Name: "audit_log"}, Action: policy.Redact, Set: []policy.Assignment{
				{Column: policy.Text{Value: "ip"}, SQL: policy.Text{Value: "NULL"}}, {Column: policy.Text{Value: "n"}, SQL: policy.Text{Value: "0"}},
			}},
			{Table: policy.Table{Name: "jobs"}, Action: policy.Delete, Owner: policy.Owner{SQL: policy.Text{Value: "args->>'org_id'"}}},
			{Table: policy.Table{Name: "files"}, Action: policy.Delete, Owner: policy.Owner{Path: path}, Where: policy.Text{Value: "type = 'User'"}},
			{Table: policy.Table{Name: "files"}, Action: policy.Delete, Owner: policy.Owner{Nobody: true}, Where: policy.Text{Value: "type = 'Plan'"}},
		},
		Global:    []policy.Table{{Name: "plans"}, {Schema: "audit", Name: "*"}},
		TenantRow: policy.Redact, Redact: []policy.Assignment{{Column: policy.Text{Value: "name"}, SQL: policy.Text{Value: "'erased'"}}},
		Wait: policy.DefaultWait, Limits: policy.DefaultLimits,
	}
	if diff := cmp.Diff(want, e, cmpopts.IgnoreTypes(policy.Pos{}), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
