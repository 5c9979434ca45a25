package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/reaperdb/reaper/internal/svg"
)

// The measures of the plot, in pixels.
const (
	plotWidth = 920.0
	margin    = 24.0
)

// drawFile draws the result into a file.
func (r result) drawFile(file string) error {
	if err := r.plottable(); err != nil {
		return err
	}
	if err := writeFile(file, []byte(r.plot())); err != nil {
		return fmt.Errorf("writing the plot: %w", err)
	}
	return nil
}

// plot draws the result as SVG: rows per second, and below it the foreground's p99. What was not
// measured is left out.
func (r result) plot() string {
	const title = "reaper: rows per second, and latency during a purge"
	c := &svg.Canvas{Width: plotWidth}
	c.Text("title", margin, 40, title)
	c.Text("muted", margin, 62, r.source())
	y := 100.0
	if len(r.Rates) > 0 {
		y = ratesPanel{canvas: c, groups: r.Rates, axis: r.rateAxis()}.draw(y)
	}
	if len(r.Pace) > 0 {
		y = newPacePanel(c, r.Pace).draw(y)
	}
	return c.File(y, title, r.description())
}

// source says where and when the figures were measured.
func (r result) source() string {
	return fmt.Sprintf("%s, %s; n=%s; medians of %d rounds", r.Machine, r.Server, svg.Figure(float64(r.Mails)), r.Rounds)
}

// description says in words what the plot shows, a line for each bar.
func (r result) description() string {
	var lines []string
	for _, g := range r.Rates {
		for _, l := range g.lines() {
			lines = append(lines, fmt.Sprintf("%s: %s: %s rows/s", g.Title, l.Name, g.label(l)))
		}
	}
	for _, p := range r.Pace {
		lines = append(lines, fmt.Sprintf("pace %s: p99 %s ms", p.Pace, svg.Figure(median(p.milliseconds()))))
	}
	return strings.Join(lines, "; ")
}

// bounds are the smallest and the largest value.
func bounds(values []float64) (least, most float64) { return slices.Min(values), slices.Max(values) }
