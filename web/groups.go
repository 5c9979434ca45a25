package web

import (
	"fmt"
	"slices"
	"strings"
)

// runbooks is where the runbook of each alert is, as in the alerts' own annotations.
const runbooks = "https://github.com/reaperdb/reaper/blob/main/docs/runbooks/"

// Runbook is the address of the runbook of the alert that tells of it; empty if there is none.
func (f Finding) Runbook() string {
	if f.Alert == "" {
		return ""
	}
	return runbooks + f.Alert + ".md"
}

// namedPolicies is how many policies a group names.
const namedPolicies = 6

// group is a finding, and the policies that it is of if there are several.
type group struct {
	Finding
	Policies []string // in the order of the findings; empty if it is of one policy or none
}

// Named are the policies that the group names.
func (g group) Named() []string { return g.Policies[:min(len(g.Policies), namedPolicies)] }

// Unnamed is how many policies the group does not name.
func (g group) Unnamed() int64 { return int64(len(g.Policies) - len(g.Named())) }

// Many says what is true of the policies of the group.
func (g group) Many() string {
	what := g.What
	for _, form := range []struct{ one, many string }{{"is ", "are "}, {"was ", "were "}, {"never deletes most of its rows", "never delete most of their rows"}} {
		if rest, ok := strings.CutPrefix(what, form.one); ok {
			what = form.many + rest
			break
		}
	}
	return fmt.Sprintf("%d policies %s", len(g.Policies), what)
}

// grouped puts findings that say the same of several policies together, in the order of the first of
// each.
func grouped(findings []Finding) []group {
	var all []group
	for _, f := range findings {
		i := slices.IndexFunc(all, func(g group) bool {
			return f.Policy != "" && g.Policy != "" && g.What == f.What && g.Why == f.Why && g.Alert == f.Alert
		})
		if i < 0 {
			all = append(all, group{Finding: f})
			continue
		}
		g := &all[i]
		if len(g.Policies) == 0 {
			g.Policies = []string{g.Policy}
			g.Next = strings.TrimSuffix(g.Next, " --policy "+g.Policy)
		}
		g.Policies = append(g.Policies, f.Policy)
		if g.Since != nil && (f.Since == nil || f.Since.Before(*g.Since)) {
			g.Since = f.Since
		}
	}
	return all
}

// crowd is how many policies the page lists in full. Of more, those that are on time fold.
const crowd = 25

// Listed are the policies in the table: all in the file's order, or of many only those that are not
// on time, the worst first.
func (v *view) Listed() []Policy {
	if len(v.Policies) <= crowd {
		return v.Policies
	}
	rank := map[string]int{"bad": 0, "watch": 1, "unknown": 2}
	list := slices.DeleteFunc(slices.Clone(v.Policies), func(p Policy) bool { return v.State(p).Tone == "good" })
	slices.SortStableFunc(list, func(a, b Policy) int { return rank[v.State(a).Tone] - rank[v.State(b).Tone] })
	return list
}

// Folded are the other policies.
func (v *view) Folded() []Policy {
	if len(v.Policies) <= crowd {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(v.Policies), func(p Policy) bool { return v.State(p).Tone != "good" })
}

// GuardsQuiet says so if no guard holds anything back; else it is empty.
func (v *view) GuardsQuiet() string {
	off := 0
	for _, g := range v.Guards {
		switch {
		case g.Off:
			off++
		case g.Unknown || g.State != "go":
			return ""
		}
	}
	text := "none is read"
	switch n := len(v.Guards) - off; {
	case n == 1:
		text = "the one that is read says go"
	case n > 1:
		text = fmt.Sprintf("all %d say go", n)
	}
	if off > 0 {
		text += fmt.Sprintf(", %d %s off", off, map[bool]string{true: "is", false: "are"}[off == 1])
	}
	return text
}

// known reports whether any of the rates is.
func (b *Balance) known() bool {
	return b != nil && (b.Arrival != nil || b.Due != nil || b.Deletion != nil || b.ClearSeconds != nil)
}

// Keeping are the policies that keep up, Behind those that do not.
func (v *view) Keeping() []Policy {
	return slices.DeleteFunc(v.Balances(), func(p Policy) bool { return p.Balance.ClearSeconds == nil })
}

// Behind are the policies whose rows become due faster than they are deleted, as far as is known.
func (v *view) Behind() []Policy {
	return slices.DeleteFunc(v.Balances(), func(p Policy) bool { return p.Balance.ClearSeconds != nil })
}

// Unbalanced says for how many policies the balance is not known yet, and why; empty if none.
func (v *view) Unbalanced() string {
	n, why := int64(0), ""
	for _, p := range v.Policies {
		if p.Balance != nil && !p.Balance.known() {
			n, why = n+1, p.Balance.Reason
		}
	}
	switch n {
	case 0:
		return ""
	case int64(len(v.Policies)):
		return "not known yet: " + why
	}
	return "not known yet of " + plural(n, "policy", "policies") + ": " + why
}
