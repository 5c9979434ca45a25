package web

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"slices"
	"time"
)

var (
	//go:embed page.html
	pageHTML string
	//go:embed policy.html
	policyHTML string
	//go:embed page.css
	pageCSS string
	//go:embed page.js
	pageJS string
)

// Limits of the lists on the page; /api/status has all of it.
const (
	mostRuns    = 15
	mostTenants = 10
	mostTables  = 20
)

// document renders the page: one file, so that it works behind any path and saves as a
// whole.
type document struct {
	template *template.Template
	policy   string // Content-Security-Policy: only this style and this script
}

func newDocument() document {
	page := template.Must(template.New("page").Funcs(template.FuncMap{
		"bytes": size, "count": count, "measure": measure, "rate": rate, "plural": plural, "seconds": spanOf, "sentence": sentence, "span": span, "visible": external, "brief": brief, "breakable": breakable,
		"list": func(items ...any) []any { return items }, "grouped": grouped, "len64": func(list []Policy) int64 { return int64(len(list)) },
		"css": func() template.CSS { return template.CSS(pageCSS) },
		"js":  func() template.JS { return template.JS(pageJS) },
	}).Parse(pageHTML))
	template.Must(page.New("policy").Parse(policyHTML))
	return document{
		template: page,
		policy: fmt.Sprintf("default-src 'none'; style-src %s; script-src %s; img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
			hash(pageCSS), hash(pageJS)),
	}
}

func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}

func (d document) render(s Status, v Verdict, now time.Time) ([]byte, error) {
	var b bytes.Buffer
	err := d.template.Execute(&b, newView(s, v, now))
	return b.Bytes(), err
}

func newView(s Status, v Verdict, now time.Time) *view {
	return &view{Status: s, Verdict: v, now: now, blind: v.Stale || !s.Database.Up}
}

// view is the data of the template.
type view struct {
	Status
	Verdict
	now   time.Time
	blind bool // the data is out of date
	up    bool // the page is one below the main page
}

// Up reports whether the page is one below the main page.
func (v *view) Up() bool { return v.up }

// Base leads from this page to the main one.
func (v *view) Base() string {
	if v.up {
		return "../"
	}
	return "./"
}

// Tone is the overall state: bad, watch or good.
func (v *view) Tone() string {
	switch {
	case !v.Healthy():
		return "bad"
	case len(v.Held)+len(v.Warnings) > 0:
		return "watch"
	}
	return "good"
}

// Headline is the one line for readers who read one line.
func (v *view) Headline() string {
	policies := ""
	switch n := len(v.Unhealthy); {
	case n == 1:
		policies = v.Unhealthy[0].Policy + " " + v.Unhealthy[0].What
	case n > 1:
		policies = fmt.Sprintf("%d of %s have problems", n, plural(int64(len(v.Policies)), "policy", "policies"))
	}
	switch first := slices.Concat(v.NotReady, v.Broken); {
	case len(first) > 0 && policies != "":
		return sentence(first[0].What) + ", and " + policies
	case len(first) > 0:
		return sentence(first[0].What)
	case policies != "":
		return policies
	case len(v.Held) > 0:
		return v.heldHeadline()
	case len(v.Warnings) > 0:
		return "Nothing is late, but see below"
	}
	return "All is well"
}

// heldHeadline is the headline when the worst news is that something is held back.
func (v *view) heldHeadline() string {
	for _, p := range v.Pauses {
		if p.Policy == nil {
			return "Every policy is paused by hand"
		}
	}
	switch {
	case len(v.Held) > 1:
		return "Nothing is late, but some of it is held back"
	case len(v.Pauses) == 1:
		return *v.Pauses[0].Policy + " is paused by hand"
	}
	return v.Held[0].Policy + " " + v.Held[0].What
}

// Text formats the finding for the page, without the policy's name.
func (f Finding) Text() string {
	if f.Policy != "" {
		return f.text()
	}
	return sentence(f.text())
}

// Rest is what the headline leaves out.
func (f Finding) Rest() string { return sentence(f.More) }

// Moment is a time as the page shows it.
type Moment struct {
	At     time.Time
	Clock  string
	Since  string
	Future bool
}

// When makes a Moment of a time or a pointer to one; nil if it is unknown.
func (v *view) When(t any) *Moment {
	var at time.Time
	switch t := t.(type) {
	case time.Time:
		at = t
	case *time.Time:
		if t == nil {
			return nil
		}
		at = *t
	}
	if at.IsZero() {
		return nil
	}
	return &Moment{At: at.UTC(), Clock: clock(at, v.now), Since: since(at, v.now), Future: at.After(v.now)}
}

// Running returns the runs in progress.
func (v *view) Running() []running {
	var list []running
	for _, p := range v.Policies {
		if p.Running != nil {
			list = append(list, running{Progress: *p.Running, Policy: p.Name, took: max(v.now.Sub(p.Running.StartedAt), 0)})
		}
	}
	return list
}

// Next returns the policy that runs next, or nil. Paused ones are skipped.
func (v *view) Next() *Policy {
	var next *Policy
	for i, p := range v.Policies {
		if p.NextRunAt != nil && !p.Paused && (next == nil || p.NextRunAt.Before(*next.NextRunAt)) {
			next = &v.Policies[i]
		}
	}
	return next
}

// policyRun is a run with the name of its policy.
type policyRun struct {
	Policy string
	Run
}

// LastRuns returns the last runs of all policies, newest first.
func (v *view) LastRuns() []policyRun {
	var list []policyRun
	for _, p := range v.Policies {
		for _, r := range p.ended() {
			list = append(list, policyRun{p.Name, r})
		}
	}
	slices.SortStableFunc(list, func(a, b policyRun) int { return b.StartedAt.Compare(a.StartedAt) })
	return list[:min(len(list), mostRuns)]
}

// ended returns the policy's finished runs, or the last one if only that is known.
func (p Policy) ended() []Run {
	if len(p.Runs) == 0 && p.LastRun != nil && p.LastRun.FinishedAt != nil {
		return []Run{*p.LastRun}
	}
	return p.Runs
}

// Balances returns the policies whose balance is known.
func (v *view) Balances() []Policy {
	return slices.DeleteFunc(slices.Clone(v.Policies), func(p Policy) bool { return !p.Balance.known() })
}

// policyTenant is a tenant with the name of its policy.
type policyTenant struct {
	Policy string
	Tenant
}

// Worst returns the most overdue tenants of all policies.
func (v *view) Worst() []policyTenant {
	var list []policyTenant
	for _, p := range v.Policies {
		for _, t := range p.WorstTenants {
			if t.Key != nil {
				list = append(list, policyTenant{p.Name, t})
			}
		}
	}
	slices.SortStableFunc(list, func(a, b policyTenant) int { return cmp.Compare(b.LagSeconds, a.LagSeconds) })
	return list[:min(len(list), mostTenants)]
}

// Largest returns the largest tables.
func (v *view) Largest() []Table {
	list := slices.SortedStableFunc(slices.Values(v.Database.Tables), func(a, b Table) int { return cmp.Compare(b.bytes(), a.bytes()) })
	return list[:min(len(list), mostTables)]
}

func (t Table) bytes() int64 {
	if t.SizeBytes == nil {
		return -1
	}
	return *t.SizeBytes
}

// Limits returns a guard's thresholds, mildest first.
func (g Guard) Limits() []guardLimit {
	var list []guardLimit
	for _, l := range []struct {
		state string
		at    *float64
	}{{"slow", g.Slow}, {"pause", g.Pause}, {"stop", g.Stop}} {
		if l.at != nil {
			list = append(list, guardLimit{l.state, measure(*l.at, g.Unit)})
		}
	}
	return list
}

// guardLimit is the value from which a guard is in a state.
type guardLimit struct{ State, At string }

// Plot draws the database.
func (d Database) Plot() *plot { return newPlot(d.Sizes) }

// Plot draws the table.
func (t Table) Plot() *plot { return newPlot(t.Sizes) }
