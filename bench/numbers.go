package main

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// median returns the median of at least one value.
func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	if n%2 == 1 {
		return sorted[n/2]
	}
	return (sorted[n/2-1] + sorted[n/2]) / 2
}

// quantile returns the smallest value that a share q of all values (at least one) does not
// exceed.
func quantile(values []float64, q float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[max(int(math.Ceil(q*float64(len(sorted))))-1, 0)]
}

// spread formats the median of some values with the minimum and maximum.
func spread(values []float64, format string) string {
	if len(values) == 1 {
		return fmt.Sprintf(format, values[0])
	}
	return fmt.Sprintf(format+" ("+format+" to "+format+")", median(values), slices.Min(values), slices.Max(values))
}

// each returns one figure of every turn.
func each[T any](turns []T, of func(T) float64) []float64 {
	values := make([]float64, len(turns))
	for i, t := range turns {
		values[i] = of(t)
	}
	return values
}

// ratios divides the figures of each round by those of another side in the same round.
func ratios(ours, theirs []float64) []float64 {
	quotients := make([]float64, len(ours))
	for i := range ours {
		quotients[i] = ours[i] / theirs[i]
	}
	return quotients
}

// rate is a number per second.
func rate(n int64, took time.Duration) float64 { return float64(n) / took.Seconds() }
