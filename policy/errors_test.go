package policy_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/reaperdb/reaper/policy"
)

// A mistake is a file with one mistake.
type mistake struct {
	file  string
	at    string // line:column
	words string // parts of the message, separated by |
	// shape means that the JSON Schema refuses the file too.
	shape bool
}

const (
	// head is lines 1 to 4, followed by more keys of tenants.
	head = "version: 1\ntenants:\n  table: orgs\n  key: id\n"
	// tail is a policy that goes with head.
	tail = "policies:\n- name: a\n  table: t\n  age: at\n"
	// none is lines 1 to 6, followed by more keys of the policy.
	none = "version: 1\npolicies:\n- name: a\n  table: t\n  age: at\n  tenant: none\n"
)

// inTenants places a line at 5:3, inPolicy at 9:3.
func inTenants(line string) string { return head + "  " + line + "\n" + tail }
func inPolicy(line string) string  { return head + tail + "  " + line + "\n" }

func inNone(line string) string { return none + "  " + line + "\n" }

func byQuery(line string) string {
	return "version: 1\ntenants:\n  query: SELECT 1, 2\n  " + line + "\n" + tail
}

// secret marks text that a message must not repeat.
const secret = "hunter2"

var mistakes = slices.Concat(guardMistakes, archiveMistakes, erasureMistakes, []mistake{
	// The file as a whole.
	{file: "", at: "1:1", words: "empty|version: 1"},
	{file: "\n# nothing\n", at: "1:1", words: "empty"},
	{file: "---\n", at: "1:1", words: "empty"},
	{file: "just text\n", at: "1:1", words: "must be a mapping, not text", shape: true},
	{file: "- version: 1\n", at: "1:1", words: "must be a mapping, not a list", shape: true},
	{file: tail, at: "1:1", words: "version is missing|version: 1", shape: true},
	{file: "version: 2\n", at: "1:10", words: "number 1|version: 1", shape: true},
	{file: "policies: []\nversion: '1'\n", at: "2:10", words: "number 1", shape: true},
	{file: "version:\n", at: "1:1", words: "number 1", shape: true},
	{file: "version: 1\n", at: "1:1", words: "no policies|add", shape: true},
	{file: "version: 1\npolicies:\n", at: "2:1", words: "policies has no value", shape: true},
	{file: "version: 1\npolicies: []\n", at: "2:11", words: "policies is an empty list|one entry", shape: true},
	{file: "version: 1\npolicies: {name: a}\n", at: "2:11", words: "must be a list, not a mapping|dash", shape: true},
	{file: "version: 1\npolicies: [a]\n", at: "2:12", words: "entry of policies must be a mapping", shape: true},
	{file: inNone("retention: 1d") + "---\nversion: 1\n", at: "8:1", words: "second YAML document"},
	{file: inNone("retention: 1d") + "---\n", at: "8:1", words: "second YAML document"},
	{file: "%YAML 1.2\n---\nversion: 1\n", at: "1:1", words: "directive|remove"},
	{file: "version: 1\n\xff: x\n", at: "2:1", words: "UTF-8"},
	{file: "version: 1\n# é\xc3\n", at: "2:4", words: "UTF-8"},
	{file: "version: 1\na\x00b: x\n", at: "2:2", words: "NUL character"},
	{file: inPolicy(`where: "a\0b"`), at: "9:10", words: "NUL character"},

	// YAML.
	{file: "version: 1\ntenants:\n\ttable: orgs\n", at: "3:1", words: "tab|spaces"},
	{file: "version: 1\ntenants:\n  table: orgs\n \tkey: id\n", at: "4:2", words: "tab|spaces"},
	{file: inPolicy("where: a\tor b"), at: "9:10", words: "tab|quote"},
	{file: inPolicy("tab\tle: b"), at: "9:3", words: "tab|quote"},
	{file: inPolicy("where: 'a"), at: "9:10", words: "not valid YAML|quote"},
	{file: inPolicy("via: [a, b"), at: "9:8", words: "not valid YAML|bracket"},
	{file: inPolicy("retention: 30d\n    min: 1d"), at: "9:14", words: "not valid YAML|indentation"},
	{file: inPolicy("where: &a x"), at: "9:10", words: "anchor|write the value out"},
	{file: inPolicy("where: *a"), at: "9:10", words: "alias|quote"},
	{file: inPolicy("<<: {a: b}"), at: "9:3", words: "merge key"},
	{file: inPolicy("where: !!str x"), at: "9:10", words: "tag"},
	{file: inPolicy("? where\n  : x"), at: "9:3", words: "keys that begin with ?"},
	{file: "version: 1\npolicies: " + strings.Repeat("[", 100000), at: "2:61", words: "nested too deeply"},
	{file: "version: 1\npolicies:\n" + strings.Repeat("- ", 100000), at: "3:501", words: "nested too deeply"},
	{file: inPolicy("where: x\n  where: y"), at: "10:3", words: `"where" appears twice|line 9|remove`},
	{file: inTenants("overrides: {42: 1d, \"42\": 2d}"), at: "5:23", words: `"42" appears twice`},

	// Keys.
	{file: inPolicy("retenton: 1d"), at: "9:3", words: `"retenton"|did you mean retention?`, shape: true},
	{file: inPolicy("dependants: []"), at: "9:3", words: "did you mean dependents?", shape: true},
	{file: inPolicy("colour: red"), at: "9:3", words: `"colour"|the keys here are name, table, age`, shape: true},
	{file: inPolicy("limits: {row: 1}"), at: "9:12", words: "in limits|did you mean rows?", shape: true},
	{file: inPolicy("42: x"), at: "9:3", words: `unknown key "42"`, shape: true},
	{file: inTenants("tabel: x"), at: "5:3", words: "did you mean table?", shape: true},
	{file: inPolicy("dependents: [{tabel: x}]"), at: "9:17", words: "did you mean table?", shape: true},
	{file: "version: 1\nsafety: {checks: proven}\n" + tail, at: "2:10", words: "in safety|foreign_key_checks", shape: true},
	{file: "version: 1\nsafety: {foreign_key_checks: none}\n" + tail, at: "2:30", words: "ordinary, proven", shape: true},
	{file: "version: 1\nsafety: {drift: no}\n" + tail, at: "2:17", words: "refuse, warn", shape: true},
	{file: "version: 1\nsafety: {breaker: on}\n" + tail, at: "2:19", words: "write off, or {times: 20, share: 50%}", shape: true},
	{file: "version: 1\nsafety: {breaker: {times: 1}}\n" + tail, at: "2:27", words: "whole number above 1", shape: true},
	{file: "version: 1\nsafety: {breaker: {share: 101%}}\n" + tail, at: "2:27", words: "whole percentage from 1% to 100%", shape: true},
	{file: "version: 1\nsafety: {breaker: {share: 0.5}}\n" + tail, at: "2:27", words: "share", shape: true},
	{file: "version: 1\nsafety: {grace: forever}\n" + tail, at: "2:17", words: "grace is forever: no shorter retention would ever count|none", shape: true},
	{file: "version: 1\nsafety: {grace: 7}\n" + tail, at: "2:17", words: "write 7d", shape: true},
	{file: "version: 1\nsafety: {grace: off}\n" + tail, at: "2:17", words: "duration", shape: true},
	{file: inPolicy("grace: 0d"), at: "9:10", words: "grace is 0d|above zero|none"},
	{file: inPolicy("grace: forever"), at: "9:10", words: "grace is forever", shape: true},
	{file: "version: 1\nsafety: {synchronous_commit: false}\n" + tail, at: "2:30", words: "on, off", shape: true},
	{file: inPolicy("where:"), at: "9:3", words: "where has no value|remove", shape: true},
	{file: inPolicy("where: ~"), at: "9:3", words: "where has no value", shape: true},
	{file: inPolicy("where: ''"), at: "9:10", words: "where is empty", shape: true},
	{file: inPolicy("where: true"), at: "9:10", words: "SQL|not true or false|quoted", shape: true},
	{file: inPolicy("hold: [a]"), at: "9:9", words: "SQL|not a list", shape: true},
	{file: inPolicy("limits: 5"), at: "9:11", words: "limits must be a mapping", shape: true},

	// Policies and names.
	{file: "version: 1\npolicies:\n- table: t\n  age: at\n", at: "3:3", words: "no name|add the key", shape: true},
	{file: "version: 1\npolicies:\n- name: a\n  age: at\n", at: "3:3", words: "no table", shape: true},
	{file: "version: 1\npolicies:\n- name: a\n  table: t\n", at: "3:3", words: "no age", shape: true},
	{file: "version: 1\npolicies: [{name: a, table: t}]\n", at: "2:12", words: "no age", shape: true},
	{file: "version: 1\npolicies:\n- name: A_b\n", at: "3:9", words: `"A_b"|a-z, 0-9`, shape: true},
	{file: "version: 1\npolicies:\n- name: ''\n", at: "3:9", words: "name is empty", shape: true},
	{file: head + tail + "- name: a\n  table: u\n  age: at\n", at: "9:9", words: "policy a|line 6|another name"},
	{file: tail + "version: 1", at: "2:3", words: "policy a needs tenants|tenant: none"},
	{file: "version: 1\npolicies:\n- name: a\n  table: 42\n", at: "4:10", words: "table's name, not a number", shape: true},
	{file: "version: 1\npolicies:\n- name: a\n  table: a.b.c\n", at: "4:10", words: "3 parts|schema.table"},
	{file: "version: 1\npolicies:\n- name: a\n  table: a..c\n", at: "4:10", words: "part is empty"},
	{file: "version: 1\npolicies:\n- name: a\n  table: '\"a'\n", at: "4:10", words: "never closed"},
	{file: "version: 1\npolicies:\n- name: a\n  table: '\"a\"b'\n", at: "4:10", words: "after the closing double quote"},
	{file: "version: 1\npolicies:\n- name: a\n  table: 'a\"b'\n", at: "4:10", words: "inside a bare part"},
	{file: "version: 1\npolicies:\n- name: a\n  table: '\"\"'\n", at: "4:10", words: "part is empty"},
	{file: "version: 1\npolicies:\n- name: a\n  table: 'a. b'\n", at: "4:10", words: "spaces"},

	// Age.
	{file: "version: 1\npolicies:\n- name: a\n  table: t\n  age: x.y\n", at: "5:8", words: "contains a dot|double quotes"},
	{file: "version: 1\npolicies:\n- name: a\n  table: t\n  age: [x]\n", at: "5:8", words: "column's name, not a list", shape: true},
	{file: "version: 1\npolicies:\n- name: a\n  table: t\n  age: {unit: s}\n", at: "5:8", words: "age has no column", shape: true},
	{file: "version: 1\npolicies:\n- name: a\n  table: t\n  age: {column: x, unit: min}\n", at: "5:26", words: `"min"|s, ms, us`, shape: true},
	{file: inAge("sql: x, column: y"), at: "5:14", words: "column and sql|remove one", shape: true},
	{file: inAge("sql: x, unit: ms"), at: "5:23", words: "sql and unit|remove it", shape: true},
	{file: inAge("sql: x, time_zone: UTC"), at: "5:28", words: "sql and time_zone|remove it", shape: true},
	{file: inAge("sql: 'x; y'"), at: "5:14", words: "a semicolon"},
	{file: inAge("column: x, unit: snowflake"), at: "5:26", words: "no epoch|add epoch", shape: true},
	{file: inAge("column: x, unit: ulid, epoch: 0"), at: "5:39", words: "epoch is for unit: snowflake", shape: true},
	{file: inAge("column: x, bits: 22"), at: "5:26", words: "bits is for unit: snowflake", shape: true},
	{file: inAge("column: x, unit: snowflake, epoch: 2020-01-01"), at: "5:44", words: "epoch must be|2020-01-01T00:00:00Z", shape: true},
	{file: inAge("column: x, unit: snowflake, epoch: -1"), at: "5:44", words: "epoch must be", shape: true},
	{file: inAge("column: x, unit: snowflake, epoch: 0, bits: 24"), at: "5:53", words: "bits must be a whole number from 1 to 23", shape: true},
	{file: "version: 1\npolicies:\n- name: a\n  table: t\n  age: {column: x, time_zone: ''}\n", at: "5:31", words: "time_zone is empty", shape: true},
	{file: "version: 1\npolicies:\n- name: a\n  table: t\n  age: {column: x, unit: s, time_zone: UTC}\n", at: "5:40", words: "unit and time_zone|remove one", shape: true},

	// Durations.
	{file: inPolicy("retention: 30"), at: "9:14", words: "30 has no unit|write 30d", shape: true},
	{file: inPolicy(`retention: "30"`), at: "9:14", words: "30 has no unit|write 30d", shape: true},
	{file: inPolicy("retention: 1mo30x"), at: "9:14", words: `"1mo30x"|unknown unit "x"|90d`},
	{file: inPolicy("retention: 1mo30"), at: "9:14", words: `30 has no unit`},
	{file: inPolicy("retention: 1d1d"), at: "9:14", words: "unit d twice"},
	{file: inPolicy("retention: 1y 6mo"), at: "9:14", words: "a space"},
	{file: inPolicy("retention: 30 days"), at: "9:14", words: `unknown unit " days"|90d`},
	{file: inPolicy("retention: -30d"), at: "9:14", words: "whole number"},
	{file: inPolicy("retention: +1"), at: "9:14", words: "whole number", shape: true},
	{file: inPolicy("retention: 1.5"), at: "9:14", words: "1.5 is not a duration", shape: true},
	{file: inPolicy("retention: '.5d'"), at: "9:14", words: "whole number"},
	{file: inPolicy("retention: Forever"), at: "9:14", words: "write forever, exactly"},
	{file: inPolicy("retention: 200000000y"), at: "9:14", words: "longer than an interval"},
	{file: inPolicy("retention: 99999999999999999999d"), at: "9:14", words: "too large"},
	{file: inPolicy("retention: 9999999999999999h"), at: "9:14", words: "longer than an interval"},
	{file: inPolicy("retention: 0d"), at: "9:14", words: "retention is zero|forever"},
	{file: inTenants("retention: 0d"), at: "5:14", words: "retention is zero|forever"},
	{file: inPolicy("retention: true"), at: "9:14", words: "not true or false", shape: true},
	{file: inPolicy("default: 30"), at: "9:12", words: "write 30d", shape: true},
	{file: inPolicy("default: retention_days"), at: "9:12", words: "duration|90d", shape: true},
	{file: inPolicy("default: 0d"), at: "9:12", words: "default is zero"},
	{file: inPolicy("default: {a: b}"), at: "9:12", words: "a duration, like 90d, not a mapping", shape: true},
	{file: inPolicy("min: 1.5"), at: "9:8", words: "1.5 is not a duration", shape: true},
	{file: inPolicy("min: 0h"), at: "9:8", words: "min is zero"},
	{file: inPolicy("min: forever"), at: "9:8", words: "min is forever"},
	{file: inPolicy("max_lag: 12"), at: "9:12", words: "write 12d", shape: true},
	{file: inPolicy("max_lag: 0s"), at: "9:12", words: "max_lag is 0s|remove"},
	{file: inPolicy("max_lag: forever"), at: "9:12", words: "max_lag is forever"},
	{file: inTenants("default: 1d\n  min: 2d"), at: "5:12", words: "default 1d is shorter than min 2d|line 6"},
	{file: inTenants("default: 27d\n  min: 1mo"), at: "5:12", words: "shorter"},
	{file: inTenants("default: 364d\n  min: 1y"), at: "5:12", words: "shorter"},
	{file: inTenants("default: 11mo\n  min: 12mo"), at: "5:12", words: "shorter"},
	{file: inTenants("default: 23h\n  min: 1d"), at: "5:12", words: "shorter"},
	{file: head + "  min: 2d\n" + tail + "  default: 1d\n", at: "10:12", words: "default 1d is shorter than min 2d|line 5"},
	{file: head + "  default: 1d\n" + tail + "  min: 2d\n", at: "10:8", words: "min 2d is longer than the tenants' default 1d|line 5"},
	{file: inNone("default: 1d\n  min: 2d"), at: "7:12", words: "shorter"},

	// Overrides.
	{file: inPolicy("overrides: [a]"), at: "9:14", words: "must be a mapping", shape: true},
	{file: inPolicy("overrides: {42: 30}"), at: "9:19", words: "write 30d", shape: true},
	{file: inPolicy("overrides: {42: 0d}"), at: "9:19", words: "override is zero"},
	{file: inPolicy("overrides: {42: days}"), at: "9:19", words: `overrides: "42"|90d`, shape: true},
	{file: inPolicy("overrides: {42: }"), at: "9:15", words: `"42" has no value`, shape: true},
	{file: inPolicy("overrides: {true: 1d}"), at: "9:15", words: "true or false|quotes"},
	{file: inPolicy("overrides: {1.5: 1d}"), at: "9:15", words: "quotes"},
	{file: inPolicy("overrides: {'': 1d}"), at: "9:15", words: "key is empty"},

	// Tenants.
	{file: "version: 1\ntenants: {}\n" + tail, at: "2:10", words: "neither table nor query", shape: true},
	{file: "version: 1\ntenants:\n  default: 1d\n" + tail, at: "3:3", words: "neither table nor query", shape: true},
	{file: "version: 1\ntenants:\n  table: o\n  query: SELECT 1\n  key: id\n" + tail, at: "4:10", words: "table and a query|remove one", shape: true},
	{file: "version: 1\ntenants:\n  table: o\n" + tail, at: "3:10", words: "no key|add key", shape: true},
	{file: byQuery("retention: 90d"), at: "4:14", words: "together with a query|second column", shape: true},
	{file: byQuery("retention: days"), at: "4:14", words: "together with a query", shape: true},
	{file: byQuery("hold: held"), at: "4:9", words: "together with a query|third column", shape: true},
	{file: byQuery("key: a.b"), at: "4:8", words: "contains a dot"},
	{file: byQuery("min: 1d") + "  retention: days\n", at: "9:14", words: "tenants is a query|write a duration"},
	{file: byQuery("min: 1d") + "  hold: held\n", at: "9:9", words: "tenants is a query|third column"},
	{file: "version: 1\ntenants:\n  query: DELETE FROM x\n" + tail, at: "3:10", words: "must begin with SELECT"},
	{file: "version: 1\ntenants:\n  query: SELECT 1; SELECT 2\n" + tail, at: "3:10", words: "semicolon inside"},
	{file: "version: 1\ntenants:\n  query: SELECT 1;;\n" + tail, at: "3:10", words: "semicolon inside"},
	{file: "version: 1\ntenants:\n  query: ;\n" + tail, at: "3:10", words: "query is empty"},
	{file: "version: 1\ntenants:\n  query: |\n    SELECT 1 -- one\n" + tail, at: "3:10", words: "comment"},
	{file: "version: 1\ntenants:\n  query: SELECT $1\n" + tail, at: "3:10", words: "parameter ($1)"},

	// tenant: none and paths.
	{file: inNone("retention: days"), at: "7:14", words: "retention is SQL|no tenants' table|write a duration"},
	{file: inNone("hold: held"), at: "7:9", words: "hold|no tenants' table|where"},
	{file: inNone("retention: 1d\n  overrides: {42: 1d}"), at: "8:15", words: "overrides|no tenants' table"},
	{file: none, at: "6:11", words: "no retention of its own|add retention"},
	{file: head + "  default: 1d\n" + tail + "  tenant: none\n", at: "10:11", words: "no retention of its own"},
	{file: inPolicy("tenant: []"), at: "9:11", words: "empty list", shape: true},
	{file: inPolicy("tenant: {a: b}"), at: "9:11", words: "not a mapping", shape: true},
	{file: inPolicy("tenant: [a, [b]]"), at: "9:15", words: "not a list", shape: true},
	{file: inPolicy("tenant: [a, ~]"), at: "9:15", words: "not nothing", shape: true},
	{file: inPolicy("tenant: [a, b.c]"), at: "9:15", words: "contains a dot"},
	{file: inPolicy("tenant: a -> b"), at: "9:11", words: "column -> Table.column"},
	{file: inPolicy("tenant: a -> b.c.d.e"), at: "9:11", words: "column -> Table.column"},
	{file: inPolicy("tenant: a ->"), at: "9:11", words: "part is empty"},
	{file: inPolicy("tenant: a -> b.c -> d.e"), at: "9:11", words: "arrow"},

	// Dependents and choices.
	{file: inPolicy("dependents: {table: x}"), at: "9:15", words: "must be a list", shape: true},
	{file: inPolicy("dependents: [{table: x}]"), at: "9:16", words: "no action", shape: true},
	{file: inPolicy("dependents: [{action: keep}]"), at: "9:16", words: "no table", shape: true},
	{file: inPolicy("dependents: [{table: x, action: drop}]"), at: "9:35", words: `"drop"|delete, nullify, keep`, shape: true},
	{file: inPolicy("dependents: [{table: x, action: keep, where: a}]"), at: "9:48", words: "without match|add match", shape: true},
	{file: inPolicy("dependents: [{table: x, action: keep, via: a, match: {b: c}}]"), at: "9:46", words: "via together with match|remove one", shape: true},
	{file: inPolicy("dependents: [{table: x, action: keep, via: []}]"), at: "9:46", words: "empty list", shape: true},
	{file: inPolicy("dependents: [{table: x, action: keep, via: [a, a]}]"), at: "9:50", words: "a twice"},
	{file: inPolicy("dependents: [{table: x, action: keep, match: {}}]"), at: "9:48", words: "pairs of columns", shape: true},
	{file: inPolicy("dependents: [{table: x, action: keep, match: a}]"), at: "9:48", words: "pairs of columns", shape: true},
	{file: inPolicy("dependents: [{table: x, action: keep, match: {a: }}]"), at: "9:49", words: "no column of ours", shape: true},
	{file: inPolicy("dependents: [{table: x, action: keep, match: {a: b.c}}]"), at: "9:52", words: "contains a dot"},
	{file: inPolicy("dependents: [{table: x, action: keep}, {table: x, action: delete}]"), at: "9:42", words: "dependent x|line 9"},
	{file: inPolicy("undecided: nullify"), at: "9:14", words: "error, delete, keep", shape: true},
	{file: inPolicy("partitions: keep"), at: "9:15", words: "drop, delete", shape: true},
	{file: inPolicy("triggers: delete"), at: "9:13", words: "error, allow", shape: true},
	{file: inPolicy("unindexed: true"), at: "9:14", words: "one of error, allow, not true or false", shape: true},
	{file: inPolicy("vacuum: full"), at: "9:11", words: `"full"|auto, always, never`, shape: true},
	{file: inPolicy("vacuum: false"), at: "9:11", words: "one of auto, always, never, not true or false", shape: true},

	// Limits.
	{file: inPolicy("limits: {rows: 0}"), at: "9:18", words: "from 1", shape: true},
	{file: inPolicy("limits: {rows: -1}"), at: "9:18", words: "from 1", shape: true},
	{file: inPolicy("limits: {rows: ten}"), at: "9:18", words: "from 1", shape: true},
	{file: inPolicy("limits: {total_rows: 3000000000}"), at: "9:24", words: "from 1", shape: true},
	{file: inPolicy("limits: {bytes: 64}"), at: "9:19", words: "64 has no unit|64MB", shape: true},
	{file: inPolicy("limits: {bytes: 0MB}"), at: "9:19", words: "is zero", shape: true},
	{file: inPolicy("limits: {bytes: 1.5MB}"), at: "9:19", words: "whole number", shape: true},
	{file: inPolicy("limits: {bytes: 64mb}"), at: "9:19", words: "KB, MB", shape: true},
	{file: inPolicy("limits: {bytes: 9999999999TB}"), at: "9:19", words: "too large"},
	{file: inPolicy("limits: {time: 200}"), at: "9:18", words: "200 has no unit|200ms", shape: true},
	{file: inPolicy("limits: {time: 0ms}"), at: "9:18", words: "is zero", shape: true},
	{file: inPolicy("limits: {time: 1h}"), at: "9:18", words: "ms, s, m", shape: true},
	{file: inPolicy("limits: {pace: 25}"), at: "9:18", words: "25 has no unit|25%", shape: true},
	{file: inPolicy("limits: {pace: 0%}"), at: "9:18", words: "full, gentle|1%", shape: true},
	{file: inPolicy("limits: {pace: 101%}"), at: "9:18", words: "full, gentle|100%", shape: true},
	{file: inPolicy("limits: {pace: 2.5%}"), at: "9:18", words: "full, gentle", shape: true},
	{file: inPolicy("limits: {pace: slow}"), at: "9:18", words: "full, gentle", shape: true},
	{file: inPolicy("limits: {time: [1]}"), at: "9:18", words: "not a list", shape: true},

	// The daemon's keys. A heartbeat is never shown.
	{file: inPolicy("schedule: ''"), at: "9:13", words: "schedule is empty", shape: true},
	{file: inPolicy("schedule: 5"), at: "9:13", words: "not a number", shape: true},
	{file: inPolicy("heartbeat: ftp://" + secret), at: "9:14", words: "https://|secret", shape: true},
	{file: inPolicy("heartbeat: " + secret), at: "9:14", words: "https://", shape: true},
	{file: inPolicy("heartbeat: 'https://'"), at: "9:14", words: "https://", shape: true},
	{file: inPolicy("heartbeat: 'https://x/%zz" + secret + "'"), at: "9:14", words: "https://"},
	{file: inPolicy("heartbeat: [https://" + secret + "]"), at: "9:14", words: "not a list", shape: true},
	{file: inPolicy("heartbeat: {kind: " + secret + ", url: https://x/}"), at: "9:21", words: "healthchecks|generic", shape: true},
	{file: inPolicy("heartbeat: {kind: generic, success: {method: " + secret + "}}"), at: "9:48", words: "POST", shape: true},
	{file: inPolicy("heartbeat: {url: " + secret + "}"), at: "9:20", words: "https://", shape: true},
	{file: inPolicy("heartbeat: {kind: generic, success: {headers: [" + secret + "]}}"), at: "9:49", words: "mapping", shape: true},
	{file: inPolicy("heartbeat: https://x/\t" + secret), at: "9:14", words: "tab"},
	{file: inPolicy("heartbeat: https://x/: " + secret), at: "9:14", words: "not valid YAML"},

	// SQL.
	{file: inPolicy("where: (a"), at: "9:10", words: "where|never closed|missing )"},
	{file: inPolicy("where: a)"), at: "9:10", words: "without its opening"},
	{file: inPolicy("where: a; b"), at: "9:10", words: "semicolon"},
	{file: inPolicy("where: |\n    a /* b */"), at: "9:10", words: "comment"},
	{file: inPolicy("where: id IN (SELECT 1)"), at: "9:10", words: "SELECT|without subqueries"},
	{file: inPolicy("hold: a = $1"), at: "9:9", words: "parameter ($1)"},
	{file: inPolicy("retention: a, b"), at: "9:14", words: "comma"},
	{file: inPolicy("dependents: [{table: x, match: {a: b}, where: \"a = 'b\", action: keep}]"), at: "9:49", words: "quote (')"},
})

func TestMistakes(t *testing.T) {
	for _, m := range mistakes {
		_, err := policy.Parse("reaper.yaml", []byte(m.file))
		var got string
		if err != nil {
			got = err.Error()
		}
		if place := fmt.Sprintf("reaper.yaml:%s: ", m.at); !strings.HasPrefix(got, place) {
			t.Errorf("%s\ngot %q, want it to begin with %s", short(m.file), got, place)
		}
		for word := range strings.SplitSeq(m.words, "|") {
			if !strings.Contains(got, word) {
				t.Errorf("%s\ngot %q, want %q in it", short(m.file), got, word)
			}
		}
		if strings.Contains(got, secret) {
			t.Errorf("%s\ngot %q, which shows a secret", short(m.file), got)
		}
	}
}

func short(file string) string {
	if len(file) > 400 {
		return file[:400] + "…"
	}
	return file
}

// inAge is a file with these keys of an age.
func inAge(keys string) string {
	return "version: 1\npolicies:\n- name: a\n  table: t\n  age: {" + keys + "}\n"
}
