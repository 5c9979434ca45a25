// Package usersql has PostgreSQL read SQL of the policy file: what it means under any search_path,
// what it calls, and what a role needs to run it.
//
// # Whose SQL runs under which path
//
// reaper's own statements run under the search_path of package pg, in which nobody else can create
// anything. SQL of the policy file was written for the role's own path. So it is read once, under
// that path and the role's time zone, and from then on runs in a form that means the same under any
// path:
//
//  1. In a savepoint, the SQL becomes a temporary view, which is never committed.
//  2. pg_get_viewdef prints it with every name outside pg_catalog qualified.
//  3. pg_depend gives the functions that it calls, at any depth: through views, operators,
//     aggregates, types and the checks of domains.
//  4. The printed text is read again under the pinned path. PostgreSQL prints some operators
//     without their names (CASE x WHEN, IS DISTINCT FROM, NULLIF, USING), so only if both trees are
//     equal does the text mean the same.
//
// The role's own path stays where code can run that may rely on it: triggers, rules, functions that
// are not written in C, and SQL that depends on the path even so ([Fragment].AsWritten). It is set
// to the path of planning time, because a pooled session may carry another client's. Package plan
// then refuses a path in whose schemas others may create objects ([Creators]): what they create
// there would run as reaper's role. On PostgreSQL 14 everybody may create in public by default;
// while nobody has created anything there, that default alone is only a warning.
//
// A function of the policy file has to belong to the current role, a superuser, or an owner of the
// database, the planned tables or their schemas ([CalledFunction].Trusted), since its owner decides
// what is deleted.
//
// # Time zone
//
// Batches run in UTC. A fragment whose result depends on the session's time zone is recognized by
// functions that convert between timestamptz and local time, or because its literals change when it
// is read in UTC. Package plan warns of it where the role's zone is another.
package usersql
