package svg

import (
	"math"
	"strconv"

	"github.com/dustin/go-humanize"
)

// Axis is a linear scale from zero.
type Axis struct {
	step   float64 // between two ticks
	ticks  int     // above zero
	length float64 // of the picture
}

// NewAxis makes a scale of a length in pixels that reaches most, which is above zero, with five
// ticks or fewer.
func NewAxis(most, length float64) Axis {
	step := niceStep(most / 5)
	return Axis{step: step, ticks: int(math.Ceil(most / step)), length: length}
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

// At is the distance of a value from zero in the picture.
func (a Axis) At(value float64) float64 { return value / (float64(a.ticks) * a.step) * a.length }

// Each calls fn with the place and the label of every tick, zero included.
func (a Axis) Each(fn func(at float64, label string)) {
	for i := range a.ticks + 1 {
		value := float64(i) * a.step
		fn(a.At(value), Figure(value))
	}
}

// Figure formats a value with three significant digits, and with commas.
func Figure(value float64) string {
	rounded, err := strconv.ParseFloat(strconv.FormatFloat(value, 'g', 3, 64), 64)
	if err != nil { // out of range: no measurement is
		return strconv.FormatFloat(value, 'g', 3, 64)
	}
	return humanize.Commaf(rounded)
}
