package growth_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/reaperdb/reaper/growth"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	gb  = float64(1 << 30)
	day = 24 * time.Hour
)

// start is a Monday, 04:12.
var start = time.Date(2026, 3, 2, 4, 12, 0, 0, time.UTC)

// dice are the same in every run.
func dice() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }

// series returns sizes every five minutes from start on.
func series(length time.Duration, bytes func(t time.Duration) float64) []growth.Sample {
	return every(5*time.Minute, length, bytes)
}

func every(step, length time.Duration, bytes func(t time.Duration) float64) []growth.Sample {
	var list []growth.Sample
	for t := time.Duration(0); t <= length; t += step {
		list = append(list, growth.Sample{At: start.Add(t), Bytes: int64(bytes(t))})
	}
	return list
}

// line starts at 100 GiB and grows by a fixed amount per day.
func line(daily float64) func(time.Duration) float64 {
	return func(t time.Duration) float64 { return gb * (100 + daily*t.Hours()/24) }
}
