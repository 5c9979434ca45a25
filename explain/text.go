package explain

import (
	"fmt"
	"strings"
	"time"

	"github.com/reaperdb/reaper/internal/visible"
	"github.com/reaperdb/reaper/plan"
)

// lines collects what is printed; each line begins with what it is about.
type lines []string

func (l *lines) add(about, format string, args ...any) {
	*l = append(*l, fmt.Sprintf("  %-10s ", about)+fmt.Sprintf(format, args...))
}

// Lines are the answer for people. They hold values of the database, which are not escaped.
func (r *Row) Lines() []string {
	l := lines{fmt.Sprintf("%s, %s: %s: %s", r.Table, r.keyText(), r.Verdict, textOf(r.Reasons))}
	switch {
	case r.noTenants:
		l.add("tenant", "none: the policy has no tenants")
	case r.Tenant != nil:
		l.add("tenant", "%s, by %s", *r.Tenant, r.pathText())
	default:
		l.add("tenant", "none: %s", r.pathText())
	}
	age := r.Age.text()
	if r.Age.At != nil {
		age += ", " + ago(r.Age.At.Sub(r.At))
	}
	l.add("age", "%s", age)
	if r.Retention != nil {
		l.add("retention", "%s", r.Retention.text())
	}
	if r.ExpiresAt != nil {
		l.add("expires", "%s, %s", timeText(*r.ExpiresAt), ago(r.ExpiresAt.Sub(r.At)))
	}
	if r.Where != nil {
		l.add("where", "%s: %s", r.Where.SQL, r.Where.text())
	}
	l.holds(r.Holds)
	for _, k := range r.KeptBy {
		note := ""
		if k.MayGo {
			note = ", unless they are deleted themselves"
		}
		l.add("kept by", "%s%s", k.text(), note)
	}
	for _, t := range r.Takes {
		l.add("with it", "%s", t.text())
	}
	for _, n := range r.Notes {
		l.add("note", "%s", n)
	}
	return l
}

func (l *lines) holds(holds []Hold) {
	for _, h := range holds {
		l.add("held", "%s", h.text())
	}
}

func (r *Row) keyText() string {
	values := make([]*string, len(r.columns))
	for i, c := range r.columns {
		v := r.Key[c]
		values[i] = &v
	}
	return valuesText(r.columns, values)
}

// pathText is the path as far as it leads.
func (r *Row) pathText() string {
	var b strings.Builder
	for i, s := range r.Path {
		if i == 0 {
			b.WriteString(s.Table + " ")
		}
		b.WriteString("(" + valuesText(s.Columns, s.Values) + ")")
		switch {
		case !s.Found:
			b.WriteString(" -> nothing")
		case s.To != "":
			b.WriteString(" -> " + s.To + " ")
		default:
			b.WriteString(" -> the tenants' query")
		}
	}
	return strings.TrimSpace(b.String())
}

// sources are the places of retentions in words.
var sources = map[string]string{
	"override": "the policy's override for it", "tenants override": "the override under tenants", "policy": "the policy's retention",
	"tenants": "the retention under tenants", "query": "the query of the tenants", "default": "the default",
}

func (t *Retention) text() string {
	if t.Source == "" {
		return "none, and there is no default"
	}
	length := "NULL"
	if t.Length != nil {
		length = *t.Length
	}
	text := length + ", from " + sources[t.Source]
	if t.SQL != "" {
		text += " (" + t.SQL + ")"
	}
	if t.Raised {
		text += "; raised to min, " + t.Min
	}
	if t.Cutoff != nil {
		text += "; cutoff " + timeText(*t.Cutoff)
	}
	return text
}

func (w *Where) text() string {
	switch {
	case w.Error != "":
		return w.Error
	case w.Result == nil:
		return "NULL"
	}
	return fmt.Sprint(*w.Result)
}

// text is what happens to rows behind an edge, in words.
func (t Taken) text() string {
	rows := visible.Count(t.Rows, "row", "rows")
	if t.More {
		rows = "at least " + rows
	}
	switch plan.EdgeAction(t.Action) {
	case plan.ByNullify, plan.BySetNull:
		return fmt.Sprintf("%s of %s stay, with %s set to NULL (%s)", rows, t.Table, strings.Join(t.Columns, ", "), t.Constraint)
	case plan.BySetDefault:
		return fmt.Sprintf("%s of %s stay, with %s set to the default (%s)", rows, t.Table, strings.Join(t.Columns, ", "), t.Constraint)
	}
	return fmt.Sprintf("%s of %s, by %s of %s (%s)", rows, t.Table, strings.Join(t.Columns, ", "), t.Parent, t.Constraint)
}

// ago is how long a time is past, or ahead.
func ago(d time.Duration) string {
	if d > 0 {
		return "in " + distance(d)
	}
	return distance(d) + " ago"
}

// Lines are the answer for people. They hold values of the database, which are not escaped.
func (t *Tenant) Lines() []string {
	key := "all rows"
	if t.Key != nil {
		key = "tenant " + *t.Key
	}
	l := lines{fmt.Sprintf("policy %s, %s: %s", t.Policy, key, t.State)}
	if t.Retention != nil {
		l.add("retention", "%s", t.Retention.text())
	}
	l.holds(t.Holds)
	switch {
	case t.ExpiredRows == nil:
		l.add("due", "not counted: that takes more than %s", statementTimeout)
	case *t.ExpiredRows > 0:
		l.add("due", "%s of %s, the oldest for %s", visible.Count(*t.ExpiredRows, "row", "rows"), t.Table, distance(time.Duration(*t.LagSeconds*float64(time.Second))))
	default:
		l.add("due", "nothing")
	}
	if t.LastDeletion != nil {
		l.add("last", "%s, over all tables, deleted by the run that began at %s", visible.Count(t.LastDeletion.Rows, "row", "rows"), timeText(t.LastDeletion.At))
	} else {
		l.add("last", "the ledger knows of no row that was deleted")
	}
	for _, b := range t.Blocked {
		l.add("waits", "%s", b.Text)
	}
	for _, n := range t.Notes {
		l.add("note", "%s", n)
	}
	return l
}
