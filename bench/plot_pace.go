package main

import (
	"cmp"
	"fmt"
	"slices"
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
	canvas *canvas
	paces  []paceFigures // noPurge, then the slowest first
	axis   axis
}

func newPacePanel(c *canvas, paces []paceFigures) pacePanel {
	sorted := slices.Clone(paces)
	slices.SortStableFunc(sorted[1:], func(a, b paceFigures) int { return cmp.Compare(median(a.Rates), median(b.Rates)) })
	highest := 0.0
	for _, f := range sorted {
		_, most := bounds(f.milliseconds())
		highest = max(highest, most)
	}
	return pacePanel{canvas: c, paces: sorted, axis: newAxis(highest, paceHeight)}
}

// milliseconds are the p99 of each round.
func (f paceFigures) milliseconds() []float64 {
	return each(f.P99, func(seconds float64) float64 { return seconds * 1000 })
}

// draw draws the panel from y on, and returns where it ends.
func (p pacePanel) draw(y float64) float64 {
	const right = plotWidth - margin
	p.canvas.text("heading", margin, y, "Latency of an application during a purge, and the ratio to no purge")
	bottom := y + labelHeight + paceHeight + 8
	p.axis.each(func(at float64, label string) {
		p.canvas.line("grid", paceLeft, bottom-at, right, bottom-at)
		p.canvas.text("muted end", paceLeft-8, bottom-at+4, label)
	})
	p.canvas.upwards(margin+12, bottom-paceHeight/2, "p99 of requests, ms")
	pitch := (right - paceLeft) / float64(len(p.paces))
	for i, f := range p.paces {
		p.column(paceLeft+(float64(i)+0.5)*pitch, bottom, f)
	}
	p.canvas.line("axis", paceLeft, bottom, right, bottom)
	p.canvas.text("muted middle", (paceLeft+right)/2, bottom+62, "pace of the purge, and the rows that it deletes per second; median of p99, and a line from minimum to maximum")
	return bottom + 62 + margin
}

func (p pacePanel) column(x, bottom float64, f paceFigures) {
	values := f.milliseconds()
	least, most := bounds(values)
	class, ratio, rows := "peer", "1 ×", ""
	if f.Pace != noPurge {
		class = "reaper"
		ratio = fmt.Sprintf("%.2f ×", median(ratios(f.P99, p.paces[0].P99)))
		rows = figure(median(f.Rates)) + "/s"
	}
	height := p.axis.at(median(values))
	p.canvas.rectangle(class, box{x - columnWidth/2, bottom - height, columnWidth, height})
	if least < most {
		p.canvas.line("range", x, bottom-p.axis.at(least), x, bottom-p.axis.at(most))
	}
	top := bottom - p.axis.at(most)
	p.canvas.text("value middle", x, top-24, figure(median(values))+" ms")
	p.canvas.text("value middle", x, top-8, ratio)
	p.canvas.text("middle", x, bottom+18, f.Pace)
	p.canvas.text("muted middle", x, bottom+36, rows)
}
