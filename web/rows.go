package web

import (
	"cmp"
	"html/template"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// running is a run in progress, with the name of its policy.
type running struct {
	Progress
	Policy string
	took   time.Duration
}

// Took is how long it has been running.
func (r running) Took() string { return span(r.took.Truncate(time.Second)) }

// Goal is how many roots the run has to delete, 0 if unknown. More may become due than
// at the start.
func (r running) Goal() int64 {
	if r.Due == nil {
		return 0
	}
	return max(*r.Due, r.Roots)
}

// Percent is the progress, never 100 while it runs.
func (r running) Percent() int64 {
	if r.Goal() == 0 {
		return 0
	}
	return min(int64(100*float64(r.Roots)/float64(r.Goal())), 99)
}

// Rate is rows per second, over all tables.
func (r running) Rate() int64 {
	if r.took < time.Second {
		return 0
	}
	return int64(float64(r.Rows) / r.took.Seconds())
}

// Left is the remaining time at this rate; empty if unknown or if the run is paused.
func (r running) Left() string {
	left := r.Goal() - r.Roots
	if r.Held.stops() || r.Roots <= 0 || left <= 0 || r.took < time.Second {
		return ""
	}
	return spanOf(float64(left) / float64(r.Roots) * r.took.Seconds())
}

// tableRows is a number of rows of a table.
type tableRows struct {
	Table string
	Rows  int64
}

// ByTable returns a run's rows by table, most first.
func (r Run) ByTable() []tableRows {
	var list []tableRows
	for table, rows := range r.Rows {
		list = append(list, tableRows{table, rows})
	}
	slices.SortFunc(list, func(a, b tableRows) int {
		return cmp.Or(cmp.Compare(b.Rows, a.Rows), strings.Compare(a.Table, b.Table))
	})
	return list
}

// Took is how long a run took; empty if it has not finished.
func (r Run) Took() string {
	if r.FinishedAt == nil {
		return ""
	}
	d := r.FinishedAt.Sub(r.StartedAt)
	if d >= 10*time.Second {
		d = d.Truncate(time.Second)
	}
	return span(d)
}

// Tone is the tone of a run's outcome.
func (r Run) Tone() string {
	switch r.Status {
	case "complete":
		return "good"
	case "incomplete":
		return "watch"
	}
	return "bad"
}

// state is a policy's state as a word with its tone.
type state struct{ Tone, Word string }

// State is the most important thing about a policy. It says "on time" only on current
// evidence.
func (v *view) State(p Policy) state {
	switch {
	case p.Failing && p.Late:
		return state{"bad", "failing, late"}
	case p.Failing:
		return state{"bad", "failing"}
	case p.Late:
		return state{"bad", "late"}
	case p.Paused:
		return state{"watch", "paused"}
	case p.LagSeconds == nil:
		return state{"unknown", "not measured"}
	case p.ScanStale:
		return state{"watch", "measured long ago"}
	case v.blind:
		return state{"unknown", "was on time"}
	}
	return state{"good", "on time"}
}

// Look is a guard's state as a word with its tone.
func (g Guard) Look() state {
	switch {
	case g.Off:
		return state{"unknown", "off"}
	case g.State == "go":
		return state{"good", "go"}
	case g.State == "stop":
		return state{"bad", "stop"}
	}
	return state{"watch", g.State}
}

// Clear is when nothing will be due; empty if never or unknown.
func (b *Balance) Clear() string {
	switch {
	case b.ClearSeconds == nil:
		return ""
	case *b.ClearSeconds == 0:
		return "now"
	}
	return "in " + spanOf(*b.ClearSeconds)
}

// Percent is how much of the limit is used, at most 100; 0 without a limit.
func (f *Forecast) Percent() int64 {
	if f.LimitBytes == nil || *f.LimitBytes <= 0 {
		return 0
	}
	return min(int64(100*float64(f.UsedBytes)/float64(*f.LimitBytes)), 100)
}

// Overdue is how many tenants have expired rows; 0 if none or unknown.
func (p Policy) Overdue() int64 {
	if p.OverdueTenants == nil {
		return 0
	}
	return *p.OverdueTenants
}

// sentence capitalizes the first letter.
func sentence(text string) string {
	if text == "" {
		return ""
	}
	r, n := utf8.DecodeRuneInString(text)
	return string(unicode.ToUpper(r)) + text[n:]
}

// Icon is the tab's icon: its shape says as much as its color.
func (v *view) Icon() template.URL {
	colour, path := map[string]string{"good": "1b7a43", "watch": "b07a00", "bad": "c0271d"}[v.Tone()], "M4 8.5l3 3 5-6"
	switch v.Tone() {
	case "bad":
		path = "M5 5l6 6M11 5l-6 6"
	case "watch":
		path = "M8 4v5M8 11.4v.4"
	}
	return template.URL("data:image/svg+xml," +
		"%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Crect width='16' height='16' rx='4' fill='%23" + colour +
		"'/%3E%3Cpath d='" + path + "' fill='none' stroke='white' stroke-width='2' stroke-linecap='round' stroke-linejoin='round'/%3E%3C/svg%3E")
}
