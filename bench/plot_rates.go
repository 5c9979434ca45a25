package main

import (
	"fmt"

	"github.com/reaperdb/reaper/internal/svg"
)

// The measures of the panel of rates, in pixels.
const (
	namesWidth  = 250.0
	ratesWidth  = 500.0
	barPitch    = 24.0
	barHeight   = 16.0
	groupGap    = 14.0
	groupHeader = 22.0
)

// ratesPanel draws a bar for each peer and side.
type ratesPanel struct {
	canvas *svg.Canvas
	groups []rateGroup
	axis   svg.Axis
}

// rateAxis reaches the highest rate of any round.
func (r result) rateAxis() svg.Axis {
	highest := 0.0
	for _, g := range r.Rates {
		for _, l := range g.lines() {
			_, most := bounds(l.Rates)
			highest = max(highest, most)
		}
	}
	return svg.NewAxis(highest, ratesWidth)
}

// lines are those of the peers and then of the sides.
func (g rateGroup) lines() []rateLine {
	return append(append([]rateLine(nil), g.Peers...), g.Sides...)
}

// label is the median and, except for the first peer, its ratio to that.
func (g rateGroup) label(l rateLine) string {
	rate := svg.Figure(median(l.Rates))
	if l.Name == g.Peers[0].Name {
		return rate
	}
	return fmt.Sprintf("%s (%.2f ×)", rate, median(ratios(l.Rates, g.Peers[0].Rates)))
}

// draw draws the panel from y on, and returns where it ends.
func (p ratesPanel) draw(y float64) float64 {
	const left = margin + namesWidth
	p.canvas.Text("heading", margin, y, "Rows deleted per second, and the ratio to the first bar of each group")
	y += groupHeader
	for _, g := range p.groups {
		y = p.group(y, g) + groupGap
	}
	y += 6
	p.axis.Each(func(at float64, label string) { p.canvas.Text("muted middle", left+at, y, label) })
	p.canvas.Text("muted middle", left+ratesWidth/2, y+22, "rows per second: median, and a line from minimum to maximum")
	return y + 64
}

// group draws one workload.
func (p ratesPanel) group(y float64, g rateGroup) float64 {
	const left = margin + namesWidth
	p.canvas.Text("group", margin, y+10, g.Title)
	y += groupHeader
	bottom := y + float64(len(g.lines()))*barPitch
	p.axis.Each(func(at float64, _ string) {
		p.canvas.Line("grid", svg.Point{X: left + at, Y: y}, svg.Point{X: left + at, Y: bottom})
	})
	for _, l := range g.Peers {
		y = p.bar(y, "peer", l, g.label(l))
	}
	for _, l := range g.Sides {
		class := "reaper"
		if l.Proven {
			class = "proven"
		}
		y = p.bar(y, class, l, g.label(l))
	}
	p.canvas.Line("axis", svg.Point{X: left, Y: bottom - barPitch*float64(len(g.lines()))}, svg.Point{X: left, Y: bottom})
	return y
}

func (p ratesPanel) bar(y float64, class string, l rateLine, label string) float64 {
	const left = margin + namesWidth
	middle := y + barPitch/2
	least, most := bounds(l.Rates)
	p.canvas.Text("end", left-8, middle+4, l.Name)
	p.canvas.Rectangle(class, svg.Box{X: left, Y: middle - barHeight/2, Width: p.axis.At(median(l.Rates)), Height: barHeight})
	if least < most {
		p.canvas.Line("range", svg.Point{X: left + p.axis.At(least), Y: middle}, svg.Point{X: left + p.axis.At(most), Y: middle})
	}
	p.canvas.Text("value", left+p.axis.At(most)+8, middle+4, label)
	return y + barPitch
}
