package web

import (
	"slices"
	"strings"
	"time"

	"github.com/reaperdb/reaper/guard"
)

// Verdict is the assessment of a Status. An empty list means no findings.
type Verdict struct {
	NotReady  []Finding // /readyz/process: the process itself, and whether it has a valid policy file
	Broken    []Finding // /readyz, in addition: the database, the ledger, and the policy file as it is now
	Unhealthy []Finding // /health, in addition: policies that are failing or late
	Held      []Finding // what holds deleting back, a person or a guard; not unhealthy
	Warnings  []Finding // what deserves attention; not unhealthy
	Stale     bool      // the snapshot is too old or missing
}

// Ready reports whether the database answers and the policy file is valid.
func (v Verdict) Ready() bool { return len(v.NotReady)+len(v.Broken) == 0 }

// Healthy reports whether, in addition, no policy is failing or late.
func (v Verdict) Healthy() bool { return len(v.Problems()) == 0 }

// Problems returns the findings that make it unhealthy, worst first.
func (v Verdict) Problems() []Finding {
	return slices.Concat(v.NotReady, v.Broken, v.Unhealthy)
}

// Finding is one thing that a person should know.
type Finding struct {
	Policy string     // empty if not about a single policy
	What   string     // "is failing"; a whole sentence without a policy
	More   string     // details that continue What; may be empty
	Since  *time.Time // nil if unknown
	Why    string     // empty if unknown
	Alert  string     // the alert that tells of it, if any; it has a runbook
	Next   string     // the command to run next; empty if none helps
}

func (f Finding) String() string {
	var b strings.Builder
	if f.Policy != "" {
		b.WriteString("policy " + f.Policy + " ")
	}
	b.WriteString(f.text())
	if f.Since != nil {
		b.WriteString(", since " + f.Since.UTC().Format(time.RFC3339))
	}
	if f.Why != "" {
		b.WriteString(": " + f.Why)
	}
	return b.String()
}

// text joins What and More, as one phrase about a policy or as two clauses.
func (f Finding) text() string {
	switch {
	case f.More == "":
		return f.What
	case f.Policy != "":
		return f.What + " " + f.More
	}
	return f.What + "; " + f.More
}

// Judge assesses the status. A snapshot older than maxAge proves nothing: the loop that takes
// it hangs, perhaps on the database.
func (s Status) Judge(now time.Time, maxAge time.Duration) Verdict {
	var v Verdict
	v.Stale = now.Sub(s.At) > maxAge
	if s.At.IsZero() {
		v.NotReady = append(v.NotReady, Finding{What: "reaper has just started and has no data yet"})
		return v
	}
	if v.Stale {
		old := span(now.Sub(s.At).Truncate(time.Second))
		v.NotReady = append(v.NotReady, Finding{What: "reaper is stuck", More: "its data is " + old + " old", Since: &s.At, Alert: "ReaperLagStale"})
	}
	file := s.file(now)
	if s.Config.LoadedAt.IsZero() {
		v.NotReady = append(v.NotReady, file...)
		file = nil
	}
	v.Broken = slices.Concat(s.basics(), file)
	v.Held = s.held(now)
	for _, p := range s.Policies {
		if f, ok := p.trouble(); ok {
			v.Unhealthy = append(v.Unhealthy, f)
		}
		v.Warnings = append(v.Warnings, p.warnings(now)...)
	}
	for _, e := range s.Erasures {
		v.Warnings = append(v.Warnings, e.warnings(now)...)
	}
	v.Warnings = append(v.Warnings, s.Database.warnings(now)...)
	v.Warnings = append(v.Warnings, s.Archive.warnings(now)...)
	for _, h := range s.Heartbeats {
		if h.LastError != "" {
			v.Warnings = append(v.Warnings, Finding{What: "the monitor " + h.Name + " does not accept pings", Since: h.LastErrorAt, Why: h.LastError, Alert: "ReaperHeartbeatFailing"})
		}
	}
	return v
}

// basics checks the database and the ledger.
func (s Status) basics() []Finding {
	var found []Finding
	if !s.Database.Up {
		found = append(found, Finding{What: "the database does not answer", Since: s.Database.DownSince, Why: s.Database.Error, Alert: "ReaperDatabaseDown", Next: "reaper check"})
	}
	if s.LedgerError != "" && s.Database.Up { // else it is no cause of its own
		found = append(found, Finding{What: "reaper's ledger cannot be used, and nothing runs", Why: s.LedgerError, Alert: "ReaperRunsFailing", Next: "reaper migrate"})
	}
	return found
}

// file finds what is wrong with the policy file.
func (s Status) file(now time.Time) (found []Finding) {
	switch c := s.Config; {
	case c.Error != "":
		f := Finding{What: "the policy file is not valid", Since: c.FailedAt, Why: c.Error, Alert: "ReaperConfigInvalid", Next: "reaper check"}
		if !c.LoadedAt.IsZero() {
			f.More = "the one loaded at " + clock(c.LoadedAt, now) + " stays in effect"
		}
		found = append(found, f)
	case len(s.Policies) == 0:
		found = append(found, Finding{What: "there is no policy", Next: "reaper init"})
	}
	return found
}

// trouble describes a policy that is failing or late.
func (p Policy) trouble() (Finding, bool) {
	f := Finding{Policy: p.Name, Why: p.Reason, Alert: p.alert(), Next: "reaper check --policy " + p.Name}
	switch {
	case strings.Contains(p.Reason, "reaper approve"):
		f.Next = "reaper approve --policy " + p.Name
	case !p.Failing:
		f.Next = "reaper plan --policy " + p.Name
	}
	switch {
	case p.Failing && p.Late:
		f.What, f.Since = "is failing and late", p.FailingSince
	case p.Failing:
		f.What, f.Since = "is failing", p.FailingSince
	case p.Late:
		f.What, f.Since = "is late", p.LateSince
	default:
		return f, false
	}
	if p.Late {
		f.More = p.lateness()
	}
	return f, true
}

// alert is the alert that tells of a policy in trouble.
func (p Policy) alert() string {
	switch {
	case strings.Contains(p.Reason, "reaper approve"):
		return "ReaperApprovalNeeded"
	case p.Failing && p.LastSuccessAt == nil:
		return "ReaperNeverSucceeded"
	case p.Failing:
		return "ReaperRunsFailing"
	case p.LagSeconds != nil && p.MaxLagSeconds != nil && *p.LagSeconds > 2**p.MaxLagSeconds:
		return "ReaperLagCritical"
	}
	return "ReaperLagHigh"
}

// lateness is how late a policy is, as far as known.
func (p Policy) lateness() string {
	switch lag, most := p.LagSeconds, p.MaxLagSeconds; {
	case lag != nil && most != nil && *lag > *most:
		return "by " + spanOf(*lag-*most) + " (lag " + spanOf(*lag) + ", allowed " + spanOf(*most) + ")"
	case lag != nil:
		return "with a lag of " + spanOf(*lag)
	}
	return ""
}

func (p Policy) warnings(now time.Time) []Finding {
	var found []Finding
	check := "reaper check --policy " + p.Name
	switch {
	case p.ScanStale && p.ScannedAt != nil:
		found = append(found, Finding{Policy: p.Name, What: "was last measured", More: since(*p.ScannedAt, now), Why: p.Problem, Alert: "ReaperLagStale", Next: check})
	case p.ScanStale:
		found = append(found, Finding{Policy: p.Name, What: "was never measured", Why: p.Problem, Alert: "ReaperLagStale", Next: check})
	case p.Problem != "":
		found = append(found, Finding{Policy: p.Name, What: "is only partly known", Why: p.Problem, Next: check})
	}
	if p.Unowned.Most() {
		found = append(found, Finding{Policy: p.Name, What: "never deletes most of its rows", Why: p.Unowned.Text(), Next: check})
	}
	return found
}

// held lists manual pauses and the runs that a guard has paused. Runs that are only slowed
// still make progress.
func (s Status) held(now time.Time) []Finding {
	var found []Finding
	for _, p := range s.Pauses {
		f := Finding{What: "is paused by hand " + p.end(now), Since: &p.Since, Why: p.Reason + " (" + p.By + ")", Alert: "ReaperPaused", Next: "reaper resume"}
		if p.Policy != nil {
			f.Policy, f.Next = *p.Policy, "reaper resume --policy "+*p.Policy
		} else {
			f.What = "every policy " + f.What
		}
		found = append(found, f)
	}
	for _, p := range s.Policies {
		// Manual pauses are listed above.
		if r := p.Running; r != nil && r.Held.stops() && r.Held.Guard != guard.ByHand {
			found = append(found, Finding{Policy: p.Name, What: "is held back by the guard " + r.Held.Guard, Since: &r.Held.Since, Why: r.Held.Reason, Alert: "ReaperGuardPausing", Next: "reaper status"})
		}
	}
	return found
}

// stops reports whether the run is not proceeding for now.
func (h *Held) stops() bool { return h != nil && h.State != "slow" }

// end formats the end of a pause.
func (p Pause) end(now time.Time) string {
	return "until " + clock(p.Until, now) + " (" + since(p.Until, now) + ")"
}

// fullSoon is how far ahead a full disk is a warning.
const fullSoon = 28 * 24 * time.Hour

func (d Database) warnings(now time.Time) []Finding {
	f := d.Forecast
	if f == nil || f.FullAt == nil || f.LimitBytes == nil || f.FullAt.Sub(now) > fullSoon {
		return nil
	}
	found := Finding{What: "the limit of " + size(*f.LimitBytes) + " is reached " + since(*f.FullAt, now), Why: f.Reason, Alert: "ReaperStorageForecast", Next: "reaper plan"}
	if f.UsedBytes >= *f.LimitBytes {
		found.What, found.Alert = "the limit of "+size(*f.LimitBytes)+" is reached", "ReaperStorageCritical"
	}
	return []Finding{found}
}
