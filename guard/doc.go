// Package guard decides whether rows may be deleted now, and if not, why.
//
// A [Watch] reads the signals that the policy file configures, once per interval, over one
// connection that no batch uses. Runs ask for [Watch.Advice], which is answered from memory: go,
// slow, pause or stop, with the guard and the reason.
//
// # Reading
//
// Signals are read one after the other, and a reading counts as soon as it is taken. Each is one
// statement with a timeout of its own, which starts only when nothing else of the Watch uses the
// connection: no reading is late because a checkpoint was slow. Two small statements come on top:
// once a minute, whether the role may list pg_wal, because a statement that may not fails as a
// whole; and, for signals that compare readings, which server answers. After a failover these
// start afresh, because what they remember describes the old primary.
//
// Nothing depends on the session, so a Watch works through PgBouncer in transaction mode.
//
// # Doubt pauses
//
// A signal that cannot be read is unknown, and an unknown signal pauses unless the policy file
// says otherwise. An error of one signal does not affect the others. A missing privilege is
// reported with the grant that is needed. PostgreSQL shows hidden columns as NULL instead of
// failing, so the same statement asks pg_has_role: a NULL is never taken for "nothing there".
// Guards that hang are unknown too: Advice says pause before the first round, and when no signal
// was read for three intervals plus the time that one reading may take.
//
// # States
//
// A signal gives measures: numbers with their thresholds, or a state. A worse state is entered at
// once; a better one only after two readings in a row on the good side of the threshold, by the
// hysteresis. The worst measure is the guard's reading, and the worst reading is the advice.
//
// Among equals the first guard is reported, with one exception: a full storage gives way to what
// keeps the WAL that fills it (a slot, the archiver, a replica), because that is what has to be
// fixed. Where a checkpoint would free what every pausing guard lacks, the advice says so. The
// Watch alone decides whether another checkpoint is worth it, however many policies ask.
//
// Some signals have no time of their own, so the Watch measures it. A replica is as late as it
// says, or as long as it has been behind without replaying anything. A slot's xmin is as old as it
// has been seen unchanged. When the policy file changes, the new Watch takes over these memories
// and the states from the old one ([Watch.Succeed]).
//
// # Storage
//
// Storage counts the WAL in use ([WALInUse]), not the size of pg_wal: after a checkpoint
// PostgreSQL keeps segments, up to max_wal_size, and reuses them. pg_wal does not shrink then, but
// it does not grow either while there are any. Between two readings the storage guard adds the WAL
// that batches report ([Watch.Wrote]). That is an estimate, so it can pause a run but never stop
// it, and such a pause ends like any other, after two readings.
//
// # What runs do with it
//
// Package purge sees the small interface purge.Guard. In the daemon the Watch of the policy file in
// force stands behind it; for one-off runs, a Watch that is first read when something is about to
// be deleted, so that it costs nothing where nothing is due.
//
//   - slow: the share multiplies the policy's pace and the size of its batches.
//   - pause: no attempt of a batch begins. The worker gives back its slot and serves other policies
//     meanwhile. A pause longer than max_pause ends the policy's run.
//   - stop: the policy's run ends.
//
// A pause by hand is one more reading, taken from the ledger. Each batch also looks for one in its
// first statement, and rolls back if it finds one. So once the pause is committed, only batches
// whose first statement ran before it can still commit.
//
// Before its first batch a run asks [Watch.Room] whether the WAL of its deletes fits into the free
// space, less what the run's other policies have reserved. It does so only where something keeps
// WAL (otherwise a checkpoint frees it) and no guard pauses (what keeps WAL may be gone when the
// pause ends). It is sized again, by the WAL that it has written, after its first thousand rows and
// when it has deleted as much as fits.
package guard
