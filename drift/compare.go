package drift

import (
	"fmt"
	"slices"
	"strings"

	"github.com/reaperdb/reaper/internal/visible"
	"github.com/reaperdb/reaper/policy"
)

// Difference is one fact that differs between two prints.
type Difference struct {
	Text string // one line, which begins with +, - or ~
	// Harmless: no row goes that did not go before. The list of such differences is closed.
	Harmless bool
}

// Compare returns what is different in the second print, the harmful first. Prints of different
// versions cannot be compared: that is one harmless difference.
func Compare(before, after *Print) []Difference {
	if before.Version != after.Version {
		return []Difference{{Text: fmt.Sprintf("~ the print has version %d, and had %d: it is not compared", after.Version, before.Version), Harmless: true}}
	}
	c := comparison{before: before, after: after, reached: after.reached(), sameServer: before.Server == after.Server, unread: before.Unread != after.Unread}
	old, now := before.byWhat(), after.byWhat()
	for _, f := range before.Facts {
		if n, stays := now[f.What]; !stays {
			c.removed(f)
		} else if n.Is != f.Is {
			c.changed(f, n)
		}
	}
	for _, f := range after.Facts {
		if _, was := old[f.What]; !was {
			c.added(f)
		}
	}
	if before.Root != after.Root {
		c.add("~ policy table: "+before.Root+" → "+after.Root, false)
	}
	slices.SortStableFunc(c.found, func(x, y Difference) int {
		switch {
		case x.Harmless == y.Harmless:
			return 0
		case y.Harmless:
			return -1
		}
		return 1
	})
	return c.found
}

func (p *Print) byWhat() map[string]Fact {
	facts := map[string]Fact{}
	for _, f := range p.Facts {
		facts[f.What] = f
	}
	return facts
}

// reached are the tables that a purge can reach without passing a keep.
func (p *Print) reached() map[string]bool {
	reached := map[string]bool{p.Root: true}
	for again := true; again; {
		again = false
		for _, f := range p.Facts {
			if f.kind() == ofEdge && !f.Keeps && reached[f.Of] && !reached[f.Table] {
				reached[f.Table], again = true, true
			}
		}
	}
	return reached
}

// comparison collects differences.
type comparison struct {
	before, after *Print
	reached       map[string]bool // of the print after
	sameServer    bool
	unread        bool // only one of the two tells what SQL of the file relies on
	found         []Difference
}

func (c *comparison) add(text string, harmless bool) {
	c.found = append(c.found, Difference{Text: visible.Text(text), Harmless: harmless})
}

// removed judges a fact that is gone. A column that nothing relies on any more is no news: what
// relied on it is. What stands behind a new keep is no longer reached.
func (c *comparison) removed(f Fact) {
	if f.kind() == ofColumn || f.kind() == "generated" && !c.relied(c.after, f) {
		return
	}
	if c.unknown(f) || f.kind() == "trigger-function" && c.keepsMore() {
		c.add("- "+f.text(), true)
		return
	}
	behindKeep := f.Table != "" && !c.reached[f.Table] && (f.Of == "" || !c.reached[f.Of])
	c.add("- "+f.text(), behindKeep && c.keepsMore())
}

// unknown reports whether one of the prints could not tell such a fact.
func (c *comparison) unknown(f Fact) bool {
	return c.unread && (f.kind() == "function" || f.kind() == "view" || f.kind() == "relation")
}

// relied reports whether a print relies on the column of a fact.
func (c *comparison) relied(p *Print, f Fact) bool {
	_, name, _ := strings.Cut(f.What, " ")
	return slices.ContainsFunc(p.Facts, func(x Fact) bool { return x.What == ofColumn+" "+name })
}

// keepsMore reports whether an edge of the print before has become a keep.
func (c *comparison) keepsMore() bool {
	old := c.before.byWhat()
	return slices.ContainsFunc(c.after.Facts, func(f Fact) bool { return f.Keeps && !old[f.What].Keeps })
}

// added judges a new fact. What only keeps, holds or lasts forever takes nothing away.
func (c *comparison) added(f Fact) {
	switch f.kind() {
	case ofColumn:
		return
	case "generated":
		if !c.relied(c.before, f) {
			return
		}
		c.add("+ "+f.text(), false)
	case ofEdge:
		c.add("+ "+f.text(), f.Keeps)
	case ofPolicy, ofTenants:
		key := f.setting()
		c.add("+ "+f.text(), key == "hold" || key == "min" || key == "override" && f.Is == "forever")
	default: // such as a trigger of a table that is only kept
		c.add("+ "+f.text(), c.unknown(f) || f.Table != "" && !c.reached[f.Table])
	}
}

// changed judges a fact that says something else now.
func (c *comparison) changed(was, is Fact) {
	harmless, text := false, fmt.Sprintf("~ %s: %s → %s", is.What, was.Is, is.Is)
	switch {
	case is.Printed && !c.sameServer:
		harmless = true
		text = fmt.Sprintf("~ %s: not compared, since PostgreSQL %d prints it and %d did", is.What, c.after.Server, c.before.Server)
	case is.Printed, is.kind() == "function", is.kind() == "trigger-function":
		text = fmt.Sprintf("~ %s: its definition has changed", is.What)
	case is.kind() == ofEdge:
		harmless = is.Keeps && !was.Keeps
	case is.kind() == ofPolicy, is.kind() == ofTenants:
		key := is.setting()
		harmless = (key == "retention" || key == "default" || key == "min" || key == "override") && longer(was.Is, is.Is)
	}
	c.add(text, harmless)
}

// longer reports whether both texts are constant retentions, and the second is at least as long
// whenever it counts.
func longer(was, is string) bool {
	x, err := policy.ParseDuration(was)
	y, other := policy.ParseDuration(is)
	if err != nil || other != nil || x.Forever {
		return err == nil && other == nil && y.Forever
	}
	return y.Forever || y.Months >= x.Months && y.Days >= x.Days && y.Micros >= x.Micros || least(y) >= most(x)
}

// least and most are the shortest and the longest that a duration can be on the calendar, in
// microseconds: a month has 28 to 31 days, twelve have 365 or 366, and a day has 23 to 25 hours.
func least(d policy.Duration) float64 { return micros(d, 365, 28, 23) }

func most(d policy.Duration) float64 { return micros(d, 366, 31, 25) }

func micros(d policy.Duration, year, month, day float64) float64 {
	days := float64(d.Months/12)*year + float64(d.Months%12)*month + float64(d.Days)
	return days*day*3600e6 + float64(d.Micros)
}
