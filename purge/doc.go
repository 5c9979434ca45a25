// Package purge executes plans: it finds expired rows, deletes them in batches together with their
// dependents, retries, and reports.
//
// # Batches
//
// A search, in a read-only transaction of its own, yields candidates; package deletion deletes
// them, and trusts none. A batch first takes the advisory locks of its tenants, checks for a pause
// by hand, locks the tables against DDL, and deletes nothing if the catalog has changed since
// planning. The ledger's row commits with the rows, so a connection lost in COMMIT is resolved
// from the ledger, under a lock of the batch.
//
// Batches start at 100 roots or fewer, double until they come near the time they aim at, then grow
// by a fifth, and shrink in proportion, by half at most. What comes next after an error is decided
// in retry.go, by functions of nothing but the error and what is known of the attempt. A tenant
// that an error names among others shares no batch for the rest of the run. Errors that pass are
// retried in smaller batches, errors of rows split the batch until the row is found and its tenant
// fails alone, errors of the schema or the role end the policy, and only a server that is away is
// waited for.
//
// # Passes and rounds
//
// Workers take turns: about two seconds on a cohort of tenants or on one, a page of tenants, a
// stretch of a sweep. Then others follow, and no two turns are on one tenant of a policy. A pass is
// one walk from the start, a round one pass of every policy. A later policy, or another worker, may
// free what was kept or locked, so a run ends after a round that has deleted nothing. Rows that
// others hold locked are retried in a few more rounds; then the run ends incomplete.
package purge
