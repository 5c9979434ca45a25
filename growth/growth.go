// Package growth extrapolates a series of sizes: when a limit is reached, and whether
// deleting keeps up with what becomes due. It uses neither a database nor a clock; the last
// sample is the present.
package growth

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/dustin/go-humanize"
)

const (
	hour = time.Hour
	day  = 24 * time.Hour
	week = 7 * day
)

// Sample is a size at a time, in bytes.
type Sample struct {
	At    time.Time
	Bytes int64
}

// point is a value at a time, in seconds relative to the last sample.
type point struct{ at, value float64 }

// hourly returns the median of each hour's samples, oldest first, so that an hour with many
// samples weighs no more than one with a single sample and short peaks vanish.
func hourly(samples []Sample) []point {
	last := samples[len(samples)-1].At
	var points []point
	for len(samples) > 0 {
		slot := samples[0].At.Truncate(hour)
		n := slices.IndexFunc(samples, func(s Sample) bool { return !s.At.Truncate(hour).Equal(slot) })
		if n < 0 {
			n = len(samples)
		}
		var ats, values []float64
		for _, s := range samples[:n] {
			ats, values = append(ats, s.At.Sub(last).Seconds()), append(values, float64(s.Bytes))
		}
		points = append(points, point{median(ats), median(values)})
		samples = samples[n:]
	}
	return points
}

// median sorts its argument, which must not be empty.
func median(list []float64) float64 {
	slices.Sort(list)
	middle := len(list) / 2
	if len(list)%2 == 1 {
		return list[middle]
	}
	return (list[middle-1] + list[middle]) / 2
}

// sorted returns a copy in order of time.
func sorted[T any](list []T, at func(T) time.Time) []T {
	return slices.SortedStableFunc(slices.Values(list), func(a, b T) int { return at(a).Compare(at(b)) })
}

// bytesText formats the absolute value of a number of bytes.
func bytesText(n float64) string { return humanize.IBytes(uint64(math.Abs(n))) }

// spanText formats a duration of several hours or days.
func spanText(d time.Duration) string {
	if d >= 2*day {
		return fmt.Sprintf("%.0f days", d.Hours()/24)
	}
	return fmt.Sprintf("%.0f hours", d.Hours())
}
