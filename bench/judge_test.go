package main

import (
	"io"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The largest size is judged by the median of the rounds' ratios to the smallest; those between
// are told.
func TestJudgeScale(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		largest []float64
		want    tableLine
	}{
		{[]float64{85, 170, 1}, tableLine{Measured: "0.85 (0.01 to 0.85)", Met: true}},
		{[]float64{84, 168, 100}, tableLine{Measured: "0.84 (0.84 to 1.00)"}},
	} {
		b := newBench(io.Discard)
		b.judgeScale(defaultSide, []int{1000, 5000, 10_000}, [][]float64{{100, 200, 100}, {90, 180, 90}, c.largest})
		c.want.Part, c.want.Figure, c.want.Target = "scale", "reaper, default, CASCADE keys, n=10000 to n=1000, rows/s", "≥ 0.85 (aim: 0.95)"
		want := []tableLine{{Part: "scale", Figure: "reaper, default, CASCADE keys, n=5000 to n=1000, rows/s", Measured: "0.90 (0.90 to 0.90)"}, c.want}
		if diff := cmp.Diff(want, b.result.Table); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}

// The time is that of the runs after the first; the first is told apart.
func TestJudgePolicies(t *testing.T) {
	t.Parallel()
	for seconds, met := range map[float64]bool{1.2: true, 1.21: false} {
		b := newBench(io.Discard)
		b.judgePolicies(idleFigures{
			first: child{took: 9 * time.Second}, firstStatements: []string{"a", "b", "c"},
			statements: []string{"a", "b"}, seconds: []float64{0.5, seconds, 7},
		})
		lines := b.result.Table
		if len(lines) != 3 || lines[0].Measured != "9.00 s, 3 statements" || lines[1].Met != met || lines[1].Target == "" || lines[2].Measured != "2" {
			t.Errorf("a median of %g s: %+v", seconds, lines)
		}
	}
}
