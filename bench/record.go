package main

import (
	"fmt"

	"github.com/dustin/go-humanize"
)

// The names of reaper's sides in the plot.
const (
	plotDefault = "reaper"
	plotProven  = "reaper, proven"
)

// record adds the rates to the result: a group for each kind of key, with the peers that have
// the same. A group without a side is left out.
func (m *mailFigures) record(rows int64) {
	for _, group := range []struct {
		template, keys string
	}{{cascading, "ON DELETE CASCADE"}, {noAction, "NO ACTION keys"}} {
		g := rateGroup{Title: fmt.Sprintf("mail, %s: %s rows due in 11 tables", group.keys, humanize.Comma(rows))}
		for _, p := range peers {
			if p.template == group.template {
				g.Peers = append(g.Peers, rateLine{Name: p.name, Rates: each(m.byPeer[p.name], turn.rowRate)})
			}
		}
		for i, s := range m.b.sides {
			if s.template == group.template {
				g.Sides = append(g.Sides, m.line(i))
			}
		}
		if len(g.Sides) > 0 {
			m.b.result.Rates = append(m.b.result.Rates, g)
		}
	}
}

func (m *mailFigures) line(i int) rateLine {
	l := rateLine{Name: plotDefault, Proven: m.b.sides[i].proven, Rates: each(m.bySide[i], turn.rowRate)}
	if l.Proven {
		l.Name = plotProven
	}
	return l
}

// plotTitle describes a shape's rows.
func (s shape) plotTitle(tenants, rows int) string {
	dependents := "no dependents"
	if s.details {
		dependents = "a cascaded row each"
	}
	return fmt.Sprintf("%s tenants: %s rows, half of them due, %s", humanize.Comma(int64(tenants)), humanize.Comma(int64(rows)), dependents)
}

// record adds the latencies to the result.
func (c *curve) record(undisturbed []point, paced map[string][]point) {
	figures := func(name string, points []point) paceFigures {
		return paceFigures{Pace: name, Rates: each(points, point.rows), P99: each(points, point.p99)}
	}
	all := []paceFigures{figures(noPurge, undisturbed)}
	for _, name := range c.b.paces {
		all = append(all, figures(name, paced[name]))
	}
	c.b.result.Pace = all
}
