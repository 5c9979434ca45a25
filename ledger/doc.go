// Package ledger manages reaper's own tables: which runs there were, what each one deleted, and how
// it ended. They live in the cleaned database, so that a batch and its record commit in one
// transaction.
//
// # Tables
//
//   - run: one row per policy and run. While it is open it carries a lease; the next run of the
//     policy, and the daemon's leader, close runs whose process has died.
//   - batch: one row per batch, inserted and never updated. Closing the run folds them into
//     deletion, the sums per tenant and table. A dropped partition is one row per tenant, numbered
//     below zero.
//   - cutoff: the cutoffs of an open run, fixed at its start.
//   - hold, hold_root: holds by hand, of tenants or of single roots by their keys.
//   - grace, grace_policy: the retentions that runs have seen of each tenant, for policies with grace.
//   - erasure, erasure_count, erasure_key, erasure_leftover: tenants that are erased, what went, the keys
//     of rows that went until the last sweep, and what sweeps found. erasure_secret is the key of the
//     hash by which the ledger knows a tenant afterwards.
//   - detach: partitions that are being detached. A row outlives its run: whichever run comes next
//     settles it.
//   - throttle: when, why and by which guard a run was slowed, paused or stopped.
//   - pause: pauses by hand. Every batch checks for them in its first statement
//     ([Ledger.PausedSQL]), so a partial index covers those that nobody has ended early.
//   - tick, lease, scan: the daemon's claims, its leader, and what the leader measured.
//   - latch: the one database that the ledger belongs to, and the last sign of life in it.
//   - process: the last sign of life of each process, by which it tells a failover from a restore.
//   - event: what reaper has done, for programs that follow it. An event is committed with what it
//     tells of, and gets its id afterwards ([Ledger.NumberEvents]).
//   - size: sizes and row counters over time, thinned as they are saved.
//
// Only the views runs, deletions and events are public. The first two add open batches to closed
// sums, and so are right in the middle of a run as well; events has those that have an id. Every
// table has a primary key, because a publication FOR ALL TABLES refuses updates and deletes of rows
// without a replica identity. No index contains a tenant's key, which may be longer than an index
// entry can be.
//
// # Durability
//
// Batches commit with synchronous_commit = off unless the policy file says otherwise. A crash of
// the server loses a batch and its ledger row together, so the ledger stays right. Before a run
// ends, something of it is committed synchronously ([Ledger.KeepAlive]), which flushes everything
// before it. If the server went away meanwhile, another pass follows, and the report takes the
// ledger's numbers. The row that closes a run is committed synchronously, and so are claims and
// pauses by hand.
//
// # Trust
//
// Whoever owns a relation decides what a statement on it executes. So before a Ledger first reads
// or writes anything, one statement asks the catalog who owns the schema and its relations, which
// triggers and rules they have, and who may create objects or triggers there ([Ledger.Trusted]).
//
// Statements run under the search_path of package pg, except those that join a caller's
// transaction, which may have another path: RecordBatch, Emit, BatchCommitted, ForgetDetach, RecordCounts,
// PausedSQL and MovedSQL. These qualify every name, operators included.
//
// # Retention
//
// The ledger has a retention of its own. Old rows are deleted in separate transactions with short
// timeouts, closed runs a few at a time. A failure is logged as a warning and fails nothing. A
// policy's last success is never deleted, nor the newest event: the next ids follow its.
package ledger
