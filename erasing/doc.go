// Package erasing erases tenants, and looks later whether anything has come back: the transactions
// around the steps of package erasure, their order, and what the ledger and the application are told.
//
// # A run
//
// An erasure is a row of the ledger. Whoever erases ([Runner.Erase]) opens a run of the policy
// "erasure", passes the gates, and claims the erasure for that run: of two processes, the second finds
// the run of the first alive. The application is told, and has `wait` to close its inlets.
//
// # Draining
//
// The steps of an [erasure.Walk] are done one a transaction, from the leaves up, each with few
// enough rows for the time of a batch. A batch first takes the advisory locks under which purges delete
// rows of the same tenant. It waits for them, within lock_timeout: a purge, which never waits, then
// leaves the tenant alone for a moment. It asks the ledger whether the erasure still goes on, is paused
// or held, compares a fingerprint of the catalog, and locks the tenant's row FOR NO KEY UPDATE, so that
// writers go on. What it did is counted in the same transaction.
//
// # The last batch
//
// Only the last batch locks the tenant's row FOR UPDATE, which stops its writers, and does in that one
// transaction whatever is left. Writers whose transactions overlap would keep that lock away for ever:
// a reference takes FOR KEY SHARE, which passes by those that wait for more. So if it failed, a second
// connection asks for the tenants' table in EXCLUSIVE mode meanwhile. It is never granted, for the first
// one has the table too; but whoever comes later waits behind it, until the row is locked or
// lock_timeout is over.
//
// # Sweeps
//
// After an hour, a day and a week the tables are looked at that no foreign key guards. Deleting there
// ends with a look at the tenants' table, later than the snapshot of the DELETE: a new tenant of the
// same key that this look does not find had no committed row when the DELETE began.
package erasing
