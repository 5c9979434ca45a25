// Package growth says where a series of sizes leads: when a limit is reached, and
// whether deleting keeps up with what becomes due. It knows neither database nor
// clock; the last sample is the present.
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

// Sample is the size of something at a time, in bytes.
type Sample struct {
	At    time.Time
	Bytes int64
}

// point is a value at a time in seconds before the last sample's, which is 0.
type point struct{ at, value float64 }

// hourly are the medians of each hour's samples, the oldest first. One hour of many
// samples so weighs no more than one of a single sample, and a moment's peak nothing.
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

// median sorts its argument, which is not empty.
func median(list []float64) float64 {
	slices.Sort(list)
	middle := len(list) / 2
	if len(list)%2 == 1 {
		return list[middle]
	}
	return (list[middle-1] + list[middle]) / 2
}

// sorted is a copy in order of time.
func sorted[T any](list []T, at func(T) time.Time) []T {
	return slices.SortedStableFunc(slices.Values(list), func(a, b T) int { return at(a).Compare(at(b)) })
}

// bytesText is a number of bytes for people, without its sign.
func bytesText(n float64) string { return humanize.IBytes(uint64(math.Abs(n))) }

// spanText is a length of time of several hours for people.
func spanText(d time.Duration) string {
	if d >= 2*day {
		return fmt.Sprintf("%.0f days", d.Hours()/24)
	}
	return fmt.Sprintf("%.0f hours", d.Hours())
}
