package main

import (
	"slices"
	"testing"
)

// TestFixesAreAllTried reads all possible fixes from the sources. Each needs a case in
// testdata/fixes, or a reason why it is prose. It needs no database.
func TestFixesAreAllTried(t *testing.T) {
	t.Parallel()
	var sites []fixSite
	for _, dirs := range [][]string{
		{"../../plan", "../../preview", "../../schema", "../../expiry", "../../internal/usersql"},
		{"../../purge"},
		{"../../guard"},
		{"../../ledger"},
		{"../../policy"},
		{"."},
	} {
		sites = append(sites, readFixes(t, dirs...)...)
	}
	cases := parseFixes(t)
	used := make([]bool, len(proseFixes))
	for _, s := range sites {
		tried := false
		for _, c := range cases {
			tried = tried || slices.ContainsFunc(c.fixes, s.madeIt)
		}
		for i, p := range proseFixes {
			if s.fix == p.fix && (p.text == "" || slices.Contains(s.texts, p.text)) {
				used[i], tried = true, true
			}
		}
		if !tried {
			t.Errorf("%s: no case in testdata/fixes applies this fix, and it is not listed as prose:\n\t%q\nof the problem:\n\t%q", s.place, s.fix, s.texts)
		}
	}
	for i, p := range proseFixes {
		if !used[i] {
			t.Errorf("no message has this fix any more: take it out of the list: %s", p.fix)
		}
		if p.why == "" || p.fix != hole && !isProse(p.fix) {
			t.Errorf("listed as prose without a reason, or although it can be applied: %s", p.fix)
		}
	}
	for name, c := range cases {
		for _, p := range c.fixes {
			if !slices.ContainsFunc(sites, func(s fixSite) bool { return s.madeIt(p) }) {
				t.Errorf("%s: the sources have no such problem and fix: %s\n\t%s", name, p.Text, p.Fix)
			}
		}
	}
}

// proseFix is a fix that is prose, and why it cannot be anything else.
type proseFix struct {
	fix, why string
	text     string // the problem's, where the fix alone does not tell which it is
}

var proseFixes = []proseFix{
	{
		fix: "add a primary key to …, or decide another action for the reference",
		why: "what tells the rows of a table apart, only a person can say",
	},
	{
		fix: "decide another action for the reference",
		why: "what is to become of the rows, only a person can say",
	},
	{
		fix: "write nullify or keep for …, or take archive: true out of the policy",
		why: "which of both is meant, only a person can say",
	},
	{
		fix: "drop the rule, or decide another action for …",
		why: "what the rule is for, only a person can say",
	},
	{
		fix: "give the column a constant default, or decide another action for the reference",
		why: "what is to become of the rows, only a person can say",
	},
	{
		fix: "grant the role TEMPORARY on the database, which reading it takes",
		why: "whether the role may have it, only a person can say",
	},
	{
		fix: "take archive: true out of the policy, or drop the rule",
		why: "which of both is meant, only a person can say",
	},
	{
		fix: "decide which policies are to be copied, and write archive: true under them",
		why: "which policies are meant, only a person can say",
	},
	{
		fix: "see what its role needs in docs/ARCHIVE.md",
		why: "it is in the store",
	},
	{
		fix: "if nothing writes these tables in the replica role (no logical replication into them), write safety: {foreign_key_checks: auto}; docs/PROVEN.md says why that is safe",
		why: "who writes the tables, no catalog shows; testdata/script/orders.txtar tries what it proposes",
	},
	{
		fix: "hold again for the policy's new name, then end the old holds: reaper holds lists them, reaper release ID ends one",
		why: "whether a policy was renamed, only a person can say",
	},
	{
		fix: "run what reaper grants --role … prints, as the owner of the ledger",
		why: "the role itself may not, and whose turn it is only a person can say",
	},
	{
		fix:  "…",
		text: "what would be deleted differs from …: …",
		why:  "whether a change is meant, only a person can say",
	},
	{
		fix:  "…",
		text: "what would be deleted differs from …: + policy …, table …",
		why:  "whether a change is meant, only a person can say",
	},
	{
		fix: "if it is meant: reaper plan --save …",
		why: "whether a change is meant, only a person can say",
	},
	{
		fix: "if it is meant: reaper plan --save ",
		why: "the same, as the reader of these sources sees it",
	},
	{
		fix: "reaper needs PostgreSQL 14 or newer",
		why: "an upgrade of the server",
	},
	{
		fix: "connect to the primary",
		why: "only the person knows its address",
	},
	{
		fix: "take … out of the connection string, or of PGOPTIONS",
		why: "it is in the environment of whoever runs reaper",
	},
	{
		fix: "another client of the pooler has left it behind: RESET … there, and let the pooler reset connections (server_reset_query = DISCARD ALL)",
		why: "it is in another session, and in the pooler's configuration",
	},
	{
		fix: "set … = … where the server is started",
		why: "it is on the server's command line",
	},
	{
		fix: "check the name and the search_path",
		why: "the names of tables could not be read",
	},
	{
		fix: "check the name: it is exact and never folded",
		why: "no table has a name like it",
	},
	{
		fix: "its columns are …",
		why: "no column has a name like it",
	},
	{
		fix: "name an ordinary or a partitioned table",
		why: "which table is meant, only a person can say",
	},
	{
		fix: "make it a partitioned table, or remove the inheritance and write a policy for each table",
		why: "a change of the schema",
	},
	{
		fix: "make it a partitioned table",
		why: "a change of the schema",
	},
	{
		fix: "an age is timestamptz, timestamp, date, or smallint, int, bigint with a unit, or an identifier with the unit uuidv7, ulid or snowflake",
		why: "which column is the age, only a person can say",
	},
	{
		fix: "uuidv7 is for uuid, ulid for text, char(26), uuid and bytea, snowflake for bigint",
		why: "what the column holds, only a person can say",
	},
	{
		fix: "check the unit, and for snowflake the epoch and bits",
		why: "the data has to be looked at",
	},
	{
		fix: "have all of them in one case",
		why: "a change of the data, and of what writes it",
	},
	{
		fix: "have it give a timestamptz: a time without its zone becomes one by AT TIME ZONE",
		why: "which zone is meant, only a person can say",
	},
	{
		fix: "use what depends on the row alone",
		why: "what is meant, only a person can say",
	},
	{
		fix: "have the age depend on nothing but the row (its functions are not IMMUTABLE): no index can be on it",
		why: "a change of the functions, or of what is meant",
	},
	{
		fix: "use a name of pg_timezone_names, such as Europe/Paris",
		why: "which zone is meant, only a person can say",
	},
	{
		fix: "check the unit: s, ms or us",
		why: "in none of the units do all values make sense: the data has to be looked at",
	},
	{
		fix: "add a primary key, or a unique index over NOT NULL columns (not partial, not deferrable, no expressions, no arrays)",
		why: "which columns tell rows apart, only a person can say",
	},
	{
		fix: "add a key over columns of an ordered type",
		why: "a change of the schema",
	},
	{
		fix: "match columns of one type, or a text column of theirs",
		why: "which columns belong together, only a person can say",
	},
	{
		fix: "match columns of one type",
		why: "which columns belong together, only a person can say",
	},
	{
		fix: "match columns that are not arrays",
		why: "which columns belong together, only a person can say",
	},
	{
		fix: "reference a column of another type, or clean these tables without reaper",
		why: "a change of the schema",
	},
	{
		fix: "give both columns one type: … is …, and … is …",
		why: "a change of a column's type rewrites its table, and which of the two changes is a person's decision",
	},
	{
		fix: "give both columns the same type",
		why: "a change of a column's type rewrites its table, and which of the two changes is a person's decision",
	},
	{
		fix: "give both columns the same type: no index can be over ",
		why: "a change of a column's type rewrites its table, and which of the two changes is a person's decision",
	},
	{
		fix: "give both columns the same type: no index can be over … (…) with … (…)",
		why: "a change of a column's type rewrites its table, and which of the two changes is a person's decision",
	},
	{
		fix: "give both columns the same collation",
		why: "a change of a column's collation rewrites its indexes, and which of the two changes is a person's decision",
	},
	{
		fix: "see that what it reads has an index: … itself can have none",
		why: "what a view or a foreign table reads is not known",
	},
	{
		fix: "make sure that is meant, or decide nullify or keep",
		why: "a warning of something that may well be meant",
	},
	{
		fix: "make sure that is meant, or decide keep",
		why: "a warning of something that may well be meant",
	},
	{
		fix: "make sure that both always agree, or decide keep",
		why: "a warning of something that may well be right",
	},
	{
		fix: "make sure that … has the privileges that the function needs, under these settings too",
		why: "what a function does, only a person can say",
	},
	{
		fix: "name another table",
		why: "which table is meant, only a person can say",
	},
	{
		fix: "drop the foreign key and add it again",
		why: "its triggers are gone from the catalog, which no statement does",
	},
	{
		fix: "use another tenant path (a column of the table itself), or delete the rows below them as dependents of this policy",
		why: "which rows should go, only a person can say",
	},
	{
		fix: "use another tenant path, or write tenant: none",
		why: "whether the rows have a tenant, only a person can say",
	},
	{
		fix: "end the path with a column that holds the tenant's key",
		why: "foreign keys do not tell which column that is",
	},
	{
		fix: "end the path with the column that holds the key, without ->",
		why: "foreign keys do not tell which column that is",
	},
	{
		fix: "name the columns of one of them",
		why: "steps cannot say which of several composite keys is meant",
	},
	{
		fix: "name the columns that lead to the tenants (tenant: [column, …]), or write tenant: none and a retention",
		why: "foreign keys do not tell whether the rows have a tenant",
	},
	{
		fix: "write where it leads: … -> table.column",
		why: "no foreign key tells where it leads",
	},
	{
		fix: "write another path under tenant: each column of a key of this one is part of several foreign keys",
		why: "the policy file has no words for that path",
	},
	{
		fix: "see whether the tenant path… is the right one, and whether tenants lists every tenant; rows of deleted tenants need a policy with tenant: none",
		why: "only a person knows whose rows these are",
	},
	{
		fix: "see whether the tenant path is the right one, and whether tenants lists every tenant; rows of deleted tenants need a policy with tenant: none",
		why: "only a person knows whose rows these are",
	},
	{
		fix: "if rows of … are what should expire, make it the table of the policy; to keep rows of … while it references them, decide keep for it under dependents",
		why: "only a person knows which of the two should expire",
	},
	{
		fix: "run what reaper grants --role … prints, as the owner of what the SQL reads",
		why: "several grants may be missing, and reaper grants prints them all",
	},
	{
		fix: "lead to a column with a unique index of its own",
		why: "which column is meant, only a person can say",
	},
	{
		fix: "lead to a column of the same type",
		why: "which column is meant, only a person can say",
	},
	{
		fix: "use another column as the key",
		why: "which column is the key, only a person can say",
	},
	{
		fix: "correct the query",
		why: "it is not valid SQL",
	},
	{
		fix: "SELECT key, retention or key, retention, hold",
		why: "what the query means, only a person can say",
	},
	{
		fix: "the order is key, retention, hold",
		why: "what the query means, only a person can say",
	},
	{
		fix: "a retention is smallint, int or bigint (days), or interval",
		why: "what the expression means, only a person can say",
	},
	{
		fix: "the third column is a boolean",
		why: "what the query means, only a person can say",
	},
	{
		fix: "it may use the columns of that table alone",
		why: "it is not valid SQL",
	},
	{
		fix: "write an expression over one row: no aggregate, no window function, no function that returns a set",
		why: "what the expression means, only a person can say",
	},
	{
		fix: "write a condition that is true or false",
		why: "what the expression means, only a person can say",
	},
	{
		fix: "review it, then give it to a superuser or to the owner of the database or of the table: ALTER FUNCTION … … OWNER TO …",
		why: "whether its code is to be trusted, only a person can say, and SECURITY DEFINER would run it as the new owner",
	},
	{
		fix: "say which time zone is meant, such as: hold_until AT TIME ZONE … > now()",
		why: "which zone is meant, only a person can say",
	},
	{
		fix: "write the key as …",
		why: "which tenant is meant, only a person can say",
	},
	{
		fix: "correct the query, retention or hold of the tenants: it has to work for each of them",
		why: "what the SQL means, only a person can say",
	},
	{
		fix: "let every key stand there once",
		why: "it is the data of the tenants",
	},
	{
		fix: "see where the tenants are: the table or the query under tenants has to give every tenant there is",
		why: "it is the data of the tenants",
	},
	{
		fix: "if reaper did it, its next purge of the table undoes it; else ALTER TABLE … DETACH PARTITION … FINALIZE",
		why: "whether reaper or somebody else began the detach, the catalog does not tell",
	},
	{
		fix: "add … to the column list in …, or take the list out",
		why: "ALTER PUBLICATION would have to repeat what subscribers rely on",
	},
	{
		fix: "take the column list out of …; or ALTER TABLE … REPLICA IDENTITY DEFAULT, if it has a primary key and the list has the key's columns",
		why: "ALTER PUBLICATION would have to repeat what subscribers rely on",
	},
	{
		fix: "check whether their tenant is gone, or the path is wrong",
		why: "a warning of plan, about rows that may well be there",
	},
	{
		fix: "give them an age if they should expire",
		why: "a warning of plan, about rows that may well be there",
	},
	{
		fix: "a purge may delete more than is counted here; --tenant previews a single tenant",
		why: "a warning of plan, about what it has not counted",
	},
	{
		fix: "fix its query, or set unknown: ignore for it",
		why: "what the query means, only a person can say",
	},
	{
		fix: "fix the cause, or set unknown: ignore in …",
		why: "what is wrong is outside of the database, or not known",
	},
	{
		fix: "look at what is in the schema, then run `DROP SCHEMA … CASCADE` or `ALTER SCHEMA … OWNER TO` a trusted role, or set REAPER_LEDGER_SCHEMA to another schema",
		why: "a stranger's objects: a person has to look before they are dropped or trusted",
	},
	{
		fix: "look at what is in the schema, then run `DROP SCHEMA … CASCADE` or `ALTER TABLE … OWNER TO` a trusted role, or set REAPER_LEDGER_SCHEMA to another schema",
		why: "a stranger's objects: a person has to look before they are dropped or trusted",
	},
	{
		fix: "look at what is in the schema, then run `DROP SCHEMA … CASCADE`, or set REAPER_LEDGER_SCHEMA to another schema",
		why: "a stranger's objects: a person has to look before they are dropped or trusted",
	},
	{
		fix: "run `reaper migrate` as a role that may, or give a DBA the output of `reaper migrate --print`, then `reaper grants`",
		why: "commands of another role; the script privileges.txtar runs them",
	},
	{
		fix: "remove the minutes, unless they are intended",
		why: "the duration has months already",
	},
	{fix: hole, text: "…: …", why: "the hint of PostgreSQL about SQL of the policy file"},
	{fix: hole, text: "--older-than: …", why: "a flag, and not of check"},
}
