package web

import (
	"time"

	"github.com/reaperdb/reaper/internal/visible"
)

// Erasure is a tenant whose rows go, or went.
type Erasure struct {
	ID           string     `json:"id"`
	Tenant       *string    `json:"tenant"`      // as PostgreSQL prints the key; null: only the hash is known any more
	Hash         string     `json:"tenant_hash"` // keyed
	Origin       string     `json:"origin"`      // command or when
	By           string     `json:"by"`
	Reason       string     `json:"reason"`
	RequestedAt  time.Time  `json:"requested_at"`
	DueAt        time.Time  `json:"due_at"`
	State        string     `json:"state"`          // requested, waiting, running, done or cancelled
	Note         string     `json:"note,omitempty"` // why it does not go on, or how it ended
	FinishedAt   *time.Time `json:"finished_at"`
	NextSweepAt  *time.Time `json:"next_sweep_at"` // null: none is to come
	AgainAt      *time.Time `json:"again_at"`      // when kept rows are looked at again; null: none are kept, or all forever
	LeftoverRows int64      `json:"leftover_rows"` // that the last sweep found and left
}

// Cancellable reports whether rows are still to go.
func (e Erasure) Cancellable() bool { return e.State != "done" && e.State != "cancelled" }

// who names the tenant.
func (e Erasure) who() string {
	if e.Tenant != nil {
		return "tenant " + *e.Tenant
	}
	return "tenant with hash " + e.Hash[:min(12, len(e.Hash))]
}

// Text says whose erasure it is and how far.
func (e Erasure) Text() string {
	text := e.who() + ": " + e.State
	at := func(what string, t *time.Time) {
		if t != nil {
			text += ", " + what + " " + t.UTC().Format(time.DateTime) + " UTC"
		}
	}
	if e.Cancellable() {
		at("due", &e.DueAt)
	}
	at("ended", e.FinishedAt)
	at("next sweep", e.NextSweepAt)
	at("rows are kept, and looked at again", e.AgainAt)
	if e.LeftoverRows > 0 {
		text += ", " + visible.Count(e.LeftoverRows, "row has", "rows have") + " arrived since"
	}
	if e.Note != "" {
		text += ": " + e.Note
	}
	return text
}

// lateErasure is how long an erasure may be due before it is a warning.
const lateErasure = time.Hour

// warnings are about an erasure that does not go on, and about what arrived after it.
func (e Erasure) warnings(now time.Time) (found []Finding) {
	if e.Cancellable() && now.Sub(e.DueAt) > lateErasure {
		found = append(found, Finding{What: "the erasure of " + e.who() + " is due and has not ended", Since: &e.DueAt, Why: e.Note})
	}
	if e.LeftoverRows > 0 {
		found = append(found, Finding{What: visible.Count(e.LeftoverRows, "row has", "rows have") + " arrived for " + e.who() + ", which was erased", Why: "reaper erasures --certificate " + e.ID + " names the tables"})
	}
	return found
}
