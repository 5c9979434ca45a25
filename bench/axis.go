package main

import (
	"math"
	"strconv"

	"github.com/dustin/go-humanize"
)

// axis is a linear scale from zero.
type axis struct {
	step   float64 // between two ticks
	ticks  int     // above zero
	length float64 // of the picture
}

// newAxis makes a scale that reaches most, which is above zero, with five ticks or fewer.
func newAxis(most, length float64) axis {
	step := niceStep(most / 5)
	return axis{step: step, ticks: int(math.Ceil(most / step)), length: length}
}

// niceStep is the smallest of 1, 2, 5, 10, 20, 50, … (and their tenths, and so on) that is not
// below least.
func niceStep(least float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(least)))
	for _, times := range []float64{1, 2, 5} {
		if times*power >= least {
			return times * power
		}
	}
	return 10 * power
}

// at is the distance of a value from zero in the picture.
func (a axis) at(value float64) float64 { return value / (float64(a.ticks) * a.step) * a.length }

// each calls fn with the place and the label of every tick, zero included.
func (a axis) each(fn func(at float64, label string)) {
	for i := range a.ticks + 1 {
		value := float64(i) * a.step
		fn(a.at(value), figure(value))
	}
}

// figure formats a value with three significant digits, and with commas.
func figure(value float64) string {
	rounded, err := strconv.ParseFloat(strconv.FormatFloat(value, 'g', 3, 64), 64)
	if err != nil { // out of range: no measurement is
		return strconv.FormatFloat(value, 'g', 3, 64)
	}
	return humanize.Commaf(rounded)
}
