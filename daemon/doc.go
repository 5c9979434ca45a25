// Package daemon keeps every policy on time: it runs them by their schedules, shares the work with
// other processes on the same database, pings the monitors, and keeps the picture that metrics and
// the status page show.
//
// # Parts
//
// The [Daemon] only wires its parts. Each part is a type in a file of its own. What it changes is
// behind its own mutex, and no other file touches its fields, which a test enforces. A part is
// given what it reads, so it is tested without a database. No loop waits for another.
//
// Config.Pool serves runs and measuring. Config.Control has one connection for what must be
// answered at once: whether the database is up, claims, leases, the ledger's history, sizes, and
// the guards. Guards whose timeout is over two seconds get a connection of their own, so that they
// cannot delay the rest.
//
// # Ticks
//
// Schedules are computed from the clock and the policy's name, jitter included, so they are the
// same in every process. Twice a second each process asks for the last time at which a policy was
// due: its tick. Whoever inserts the tick into the ledger, in one transaction with the run, has
// claimed it. The other processes find the row and start a run of their own beside it (trigger
// assist). The advisory lock of each tenant divides the work between them.
//
// A claim becomes free when its run's lease or its process's presence lapses, or when a signal or a
// reload ended its run. So a tick is retried until one of its runs has come to an end. A run renews
// its lease every ten seconds, whatever its workers wait for. One that was taken for dead finds its
// row closed and ends as failed. A process with runs renews its presence every two seconds. Eight
// seconds after the last time, another process takes its claims over; if it assists already, that
// run becomes the claim's (Ledger.TakeOver), and its monitor hears of it from then on.
//
// The ticks of a new policy or a changed schedule count from when a process first sees them, those
// of a known policy from the last one ever claimed. That is how missed runs are made up, by a
// single run. A tick that passes while the policy is paused by hand or outside its windows stays
// due.
//
// # Runs
//
// Each run plans its policy anew, because the schema may have changed. Several may be under way,
// one per policy, as many as there are connections to delete: what has been due for longest begins
// first, and helping another process comes last. A run that has lasted two minutes lets another one
// begin beside it, so that no backlog keeps the other policies waiting. A policy that waits for its
// turn is not failing. purge.Shared bounds their batches to Config.Connections; what holds one
// connection while it waits for a second (settling cutoffs, dropping partitions) and vacuums are
// done by one run at a time. For page, metrics and monitor a run has ended when the ledger has
// recorded it; its vacuums come later. A change of the policy file that concerns a policy's rows
// ends its run after the current batch, and the tick is claimed again.
//
// The database is pinged every second and has 3.5 s to answer; a standby counts as down. Monitors
// hear of one that is down for a minute, and when it is back.
//
// Every few seconds each process gives a sign of life, which is committed on disk. By it a run tells
// a failover, through which the process has lived, from a restore of the server to an earlier time,
// which waits for a person (package gate).
//
// # Measuring
//
// One process, the leader, holds a lease in the ledger and measures lag, backlog and overdue
// tenants. It saves the result there, and every process shows and judges what is saved. A policy
// that takes long to measure is measured less often. Once an hour a sample of its rows is followed
// to the tenants, to report policies most of whose rows belong to none.
//
// Every five minutes each process samples the sizes, and the leader saves them once the tables of
// all policies are known. Plots, forecast and balance come from the saved sizes and the current
// sample. Package growth does the arithmetic, in pure functions.
//
// # Health
//
// The picture is made twice a second, from memory. A policy is failing when its newest run was no
// success, or when the first tick that no run has begun for was more than five minutes ago, however
// many have passed since. Runs that assist another, and those that a person started, do not count
// unless they succeed. Runs that a signal ended are resumed by others, so they do not count either.
// Pauses by hand and closed windows are intended: what they keep from starting or finishing is no
// failure.
//
// Ready is not healthy: a database that is away makes no process unready (package web).
//
// An observer (Config.Observe) does all of this except ticks, runs and pings. It stands beside a
// CronJob: it assumes that every policy runs by the one schedule it is given, and reads from the
// ledger whether what was due has begun.
//
// # Shutdown
//
// No run begins any more. Runs end after their batch, or are killed at six tenths of the grace
// time, which rolls their batches back. Then the loops end, the lease is released and the last
// pings are sent. The caller closes HTTP last.
package daemon
