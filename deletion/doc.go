// Package deletion holds the transaction of a batch, and the ways to delete in it.
//
// A batch has parts, one for each tenant. It is one short READ COMMITTED transaction that holds
// the advisory locks of its tenants. Each part has statements of its own, whose DELETE repeats
// age, where, hold, retention and tenant path, and counters are read between the parts: what ON
// DELETE removed is the difference of the session's counters. So counts are exact for each
// tenant, and an error names it.
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
package deletion
