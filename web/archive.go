package web

import (
	"fmt"
	"time"
)

// Archive is how the copies of deleted rows stand.
type Archive struct {
	URL string `json:"url"` // as the policy file has it; it holds no credentials
	// MissingLists is how many lists of deleted rows only the ledger has; the oldest is of rows that
	// were deleted at OldestMissingAt, null if there is none.
	MissingLists    int64      `json:"missing_lists"`
	OldestMissingAt *time.Time `json:"oldest_missing_at"`
	// Schedule is that of verifications; empty if there is none.
	Schedule     string        `json:"verify"`
	Verification *Verification `json:"verification"` // the last one; null if there was none
	// VerifiedAt is when a verification last found nothing wrong, LoadedAt when everything that it drew
	// could be loaded; null if never.
	VerifiedAt *time.Time `json:"verified_at"`
	LoadedAt   *time.Time `json:"loaded_at"`
	NextAt     *time.Time `json:"next_verification_at"` // null if none is due
}

// Verification is what the last verification found.
type Verification struct {
	At        time.Time        `json:"at"`
	Error     string           `json:"error,omitempty"` // why it could not be done
	Segments  int64            `json:"segments"`        // that were read back
	Rows      int64            `json:"rows"`
	Bytes     int64            `json:"bytes"`
	Loaded    int64            `json:"loaded"`
	Held      int64            `json:"segments_held"` // by the store
	HeldBytes int64            `json:"bytes_held"`
	Failures  []ArchiveFailure `json:"failures"`
}

// ArchiveFailure is a segment that is damaged, or cannot be loaded.
type ArchiveFailure struct {
	Segment string `json:"segment"`
	Reason  string `json:"reason"`
}

// missingAfter is for how long a list may be missing in the store without a warning: the run that
// deleted the rows may still be at it.
const missingAfter = time.Hour

func (a *Archive) warnings(now time.Time) (found []Finding) {
	if a == nil {
		return nil
	}
	if at := a.OldestMissingAt; at != nil && now.Sub(*at) > missingAfter {
		found = append(found, Finding{What: plural(a.MissingLists, "list", "lists") + " of deleted rows missing in the archive", More: "only the ledger has them until the next run", Since: at})
	}
	v := a.Verification
	switch {
	case v == nil:
	case v.Error != "":
		found = append(found, Finding{What: "the archive could not be verified", Since: &v.At, Why: v.Error})
	case len(v.Failures) > 0:
		f := v.Failures[0]
		found = append(found, Finding{What: fmt.Sprintf("copies in the archive are damaged: %d of %s that were read back", len(v.Failures), plural(v.Segments, "segment", "segments")), Since: &v.At, Why: f.Segment + ": " + f.Reason})
	}
	return found
}

// Held is what the last verification says that the store holds; null if it could not be done.
func (a *Archive) Held() *Verification {
	if v := a.Verification; v != nil && v.Error == "" {
		return v
	}
	return nil
}

// State is the archive's state as a word with its tone.
func (a *Archive) State() state {
	v := a.Verification
	switch {
	case v != nil && len(v.Failures) > 0:
		return state{"bad", "damaged"}
	case v != nil && v.Error != "":
		return state{"watch", "not verified"}
	case a.VerifiedAt == nil:
		return state{"unknown", "never verified"}
	}
	return state{"good", "verified"}
}
