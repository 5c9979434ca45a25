package main

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/reaperdb/reaper/internal/svg"
)

// The measures of the panel of paces, in pixels.
const (
	paceLeft    = margin + 64
	paceHeight  = 200.0
	labelHeight = 44.0 // above the highest column
	columnWidth = 48.0
)

// pacePanel draws a column for each pace.
type pacePanel struct {
	canvas *svg.Canvas
	paces  []paceFigures // noPurge, then the slowest first
	axis   svg.Axis
}

func newPacePanel(c *svg.Canvas, paces []paceFigures) pacePanel {
	sorted := slices.Clone(paces)
	slices.SortStableFunc(sorted[1:], func(a, b paceFigures) int { return cmp.Compare(median(a.Rates), median(b.Rates)) })
	highest := 0.0
	for _, f := range sorted {
		_, most := bounds(f.milliseconds())
		highest = max(highest, most)
	}
	return pacePanel{canvas: c, paces: sorted, axis: svg.NewAxis(highest, paceHeight)}
}

// milliseconds are the p99 of each round.
func (f paceFigures) milliseconds() []float64 {
	return each(f.P99, func(seconds float64) float64 { return seconds * 1000 })
}

// draw draws the panel from y on, and returns where it ends.
func (p pacePanel) draw(y float64) float64 {
	const right = plotWidth - margin
	p.canvas.Text("heading", margin, y, "Latency of an application during a purge, and the ratio to no purge")
	bottom := y + labelHeight + paceHeight + 8
	p.axis.Each(func(at float64, label string) {
		p.canvas.Line("grid", svg.Point{X: paceLeft, Y: bottom - at}, svg.Point{X: right, Y: bottom - at})
		p.canvas.Text("muted end", paceLeft-8, bottom-at+4, label)
	})
	p.canvas.Upwards(margin+12, bottom-paceHeight/2, "p99 of requests, ms")
	pitch := (right - paceLeft) / float64(len(p.paces))
	for i, f := range p.paces {
		p.column(paceLeft+(float64(i)+0.5)*pitch, bottom, f)
	}
	p.canvas.Line("axis", svg.Point{X: paceLeft, Y: bottom}, svg.Point{X: right, Y: bottom})
	p.canvas.Text("muted middle", (paceLeft+right)/2, bottom+62, "pace of the purge, and the rows that it deletes per second; median of p99, and a line from minimum to maximum")
	return bottom + 62 + margin
}

func (p pacePanel) column(x, bottom float64, f paceFigures) {
	values := f.milliseconds()
	least, most := bounds(values)
	class, ratio, rows := "peer", "1 ×", ""
	if f.Pace != noPurge {
		class = "reaper"
		ratio = fmt.Sprintf("%.2f ×", median(ratios(f.P99, p.paces[0].P99)))
		rows = svg.Figure(median(f.Rates)) + "/s"
	}
	height := p.axis.At(median(values))
	p.canvas.Rectangle(class, svg.Box{X: x - columnWidth/2, Y: bottom - height, Width: columnWidth, Height: height})
	if least < most {
		p.canvas.Line("range", svg.Point{X: x, Y: bottom - p.axis.At(least)}, svg.Point{X: x, Y: bottom - p.axis.At(most)})
	}
	top := bottom - p.axis.At(most)
	p.canvas.Text("value middle", x, top-24, svg.Figure(median(values))+" ms")
	p.canvas.Text("value middle", x, top-8, ratio)
	p.canvas.Text("middle", x, bottom+18, f.Pace)
	p.canvas.Text("muted middle", x, bottom+36, rows)
}
