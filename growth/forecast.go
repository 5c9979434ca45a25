package growth

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// The minimum time span and number of hourly medians, without a jump, for a forecast.
const (
	forecastSpan   = 6 * time.Hour
	forecastPoints = 6
	// window is how far back a forecast looks: one week, so that weekdays and weekends are
	// represented and a change of rate soon counts.
	window = week
	// horizon is how far ahead it looks. A week's rate says nothing about later times.
	horizon = 10 * 365 * day
)

// Forecast extrapolates a size.
type Forecast struct {
	BytesPerSecond *float64   // negative when shrinking; nil if not known yet
	FullAt         *time.Time // when the limit is reached at this rate; if nil, see Reason
	Reason         string     // the basis of the forecast, or why there is none
}

// Predict evaluates the last week of the samples, in any order, or further back where the
// week has too few. limit is in bytes; nil means none.
func Predict(samples []Sample, limit *int64) Forecast {
	samples = sorted(samples, func(s Sample) time.Time { return s.At })
	if len(samples) == 0 {
		return Forecast{Reason: "not known yet: there are no samples"}
	}
	last := samples[len(samples)-1]
	points := latest(hourly(samples))
	parts := splitAtJumps(points)
	rate, ok := slope(parts)
	if !ok {
		return withLimit(Forecast{Reason: fmt.Sprintf("the growth is not known yet: it takes %d hours of samples", forecastSpan/hour)}, last, limit)
	}
	f := Forecast{BytesPerSecond: &rate, Reason: pace(rate, span(points), len(parts)-1)}
	return withLimit(f, last, limit)
}

// withLimit adds when the limit is reached, or why it is not.
func withLimit(f Forecast, last Sample, limit *int64) Forecast {
	switch {
	case limit == nil:
		f.Reason += "; no limit is set"
	case last.Bytes >= *limit:
		f.FullAt, f.Reason = &last.At, f.Reason+"; the limit is reached"
	case f.BytesPerSecond == nil:
	case *f.BytesPerSecond <= 0:
		f.Reason += "; the limit is not reached at this rate"
	default:
		left := float64(*limit-last.Bytes) / *f.BytesPerSecond
		if left > horizon.Seconds() {
			f.Reason += "; the limit is not reached within ten years at this rate"
			break
		}
		at := last.At.Add(time.Duration(left * float64(time.Second)))
		f.FullAt = &at
	}
	return f
}

// pace describes the rate and its basis.
func pace(rate float64, over time.Duration, steps int) string {
	text := "it stays the same"
	switch daily := rate * day.Seconds(); {
	case daily >= 1:
		text = "it grows by " + bytesText(daily) + " a day"
	case daily <= -1:
		text = "it shrinks by " + bytesText(daily) + " a day"
	}
	text += ", over " + spanText(over)
	switch {
	case steps == 1:
		text += ", one jump left out"
	case steps > 1:
		text += fmt.Sprintf(", %d jumps left out", steps)
	}
	return text
}

// latest returns the points of the window, and earlier ones if a forecast needs them.
func latest(points []point) []point {
	first := slices.IndexFunc(points, func(p point) bool { return p.at >= -window.Seconds() })
	return points[max(min(first, len(points)-forecastPoints), 0):]
}

func span(points []point) time.Duration {
	return time.Duration((points[len(points)-1].at - points[0].at) * float64(time.Second))
}

// A one-time event – a table rewritten by VACUUM FULL, a bulk load, a new index – is a jump
// that dwarfs all others and says nothing about the rate. Recurring jumps are growth,
// however large: more than maxJumps of them are none.
const (
	maxJumps    = 3
	jumpFactor  = 8    // times the largest step that is not a jump
	minJump     = 0.01 // share of the size below which nothing is a jump
	smallestGap = 1e-9 // seconds; simultaneous points have no slope
)

// splitAtJumps splits the points at jumps. Rates are computed within the parts only.
func splitAtJumps(points []point) [][]point {
	if len(points) < 2 {
		return [][]point{points}
	}
	steps := make([]float64, len(points)-1)
	for i := range steps {
		steps[i] = math.Abs(points[i+1].value - points[i].value)
	}
	largest := slices.Sorted(slices.Values(steps))
	slices.Reverse(largest)
	usual := 0.0
	if len(largest) > maxJumps {
		usual = largest[maxJumps]
	}
	var parts [][]point
	from := 0
	for i, s := range steps {
		if s > jumpFactor*usual && s > minJump*max(points[i].value, points[i+1].value) {
			parts = append(parts, points[from:i+1])
			from = i + 1
		}
	}
	return append(parts, points[from:])
}

// slope is the median of the slopes between all pairs of points within each part
// (Theil–Sen): up to about 29 % of the points may be arbitrary.
func slope(parts [][]point) (rate float64, ok bool) {
	var slopes []float64
	for _, points := range parts {
		if len(points) < forecastPoints || span(points) < forecastSpan*9/10 {
			continue
		}
		for i, p := range points {
			for _, q := range points[i+1:] {
				if q.at-p.at > smallestGap {
					slopes = append(slopes, (q.value-p.value)/(q.at-p.at))
				}
			}
		}
	}
	if len(slopes) == 0 {
		return 0, false
	}
	return median(slopes), true
}
