package explain

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/reaperdb/reaper/internal/visible"
	"github.com/reaperdb/reaper/plan"
)

// decide gives the verdict and its reasons.
func (r *subject) decide(q Question) {
	blocked := slices.Clone(q.Blocked)
	for _, p := range q.Plan.Problems {
		if p.Level == plan.LevelError {
			blocked = append(blocked, Reason{Problem, "nothing of the policy is deleted: " + p.Text})
		}
	}
	r.Verdict = Goes
	switch {
	case r.going():
		r.Reasons = []Reason{{Expired, "expired" + r.since()}}
	case r.GoesWith != nil:
		r.Reasons = []Reason{{Along, fmt.Sprintf("it depends on the row with the key %s, which is deleted", strings.Join(r.GoesWith, ", "))}}
		if own := r.stays(); len(own) > 0 {
			r.Notes = append(r.Notes, "by itself it would stay: "+textOf(own))
		}
	default:
		r.Verdict, r.Reasons = Stays, r.stays()
	}
	if r.Verdict == Goes && len(blocked) > 0 {
		r.Verdict, r.Reasons = Stays, append(blocked, r.Reasons...)
		return
	}
	r.Reasons = append(r.Reasons, blocked...)
	if len(r.Reasons) == 0 {
		r.Reasons = []Reason{{Other, "a condition of the DELETE is not met that explain does not name"}}
	}
}

// since says from when on the row has been due.
func (r *subject) since() string {
	if r.ExpiresAt == nil {
		return ""
	}
	return " since " + timeText(*r.ExpiresAt)
}

// stays are the reasons why the row stays by itself.
func (r *subject) stays() (all []Reason) {
	add := func(kind Kind, text string) { all = append(all, Reason{kind, text}) }
	if !r.owned {
		add(Unowned, "it belongs to no tenant ("+r.broken()+"), and such rows are never deleted")
	}
	switch r.state {
	case "held":
		add(Held, "its tenant is held: "+r.holdsText(func(h Hold) bool { return h.Kind != "row" }))
	case "forever":
		add(Forever, "its tenant keeps its rows forever")
	case "skipped":
		add(Skipped, "its tenant has no retention that can be used: "+r.Retention.unusable())
	}
	if r.holdsNow {
		add(Held, "it is held: "+r.holdsText(func(h Hold) bool { return h.Kind == "row" }))
	}
	if r.Age.At == nil {
		add(NoAge, fmt.Sprintf("%s, which never expires", r.Age.text()))
	}
	if w := r.Where; w != nil {
		switch {
		case w.Error != "":
			add(WhereFails, "the policy's where fails for it: "+w.Error)
		case w.Result == nil:
			add(WhereFalse, "the policy's where is NULL for it")
		case !*w.Result:
			add(WhereFalse, "the policy's where is false for it")
		}
	}
	if reason, ok := r.early(); ok {
		all = append(all, reason)
	}
	if r.keeps {
		add(Kept, r.keptText())
	}
	return all
}

// early is the reason that the row has not expired yet.
func (r *subject) early() (Reason, bool) {
	if r.expired || r.ExpiresAt == nil || r.ExpiresAt.Before(r.At) {
		return Reason{}, false
	}
	if r.expiresOwn.Before(r.At) {
		return Reason{InGrace, "it is in its grace until " + timeText(*r.ExpiresAt)}, true
	}
	return Reason{NotExpired, "it has not expired: it comes due at " + timeText(*r.ExpiresAt) + " if nothing changes"}, true
}

// keptText names what keeps the row.
func (r *subject) keptText() string {
	var by []string
	for _, k := range r.KeptBy {
		by = append(by, k.text())
	}
	text := "rows keep it that it is referenced by: " + strings.Join(by, "; ")
	if r.unsure {
		text += "; too much is due to tell whether they are deleted themselves in the end"
	}
	return text
}

func (r *subject) holdsText(which func(Hold) bool) string {
	var all []string
	for _, h := range r.Holds {
		if which(h) {
			all = append(all, h.text())
		}
	}
	return strings.Join(all, "; ")
}

// unusable says why a tenant is skipped.
func (t *Retention) unusable() string {
	switch {
	case t.Length == nil:
		return "it has none, and there is no default"
	case *t.Length == "00:00:00":
		return "it is zero or absurd"
	}
	return "it is " + *t.Length
}

func textOf(reasons []Reason) string {
	all := make([]string, len(reasons))
	for i, x := range reasons {
		all[i] = x.Text
	}
	return strings.Join(all, "; ")
}

// text is a hold in words.
func (h Hold) text() string {
	if h.Kind == "file" {
		return "hold of the policy file, " + h.Reason
	}
	until := "until it is released"
	if h.Until != nil {
		until = "until " + timeText(*h.Until)
	}
	return fmt.Sprintf("hold %d, %s (%s, by %s)", *h.ID, until, h.Reason, h.By)
}

// text is a keeper in words.
func (k Keeper) text() string {
	text := k.Table
	for i, key := range k.Keys {
		sep := ", "
		if i == 0 {
			sep = " "
		}
		text += sep + "(" + strings.Join(key, ", ") + ")"
	}
	if k.More {
		text += " and more"
	}
	return text + " by " + k.Constraint
}

// text is an age in words.
func (a Age) text() string {
	if a.Value == nil {
		return a.Column + " is NULL"
	}
	return a.Column + " is " + *a.Value
}

func timeText(t time.Time) string { return t.UTC().Format(time.DateTime) + " UTC" }

// distance is how far a time is from another, for people.
func distance(d time.Duration) string {
	d = max(d, -d)
	switch {
	case d >= 48*time.Hour:
		return visible.Count(int64(d/(24*time.Hour)), "day", "days")
	case d >= 2*time.Hour:
		return visible.Count(int64(d/time.Hour), "hour", "hours")
	}
	return visible.Count(int64(d/time.Minute), "minute", "minutes")
}
