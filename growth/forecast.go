package growth

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// What a forecast needs: so much time between the first and the last of so many
// hourly medians that no step parts.
const (
	forecastSpan   = 6 * time.Hour
	forecastPoints = 6
	// window is how far back it looks: a whole week, so that weekdays and weekends
	// weigh as they come, and a rate that has changed counts soon.
	window = week
	// horizon is how far ahead it looks. Farther out, no rate of a week says anything.
	horizon = 10 * 365 * day
)

// Forecast is where a size leads.
type Forecast struct {
	BytesPerSecond *float64   // below 0: it shrinks; nil: not known yet
	FullAt         *time.Time // when the limit is reached at this rate; nil: see Reason
	Reason         string     // what the forecast rests on, or why there is none
}

// Predict looks at the last week of the samples, in any order; where that holds too
// few of them, as far back as it must. limit is in bytes; nil: there is none.
func Predict(samples []Sample, limit *int64) Forecast {
	samples = sorted(samples, func(s Sample) time.Time { return s.At })
	if len(samples) == 0 {
		return Forecast{Reason: "not known yet: there are no samples"}
	}
	last := samples[len(samples)-1]
	points := recent(hourly(samples))
	parts := level(points)
	rate, ok := slope(parts)
	if !ok {
		return full(Forecast{Reason: fmt.Sprintf("the growth is not known yet: it takes %d hours of samples", forecastSpan/hour)}, last, limit)
	}
	f := Forecast{BytesPerSecond: &rate, Reason: pace(rate, span(points), len(parts)-1)}
	return full(f, last, limit)
}

// full adds when the limit is reached, or why it is not.
func full(f Forecast, last Sample, limit *int64) Forecast {
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

// pace says what the rate is, and on what it rests.
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

// recent are the points of the window, and so many before it as a forecast needs.
func recent(points []point) []point {
	first := slices.IndexFunc(points, func(p point) bool { return p.at >= -window.Seconds() })
	return points[max(min(first, len(points)-forecastPoints), 0):]
}

func span(points []point) time.Duration {
	return time.Duration((points[len(points)-1].at - points[0].at) * float64(time.Second))
}

// What happens once – a table rewritten by VACUUM FULL, a load of a year's rows, an
// index built – is a jump that dwarfs all others, and says nothing of the rate.
// What recurs is growth, however large: more than so many jumps are none.
const (
	mostJumps   = 3
	dwarfs      = 8    // times the largest that is not one
	noticeable  = 0.01 // of the size; below that nothing is a jump
	smallestGap = 1e-9 // seconds; of points at one time there is no slope
)

// level cuts the points where they jump. Rates are compared within the parts alone.
func level(points []point) [][]point {
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
	if len(largest) > mostJumps {
		usual = largest[mostJumps]
	}
	var parts [][]point
	from := 0
	for i, s := range steps {
		if s > dwarfs*usual && s > noticeable*max(points[i].value, points[i+1].value) {
			parts = append(parts, points[from:i+1])
			from = i + 1
		}
	}
	return append(parts, points[from:])
}

// slope is the median of the slopes between all pairs of points of one part
// (Theil and Sen's): a third of the points may be anything, and it still holds.
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
