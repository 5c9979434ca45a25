package policy

import "github.com/invopop/jsonschema"

// The types in this file mirror the policy file. The parser walks them and the JSON Schema
// is generated from them, so a key that is missing here is unknown to both. `yaml` names
// the key; `required` in the `jsonschema` tag makes it mandatory.

type document struct {
	Version  version         `yaml:"version" jsonschema:"required" jsonschema_description:"Version of this file's format: 1."`
	Tenants  *tenantsSection `yaml:"tenants" jsonschema_description:"Who owns rows, and how long each keeps them. Needed unless every policy says tenant: none."`
	Guards   guardsSection   `yaml:"guards" jsonschema_description:"The signals that decide whether batches may run. Omitted or empty: the defaults."`
	Safety   safetySection   `yaml:"safety" jsonschema_description:"Trade-offs between safety and speed, for all policies."`
	Archive  *archiveSection `yaml:"archive" jsonschema_description:"Where copies of rows go before they are deleted, for the policies that say archive: true."`
	Erasure  *erasureSection `yaml:"erasure" jsonschema_description:"What becomes of the rows of a tenant that leaves. Omitted: no tenant can be erased."`
	Policies []policySection `yaml:"policies" jsonschema:"required,minItems=1" jsonschema_description:"What to delete; each policy has one root table."`
}

type tenantsSection struct {
	Pos          Pos         `yaml:"-"`
	Table        Table       `yaml:"table" jsonschema_description:"The table with one row for each tenant: table or schema.table, exact. Either table or query."`
	Query        tenantQuery `yaml:"query" jsonschema_description:"A query that returns key, retention and optionally hold, in this order. Either table or query."`
	Key          column      `yaml:"key" jsonschema_description:"The column of table that holds the tenant's key, of any type."`
	settingsKeys `yaml:",inline"`
}

// settingsKeys are the keys that tenants and policies share.
type settingsKeys struct {
	Retention Retention  `yaml:"retention" jsonschema_description:"How long rows are kept: a duration (90d, 1y6mo, forever), or SQL over the tenants' table alone that returns days (smallint, int, bigint) or an interval."`
	Hold      expression `yaml:"hold" jsonschema_description:"Boolean SQL over the tenants' table: true means that nothing of the tenant is deleted; NULL is no hold. Holds under tenants and under a policy both apply."`
	Default   *Duration  `yaml:"default" jsonschema_description:"Retention of tenants whose own value is NULL. One under a policy replaces the tenants'."`
	Min       *Duration  `yaml:"min" jsonschema_description:"Floor under every retention but forever. One under a policy replaces the tenants'."`
	Overrides overrides  `yaml:"overrides" jsonschema_description:"Retention of individual tenants, by key. The overrides of tenants and of a policy are merged by key; the policy's win."`
}

type policySection struct {
	Pos          Pos        `yaml:"-"`
	Name         policyName `yaml:"name" jsonschema:"required" jsonschema_description:"Name of the policy, unique in this file."`
	Table        Table      `yaml:"table" jsonschema:"required" jsonschema_description:"The root table: table or schema.table, exact."`
	Age          Age        `yaml:"age" jsonschema:"required" jsonschema_description:"The column that holds a row's age."`
	Tenant       Path       `yaml:"tenant" jsonschema_description:"The columns to follow from the table to the tenant's key, or none for a table without tenants. Omitted: the one shortest foreign-key path."`
	Where        expression `yaml:"where" jsonschema_description:"SQL over this table alone; only rows for which it is true expire."`
	settingsKeys `yaml:",inline"`
	Undecided    undecided        `yaml:"undecided" jsonschema:"default=error" jsonschema_description:"What happens along NO ACTION and RESTRICT foreign keys without an entry in dependents."`
	Dependents   []dependentEntry `yaml:"dependents" jsonschema_description:"What happens to rows of other tables that reference a deleted row."`
	Archive      boolean          `yaml:"archive" jsonschema:"default=false" jsonschema_description:"true: rows are deleted only after the archive has confirmed a copy of them."`
	Schedule     schedule         `yaml:"schedule" jsonschema_description:"Cron expression of the daemon's runs, in the daemon's time zone unless it begins with CRON_TZ=Zone. Omitted: the daemon's own schedule."`
	Heartbeat    Heartbeat        `yaml:"heartbeat" jsonschema_description:"The cron monitor to notify of each run: its http or https URL, or a mapping. A secret: it is never printed. Omitted: the daemon's own."`
	Breaker      breakerValue     `yaml:"breaker" jsonschema_description:"How many more rows than usual may be due when a run begins that nobody answers for: off, or {times, share}. Omitted: that of safety."`
	Grace        graceValue       `yaml:"grace" jsonschema_description:"How long rows stay that a shorter retention or the end of a hold makes due: a duration, or none. Omitted: that of safety."`
	MaxLag       *Duration        `yaml:"max_lag" jsonschema_description:"The lag above which the policy counts as late."`
	Triggers     permission       `yaml:"triggers" jsonschema:"default=error" jsonschema_description:"BEFORE DELETE row triggers and DELETE rules on a table of the plan: an error, or allowed."`
	Unindexed    permission       `yaml:"unindexed" jsonschema:"default=error" jsonschema_description:"A foreign key into a table of over 100000 rows without an index to support it: an error, or allowed."`
	Vacuum       vacuum           `yaml:"vacuum" jsonschema:"default=auto" jsonschema_description:"VACUUM at the end of a run, one table at a time. auto: where the run deleted more than a tenth of a table and autovacuum has not run since. always: where it deleted anything. never: not at all."`
	Partitions   partitions       `yaml:"partitions" jsonschema:"default=drop" jsonschema_description:"Range partitions by age whose rows are all expired: drop them whole where possible, or delete their rows like any others."`
	Limits       limitsSection    `yaml:"limits" jsonschema_description:"Bounds of one batch."`
}

type dependentEntry struct {
	Pos    Pos         `yaml:"-"`
	Table  Table       `yaml:"table" jsonschema:"required" jsonschema_description:"The referencing table: table or schema.table, exact."`
	Parent Table       `yaml:"parent" jsonschema_description:"The table it references. Omitted: the policy's table, or the only one that its foreign keys lead to."`
	Via    columns     `yaml:"via" jsonschema_description:"The referencing column or columns, where a table references the same table more than once."`
	Match  matchPairs  `yaml:"match" jsonschema_description:"A reference without a foreign key, {their column: our column}."`
	Where  expression  `yaml:"where" jsonschema_description:"With match: SQL over the referencing table alone; only rows for which it is true count as references."`
	Action action      `yaml:"action" jsonschema_description:"delete: delete them too. nullify: set their reference to NULL. keep: keep the row they reference. redact: they stay, and the columns of redact are overwritten; with redact the key may be omitted."`
	Redact assignments `yaml:"redact" jsonschema_description:"Columns of the referencing rows and their new values, {column: SQL}. The SQL is over that table alone. A foreign key is set to NULL besides."`
}

type ageSection struct {
	Column   column   `yaml:"column" jsonschema:"required" jsonschema_description:"The column that holds a row's age."`
	Unit     unit     `yaml:"unit" jsonschema_description:"For an integer column: seconds, milliseconds or microseconds since 1970."`
	TimeZone nonEmpty `yaml:"time_zone" jsonschema_description:"For a timestamp or date column: its time zone, such as Europe/Paris. Omitted: UTC."`
}

type safetySection struct {
	ForeignKeyChecks  foreignKeyChecks `yaml:"foreign_key_checks" jsonschema:"default=ordinary" jsonschema_description:"proven skips the checks that are redundant while reaper holds its locks, where the plan allows it; auto does so only where it is faster as well."`
	Breaker           breakerValue     `yaml:"breaker" jsonschema_description:"How many more rows than usual may be due when a run begins that nobody answers for: off, or {times, share}. One under a policy replaces it."`
	Grace             graceValue       `yaml:"grace" jsonschema:"default=none" jsonschema_description:"How long rows stay that a shorter retention or the end of a hold makes due: a duration like 7d, or none. One under a policy replaces it."`
	Drift             onDrift          `yaml:"drift" jsonschema:"default=refuse" jsonschema_description:"What happens when what would be deleted differs from what the last complete run deleted: refuse waits for reaper approve; warn goes on, and says so."`
	SynchronousCommit onOff            `yaml:"synchronous_commit" jsonschema:"default=off" jsonschema_description:"on: each batch waits until its WAL is on disk. off: a server crash may undo the last batches together with their ledger rows."`
}

type limitsSection struct {
	Rows      count     `yaml:"rows" jsonschema:"default=10000" jsonschema_description:"Roots in a batch."`
	TotalRows count     `yaml:"total_rows" jsonschema:"default=100000" jsonschema_description:"Rows in a batch, over all tables."`
	Bytes     size      `yaml:"bytes" jsonschema:"default=64MB" jsonschema_description:"Bytes of rows in a batch."`
	Time      batchTime `yaml:"time" jsonschema:"default=200ms" jsonschema_description:"Target duration of a batch."`
	Pace      pace      `yaml:"pace" jsonschema:"default=full" jsonschema_description:"The share of the time that a connection works: full, gentle, or a percentage."`
}

// The methods below add the rules that span several keys to the JSON Schema; check.go has
// the parser's side of them. The library finds the methods by name.

// JSONSchemaExtend requires either a table or a query.
func (tenantsSection) JSONSchemaExtend(s *jsonschema.Schema) {
	s.OneOf = []*jsonschema.Schema{
		{Required: []string{"table", "key"}},
		{Required: []string{"query"}, Not: anyOfKeys("retention", "hold")},
	}
	s.Not = &jsonschema.Schema{Required: []string{"table", "query"}}
}

// JSONSchemaExtend restricts which keys of a dependent go together.
func (dependentEntry) JSONSchemaExtend(s *jsonschema.Schema) {
	s.DependentRequired = map[string][]string{"where": {"match"}}
	s.Not = &jsonschema.Schema{Required: []string{"match", "via"}}
	s.AnyOf = anyOfKeys("action", "redact").AnyOf
}

// JSONSchemaExtend forbids a unit together with a time zone.
func (ageSection) JSONSchemaExtend(s *jsonschema.Schema) {
	s.Not = &jsonschema.Schema{Required: []string{"unit", "time_zone"}}
}

func anyOfKeys(keys ...string) *jsonschema.Schema {
	s := &jsonschema.Schema{}
	for _, key := range keys {
		s.AnyOf = append(s.AnyOf, &jsonschema.Schema{Required: []string{key}})
	}
	return s
}
