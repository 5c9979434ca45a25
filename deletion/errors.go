package deletion

import (
	"errors"
)

// ErrOverflow is a batch that exceeds its limits. Nothing of it was deleted.
var ErrOverflow = errors.New("batch exceeds its limits")

// ErrChanged is a batch whose rows are no longer what they were when they were locked.
var ErrChanged = errors.New("rows changed during the batch")

// ErrDefault is a default that references are set to and that nobody can know before. No row of the
// policy can be copied.
var ErrDefault = errors.New("what emptied references are set to cannot be known before, so they could not be restored: give the column a constant default, or take archive: true out of the policy")

// errUncopied is a mistake of the caller: rows of a policy with an archive would go uncopied.
var errUncopied = errors.New("rows of a policy with an archive would be deleted without a copy")

// ErrKept is a batch of which a trigger or a rule keeps rows. Nothing was deleted.
var ErrKept = errors.New("a trigger or a rule keeps some of the rows")

// ErrStillReferenced is a reference that comes back whenever it is cleared.
var ErrStillReferenced = errors.New("rows still reference the deleted row after their reference was cleared")

// ErrInterfered is a batch whose rows a trigger or a rule has treated otherwise than the batch
// intended. Nothing was deleted.
var ErrInterfered = errors.New("a trigger or a rule interferes")
