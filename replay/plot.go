package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/reaperdb/reaper/internal/svg"
)

// curves are those of the plot. A curve without samples was not played.
type curves struct {
	outage, reaper curve
	keep           int64 // bytes that must stay free
}

// curve is the free space of one scenario's volume over time.
type curve struct {
	samples []sample
	crashed time.Duration // since the first look; 0: the server stayed up
}

// The measures of the plot, in pixels.
const (
	plotWidth   = 920.0
	plotTop     = 92.0
	plotHeight  = 260.0
	plotLeft    = 76.0
	plotRight   = plotWidth - 24
	plotBottom  = plotTop + plotHeight
	timesHeight = 56.0 // below the axis of time
)

// draw writes the picture, if there is a file for it and both of its scenarios were played.
func (r *replay) draw() error {
	if r.plot == "" {
		return nil
	}
	if len(r.outage.samples) == 0 || len(r.reaper.samples) == 0 {
		r.Say("%s was not drawn: it shows the scenarios delete and purge, and both must be played", r.plot)
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(r.plot), 0o755); err != nil {
		return fmt.Errorf("drawing the plot: %w", err)
	}
	if err := os.WriteFile(r.plot, []byte(r.svg(r.Facts())), 0o644); err != nil {
		return fmt.Errorf("drawing the plot: %w", err)
	}
	return nil
}

// svg draws the picture; source says where and when it was measured.
func (p curves) svg(source string) string {
	const title = "Free disk space: one big DELETE, and reaper on an identical volume"
	c := &svg.Canvas{Width: plotWidth}
	c.Text("title", 24, 36, title)
	for i, line := range wrapped(source, 120) {
		c.Text("muted", 24, 57+17*float64(i), line)
	}
	times, sizes := p.axes()
	times.Each(func(at float64, label string) { c.Text("muted middle", plotLeft+at, plotBottom+20, label) })
	sizes.Each(func(at float64, label string) {
		c.Line("grid", svg.Point{X: plotLeft, Y: plotBottom - at}, svg.Point{X: plotRight, Y: plotBottom - at})
		c.Text("muted end", plotLeft-8, plotBottom-at+4, label)
	})
	c.Upwards(28, plotTop+plotHeight/2, "free space, MiB")
	c.Text("muted middle", (plotLeft+plotRight)/2, plotBottom+42, "seconds since the DELETE, or the purge, began")
	place := func(s sample) svg.Point {
		return svg.Point{X: plotLeft + times.At(s.at.Seconds()), Y: plotBottom - sizes.At(mebibytes(s.free))}
	}
	limit := place(sample{free: p.keep}).Y
	c.Line("axis limit", svg.Point{X: plotLeft, Y: limit}, svg.Point{X: plotRight, Y: limit})
	c.Text("muted end value", plotRight, limit-6, fmt.Sprintf("the storage guard keeps %s free", mib(p.keep)))
	c.Curve("peer", points(p.outage.samples, place))
	c.Curve("reaper", points(p.reaper.samples, place))
	c.Line("axis", svg.Point{X: plotLeft, Y: plotBottom}, svg.Point{X: plotRight, Y: plotBottom})
	crash := place(p.outage.at(p.outage.crashed))
	c.Text("group", crash.X+8, crash.Y-9, fmt.Sprintf("DELETE: no space left on device after %.1f s, PostgreSQL is down", p.outage.crashed.Seconds()))
	c.Text("group reaper end", plotRight, place(sample{free: p.reaper.most()}).Y-8, fmt.Sprintf("reaper: done after %.1f s, PostgreSQL was up all the time", p.reaper.duration().Seconds()))
	return c.File(plotBottom+timesHeight, title, p.words())
}

// axes are those of time, in seconds, and of free space, in MiB.
func (p curves) axes() (times, sizes svg.Axis) {
	longest := max(p.outage.duration(), p.reaper.duration())
	most := max(p.outage.most(), p.reaper.most())
	return svg.NewAxis(longest.Seconds(), plotRight-plotLeft), svg.NewAxis(mebibytes(most), plotHeight)
}

// words describe the picture.
func (p curves) words() string {
	return fmt.Sprintf("One big DELETE: from %s free to %s, and PostgreSQL was down after %.1f s. reaper: never under %s, done after %.1f s.",
		mib(p.outage.samples[0].free), mib(p.outage.least()), p.outage.crashed.Seconds(), mib(p.reaper.least()), p.reaper.duration().Seconds())
}

// duration is the time of the last look.
func (c curve) duration() time.Duration { return c.samples[len(c.samples)-1].at }

// least is the smallest free space.
func (c curve) least() int64 {
	least := c.samples[0].free
	for _, s := range c.samples {
		least = min(least, s.free)
	}
	return least
}

// most is the largest free space.
func (c curve) most() (most int64) {
	for _, s := range c.samples {
		most = max(most, s.free)
	}
	return most
}

// at is the first look at or after a time, or the last one.
func (c curve) at(t time.Duration) sample {
	for _, s := range c.samples {
		if s.at >= t {
			return s
		}
	}
	return c.samples[len(c.samples)-1]
}

// points are the places of the samples, one for each pixel of time: that with the least space.
func points(samples []sample, place func(sample) svg.Point) []svg.Point {
	var all []svg.Point
	for _, s := range samples {
		p := place(s)
		if n := len(all); n > 0 && int(all[n-1].X) == int(p.X) {
			all[n-1].Y = max(all[n-1].Y, p.Y)
			continue
		}
		all = append(all, p)
	}
	return all
}

// wrapped breaks a text into lines of at most width characters where its words allow it.
func wrapped(text string, width int) (lines []string) {
	for word := range strings.FieldsSeq(text) {
		last := len(lines) - 1
		if last < 0 || len(lines[last])+1+len(word) > width {
			lines = append(lines, word)
			continue
		}
		lines[last] += " " + word
	}
	return lines
}

func mebibytes(bytes int64) float64 { return float64(bytes) / (1 << 20) }
