package web

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// mostPoints bounds the size of a plot.
const mostPoints = 200

// plot is sizes over time as an SVG path in a box of 100 by 100.
type plot struct {
	Line, Area string
	Low, High  int64
	From, To   time.Time
	First      int64
	Last       int64
}

// newPlot draws sizes; nil if there are too few points or no time between them.
func newPlot(points []Size) *plot {
	points = slices.SortedStableFunc(slices.Values(points), func(a, b Size) int { return a.At.Compare(b.At) })
	points = thinOut(points)
	if len(points) < 2 || !points[0].At.Before(points[len(points)-1].At) {
		return nil
	}
	first, last := points[0], points[len(points)-1]
	p := &plot{From: first.At, To: last.At, First: first.Bytes, Last: last.Bytes, Low: first.Bytes, High: first.Bytes}
	for _, x := range points {
		p.Low, p.High = min(p.Low, x.Bytes), max(p.High, x.Bytes)
	}
	p.draw(points)
	return p
}

// draw makes the paths. The box spans the change, but at least a twentieth of the size, so
// that what is nearly flat looks nearly flat.
func (p *plot) draw(points []Size) {
	height := max(float64(p.High-p.Low), float64(p.High)/20, 1)
	middle := (float64(p.High) + float64(p.Low)) / 2
	width := p.To.Sub(p.From).Seconds()
	var line strings.Builder
	for i, x := range points {
		letter := 'L'
		if i == 0 {
			letter = 'M'
		}
		fmt.Fprintf(&line, "%c%.1f %.1f", letter, 100*x.At.Sub(p.From).Seconds()/width, 50-90*(float64(x.Bytes)-middle)/height)
	}
	p.Line = line.String()
	p.Area = p.Line + "L100 100L0 100Z"
}

// Label describes the plot in words.
func (p *plot) Label() string {
	return fmt.Sprintf("%s over %s: from %s to %s, between %s and %s", p.Change(), span(p.To.Sub(p.From)), size(p.First), size(p.Last), size(p.Low), size(p.High))
}

// Change describes how much it grew or shrank.
func (p *plot) Change() string {
	switch d := p.Last - p.First; {
	case d > 0:
		return "grew by " + size(d)
	case d < 0:
		return "shrank by " + size(-d)
	}
	return "stayed the same"
}

// thinOut keeps the last point, and of the others at most mostPoints.
func thinOut(points []Size) []Size {
	step := (len(points) + mostPoints - 1) / mostPoints
	if step <= 1 {
		return points
	}
	var kept []Size
	for i := (len(points) - 1) % step; i < len(points); i += step {
		kept = append(kept, points[i])
	}
	return kept
}
