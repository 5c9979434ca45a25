package growth_test

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/reaperdb/reaper/growth"
)

// 100 GiB growing by 1 GiB a day reach 200 GiB in a hundred days, whatever happens in
// between.
func TestPredict(t *testing.T) {
	t.Parallel()
	grows := line(1)
	random := dice()
	for _, c := range []struct {
		name    string
		samples []growth.Sample
		daily   float64 // GiB
		within  float64 // of that, GiB a day
		says    string
	}{
		{"a line", series(7*day, grows), 1, 0.001, "it grows by 1.0 GiB a day, over 7 days; "},
		{"six hours of it", series(6*time.Hour, grows), 1, 0.001, "over 6 hours"},
		{"one sample a day", every(day, 7*day, grows), 1, 0.001, "over 7 days"},
		{"one sample a week: as far back as it takes", every(7*day, 70*day, grows), 1, 0.001, "over 35 days"},
		{"noise", series(7*day, func(t time.Duration) float64 { return grows(t) + gb*(random.Float64()-0.5) }), 1, 0.05, ""},
		{"a tenth of the hours are anything", series(7*day, func(t time.Duration) float64 {
			if int(t.Hours())%10 == 3 {
				return gb * 500 * float64(int(t.Hours())%3)
			}
			return grows(t)
		}), 1, 0.05, ""},
		{"peaks of WAL every hour", series(7*day, func(t time.Duration) float64 {
			if t%time.Hour < 20*time.Minute {
				return grows(t) + 16*gb
			}
			return grows(t)
		}), 1, 0.05, ""},
		{"growth by day only", series(7*day, func(t time.Duration) float64 {
			whole, part := math.Modf(t.Hours() / 24)
			return gb * (100 + whole + min(2*part, 1))
		}), 1, 0.1, ""},
		{"a purge every night", series(7*day, func(t time.Duration) float64 {
			_, part := math.Modf(t.Hours() / 24)
			return grows(t) + 5*gb*part
		}), 1, 0.3, ""},
		{"a table rewritten in the middle", series(7*day, func(t time.Duration) float64 {
			if t > 84*time.Hour {
				return grows(t) - 60*gb
			}
			return grows(t)
		}), 1, 0.001, "one jump left out"},
		{"a rewrite an hour ago", series(7*day, func(t time.Duration) float64 {
			if t > 167*time.Hour {
				return grows(t) - 60*gb
			}
			return grows(t)
		}), 1, 0.001, "one jump left out"},
		{"a load and a rewrite", series(7*day, func(t time.Duration) float64 {
			switch {
			case t > 120*time.Hour:
				return grows(t) - 20*gb
			case t > 60*time.Hour:
				return grows(t) + 40*gb
			}
			return grows(t)
		}), 1, 0.001, "2 jumps left out"},
		{"a load every night is growth", series(7*day, func(t time.Duration) float64 { return gb * (100 + 5*math.Floor(t.Hours()/24)) }), 5, 0.7, "GiB a day, over 7 days; "},
		{"it shrinks", series(7*day, line(-2)), -2, 0.001, "it shrinks by 2.0 GiB a day"},
		{"nothing changes", series(7*day, line(0)), 0, 0, "it stays the same"},
		{"the week before does not count", series(14*day, func(t time.Duration) float64 {
			if t < 7*day {
				return gb * (100 + 10*t.Hours()/24)
			}
			return gb * (170 + (t-7*day).Hours()/24)
		}), 1, 0.1, "over 7 days"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			random := dice()
			random.Shuffle(len(c.samples), func(i, j int) { c.samples[i], c.samples[j] = c.samples[j], c.samples[i] })
			f := growth.Predict(c.samples, nil)
			if f.BytesPerSecond == nil {
				t.Fatalf("not known: %s", f.Reason)
			}
			if daily := *f.BytesPerSecond * day.Seconds() / gb; math.Abs(daily-c.daily) > c.within+1e-9 {
				t.Errorf("%.3f GiB a day, want %.3f", daily, c.daily)
			}
			if f.FullAt != nil || !strings.Contains(f.Reason, c.says) || !strings.HasSuffix(f.Reason, "no limit is set") {
				t.Errorf("full at %v: %q does not say %q", f.FullAt, f.Reason, c.says)
			}
		})
	}
}

func TestPredictLimit(t *testing.T) {
	t.Parallel()
	week := series(7*day, line(1))
	const never = -1
	for _, c := range []struct {
		name    string
		samples []growth.Sample
		limit   float64 // GiB
		days    float64 // from the last sample on
		says    string
	}{
		{"in a hundred days", week, 207, 100, "it grows by 1.0 GiB a day, over 7 days"},
		{"reached", week, 107, 0, "the limit is reached"},
		{"passed", week, 50, 0, "the limit is reached"},
		{"passed, and nobody knows the rate", week[:3], 50, 0, "not known yet: it takes 6 hours of samples; the limit is reached"},
		{"not for ten years", week, 5000, never, "not reached within ten years at this rate"},
		{"it shrinks", series(7*day, line(-1)), 200, never, "the limit is not reached at this rate"},
		{"it stays", series(7*day, line(0)), 200, never, "the limit is not reached at this rate"},
		{"too few", week[:60], 200, never, "not known yet"},
		{"one", week[:1], 200, never, "not known yet"},
		{"none", nil, 200, never, "not known yet: there are no samples"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			limit := int64(c.limit * gb)
			before := slices.Clone(c.samples)
			f := growth.Predict(c.samples, &limit)
			switch {
			case c.days == never && f.FullAt != nil, c.days != never && f.FullAt == nil:
				t.Fatalf("full at %v", f.FullAt)
			case f.FullAt != nil:
				if days := f.FullAt.Sub(c.samples[len(c.samples)-1].At).Hours() / 24; math.Abs(days-c.days) > 0.1 {
					t.Errorf("full in %.2f days, want %.2f", days, c.days)
				}
			}
			if !strings.Contains(f.Reason, c.says) {
				t.Errorf("%q does not say %q", f.Reason, c.says)
			}
			if !slices.Equal(before, c.samples) {
				t.Error("the samples have changed")
			}
		})
	}
}
