package main

import (
	"io"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The sides of the part mail stand beside the peers with the same keys.
func TestMailFigures_Record(t *testing.T) {
	t.Parallel()
	turns := func(rows int64) []turn { return []turn{{outcome: outcome{took: time.Second}, rows: rows}} }
	b := newBench(io.Discard)
	b.sides = []side{sides[2], sides[1]} // NO ACTION keys; CASCADE keys, proven
	m := &mailFigures{
		b:      b,
		byPeer: map[string][]turn{bigDelete.name: turns(10), leafFirst.name: turns(20), ctidLoop.name: turns(30)},
		bySide: [][]turn{turns(40), turns(50)},
	}
	m.record(1234)
	want := []rateGroup{
		{
			Title: "mail, ON DELETE CASCADE: 1,234 rows due in 11 tables",
			Peers: []rateLine{{Name: bigDelete.name, Rates: []float64{10}}, {Name: ctidLoop.name, Rates: []float64{30}}},
			Sides: []rateLine{{Name: plotProven, Proven: true, Rates: []float64{50}}},
		},
		{
			Title: "mail, NO ACTION keys: 1,234 rows due in 11 tables",
			Peers: []rateLine{{Name: leafFirst.name, Rates: []float64{20}}},
			Sides: []rateLine{{Name: plotDefault, Rates: []float64{40}}},
		},
	}
	if diff := cmp.Diff(want, b.result.Rates); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	b.sides, b.result.Rates, m.bySide = b.sides[:1], nil, m.bySide[:1]
	m.record(1234)
	if diff := cmp.Diff(want[1:], b.result.Rates); diff != "" {
		t.Errorf("only one side (-want +got):\n%s", diff)
	}
}

func TestCurve_Record(t *testing.T) {
	t.Parallel()
	b := newBench(io.Discard)
	b.paces = []string{"full"}
	c := &curve{b: b}
	c.record([]point{{seconds: []float64{0.1, 0.2}}}, map[string][]point{"full": {{rowRate: 7, seconds: []float64{0.3}}}})
	want := []paceFigures{{Pace: noPurge, Rates: []float64{0}, P99: []float64{0.2}}, {Pace: "full", Rates: []float64{7}, P99: []float64{0.3}}}
	if diff := cmp.Diff(want, b.result.Pace); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
