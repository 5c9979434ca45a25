// Package purge executes plans: it finds expired rows, deletes them in batches together with their
// dependents, retries, and reports.
//
// # Batches
//
// A search, in a read-only transaction of its own, yields candidates. The batch trusts none of
// them: its DELETE repeats age, where, hold, retention and tenant path. A batch is one short READ
// COMMITTED transaction. It first takes the tenant's advisory lock, checks for a pause by hand,
// locks the tables against DDL, and deletes nothing if the catalog has changed since planning. What
// ON DELETE removed is the difference of the session's counters. The ledger's row commits with the
// rows, so a connection lost in COMMIT is resolved from the ledger, under the tenant's lock.
//
// There are four ways to delete. Cascade leaves to ON DELETE what it safely can, and knows how much
// went only afterwards. Closure walks every edge first; it follows for a while after a batch was
// too large, and always where triggers or rules of others can fire. Drain empties one root that is
// larger than a batch, leaves first, over several batches. Proven is opt-in: docs/PROVEN.md has the
// argument. Rows that a keep edge could reference are locked, and in a later statement it is read
// what keeps them: by then that is visible, or can no longer come. Elsewhere an insert shows as a
// foreign key error, and only the next try locks dependents. Rows that were collected without a
// lock go only if they still reference what they were collected by; if one does not, the batch is
// rolled back.
//
// A trigger may keep a row by returning NULL, a rule may do something else instead, and both may
// change other rows. Where one can fire, a batch checks before COMMIT that what was to go is gone,
// what was emptied is empty, and what was due is gone or still due. Else it is rolled back.
//
// Batches start at 100 roots or fewer, grow by a fifth, and shrink in proportion, by half at most.
// What comes next after an error is decided in retry.go, by functions of nothing but the error and
// what is known of the attempt. Errors that pass are retried in smaller batches, errors of rows
// split the batch until the row is found and its tenant fails alone, errors of the schema or the
// role end the policy, and only a server that is away is waited for.
//
// # Passes and rounds
//
// Workers take turns: about two seconds on one tenant, a page of tenants, a stretch of a sweep.
// Then the next tenant and the next policy follow, and no two turns are on one tenant of a policy.
// A pass is one walk from the start, a round one pass of every policy. A later policy, or another
// worker, may free what was kept or locked, so a run ends after a round that has deleted nothing.
// Rows that others hold locked are retried in a few more rounds; then the run ends incomplete.
package purge
