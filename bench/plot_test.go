package main

import (
	"encoding/xml"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// picture is what the tests read of an SVG file.
type picture struct {
	Height float64 `xml:"height,attr"`
	Title  string  `xml:"title"`
	Style  string  `xml:"style"`
	Rects  []struct {
		Class  string `xml:"class,attr"`
		X      string `xml:"x,attr"`
		Y      string `xml:"y,attr"`
		Width  string `xml:"width,attr"`
		Height string `xml:"height,attr"`
	} `xml:"rect"`
	Texts []struct {
		X    float64 `xml:"x,attr"`
		Y    float64 `xml:"y,attr"`
		Text string  `xml:",chardata"`
	} `xml:"text"`
}

func parsePlot(t *testing.T, r result) (p picture) {
	t.Helper()
	if err := xml.Unmarshal([]byte(r.plot()), &p); err != nil {
		t.Fatalf("the plot is not XML: %v", err)
	}
	return p
}

func (p picture) texts() (all []string) {
	for _, x := range p.Texts {
		all = append(all, x.Text)
	}
	return all
}

// bars are the lengths of the bars or columns of the given classes, in their order.
func (p picture) bars(t *testing.T, length func(i int) string, classes ...string) (lengths []float64) {
	t.Helper()
	for i, r := range p.Rects {
		if slices.Contains(classes, r.Class) {
			v, err := strconv.ParseFloat(length(i), 64)
			if err != nil {
				t.Fatal(err)
			}
			lengths = append(lengths, v)
		}
	}
	return lengths
}

// Every bar has its name, the median and the ratio, which is the median of the rounds' ratios.
func TestPlot_Labels(t *testing.T) {
	t.Parallel()
	p := parsePlot(t, sample())
	texts := p.texts()
	for _, want := range []string{
		"machine, server; n=1,000; medians of 3 rounds",
		"mail <&> more", "DELETE", "100", "loop", "50 (0.50 ×)", plotDefault, "150 (1.50 ×)", plotProven, "200 (2.00 ×)",
		"no purge", "4 ms", "full", "20 ms", "5.00 ×", "900/s", "gentle", "6 ms", "1.50 ×", "300/s",
		"p99 of requests, ms", "rows per second: median, and a line from minimum to maximum",
	} {
		if !slices.Contains(texts, want) {
			t.Errorf("no text %q in %q", want, texts)
		}
	}
	if p.Title == "" || !strings.Contains(p.Style, "prefers-color-scheme:dark") {
		t.Errorf("title %q, style %q", p.Title, p.Style)
	}
}

// Bars are as long as their medians: 100, 50, 150, 200.
func TestPlot_Rates(t *testing.T) {
	t.Parallel()
	r := sample()
	r.Pace = nil
	p := parsePlot(t, r)
	got := p.bars(t, func(i int) string { return p.Rects[i].Width }, "peer", "reaper", "proven")
	if len(got) != 4 {
		t.Fatalf("bars of %v, want four", got)
	}
	for i, rate := range []float64{100, 50, 150, 200} {
		if want := got[0] * rate / 100; math.Abs(got[i]-want) > 0.11 {
			t.Errorf("the bar of %g is %g long, want %g", rate, got[i], want)
		}
	}
}

// Columns stand in the order of the purge's speed, beside no purge, as high as their medians.
func TestPlot_Pace(t *testing.T) {
	t.Parallel()
	r := sample()
	r.Rates = nil
	p := parsePlot(t, r)
	got := p.bars(t, func(i int) string { return p.Rects[i].Height }, "peer", "reaper")
	if len(got) != 3 {
		t.Fatalf("columns of %v, want three", got)
	}
	for i, ms := range []float64{4, 6, 20} {
		if want := got[0] * ms / 4; math.Abs(got[i]-want) > 0.41 {
			t.Errorf("the column of %g ms is %g high, want %g", ms, got[i], want)
		}
	}
	names := slices.DeleteFunc(p.texts(), func(x string) bool { return !slices.Contains([]string{noPurge, "gentle", "full"}, x) })
	if want := []string{noPurge, "gentle", "full"}; !slices.Equal(names, want) {
		t.Errorf("the columns are %q, want %q", names, want)
	}
	if r.Pace[1].Pace != "full" {
		t.Error("drawing has changed the result")
	}
}

// Whatever was measured, everything is drawn inside the picture.
func TestPlot_Bounds(t *testing.T) {
	t.Parallel()
	both, rates, pace := sample(), sample(), sample()
	rates.Pace, pace.Rates = nil, nil
	for _, r := range []result{both, rates, pace} {
		p := parsePlot(t, r)
		for _, x := range p.Texts {
			if x.X < 0 || x.X > plotWidth || x.Y < 0 || x.Y > p.Height {
				t.Errorf("%q is at %g, %g, outside of %g x %g", x.Text, x.X, x.Y, plotWidth, p.Height)
			}
		}
		x := p.bars(t, func(i int) string { return p.Rects[i].X }, "peer", "reaper", "proven")
		width := p.bars(t, func(i int) string { return p.Rects[i].Width }, "peer", "reaper", "proven")
		y := p.bars(t, func(i int) string { return p.Rects[i].Y }, "peer", "reaper", "proven")
		for i := range x {
			if x[i] < 0 || x[i]+width[i] > plotWidth || y[i] < 0 || y[i] > p.Height {
				t.Errorf("a bar at %g, %g, %g wide, is outside of %g x %g", x[i], y[i], width[i], plotWidth, p.Height)
			}
		}
	}
}
