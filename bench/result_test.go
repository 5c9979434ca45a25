package main

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// sample is a result with round figures, measured nowhere.
func sample() result {
	return result{
		Machine: "machine", Server: "server", Mails: 1000, Rounds: 3,
		Table: []tableLine{{Part: "mail", Figure: "ratio", Measured: "2", Target: "≥ 1", Met: true}},
		Rates: []rateGroup{{
			Title: "mail <&> more",
			Peers: []rateLine{{Name: "DELETE", Rates: []float64{100, 50, 200}}, {Name: "loop", Rates: []float64{50, 25, 100}}},
			Sides: []rateLine{
				{Name: plotDefault, Rates: []float64{150, 150, 150}},
				{Name: plotProven, Proven: true, Rates: []float64{200, 100, 400}},
			},
		}},
		Pace: []paceFigures{
			{Pace: noPurge, Rates: []float64{0, 0, 0}, P99: []float64{0.004, 0.004, 0.004}},
			{Pace: "full", Rates: []float64{900, 900, 900}, P99: []float64{0.020, 0.010, 0.030}},
			{Pace: "gentle", Rates: []float64{300, 300, 300}, P99: []float64{0.006, 0.006, 0.006}},
		},
	}
}

func TestResult_WriteAndRead(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "result.json")
	want := sample()
	if err := want.write(file); err != nil {
		t.Fatal(err)
	}
	got, err := readResult(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-written +read):\n%s", diff)
	}
}

func TestReadResult_Refuses(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "| a | table |", `{"ratess": []}`, `{"rates": [{"peers": 1}]}`} {
		file := filepath.Join(t.TempDir(), "result.json")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if r, err := readResult(file); err == nil || !strings.Contains(err.Error(), file) {
			t.Errorf("%q gives %+v, %v, want an error that names the file", text, r, err)
		}
	}
}

func TestResult_Plottable(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*result){
		"":                             func(*result) {},
		"parts [pace] failed":          func(r *result) { r.Failed = []string{"pace"} },
		"no figures of mail":           func(r *result) { r.Rates, r.Pace = nil, nil },
		"no side of reaper":            func(r *result) { r.Rates[0].Sides = nil },
		"no peer":                      func(r *result) { r.Rates[0].Peers = nil },
		"loop: it has figures of 2":    func(r *result) { r.Rates[0].Peers[1].Rates = []float64{1, 2} },
		"DELETE: it has figures of 0":  func(r *result) { r.Rates[0].Peers[0].Rates = nil },
		"reaper: 0 is not a figure":    func(r *result) { r.Rates[0].Sides[0].Rates[2] = 0 },
		"must begin with those of no ": func(r *result) { r.Pace = r.Pace[1:] },
		"and have them once":           func(r *result) { r.Pace[2].Pace = noPurge },
		"pace full: it has figures":    func(r *result) { r.Pace[1].P99 = []float64{1} },
		"pace gentle: -1 is not":       func(r *result) { r.Pace[2].Rates[0] = -1 },
	} {
		r := sample()
		change(&r)
		err := r.plottable()
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	for _, only := range []func(*result){func(r *result) { r.Rates = nil }, func(r *result) { r.Pace = nil }} {
		r := sample()
		only(&r)
		if err := r.plottable(); err != nil {
			t.Errorf("with one panel: %v", err)
		}
	}
}

// What is told and judged stands in the table and in the result; what failed, or was not run,
// is named.
func TestKeep(t *testing.T) {
	t.Parallel()
	b := newBench(io.Discard)
	b.result = result{Rates: sample().Rates}
	b.Tell("mail", "a", "1")
	b.Judge("mail", "b", "2", "≥ 3", false)
	b.finished = []string{"mail"}
	b.jsonOut, b.plot = filepath.Join(t.TempDir(), "r.json"), filepath.Join(t.TempDir(), "p.svg")
	err := b.keep([]part{{Name: "mail"}, {Name: "pace"}})
	if err == nil || !strings.Contains(err.Error(), "[pace] failed") {
		t.Errorf("a part failed: %v", err)
	}
	if _, err := os.Stat(b.plot); err == nil {
		t.Error("a plot was drawn although a part failed")
	}
	got, err := readResult(b.jsonOut)
	if err != nil {
		t.Fatal(err)
	}
	want := []tableLine{{Part: "mail", Figure: "a", Measured: "1"}, {Part: "mail", Figure: "b", Measured: "2", Target: "≥ 3"}}
	if diff := cmp.Diff(want, got.Table); diff != "" || !strings.Contains(b.Markdown(), "| mail | b | 2 | ≥ 3 | **no** |") {
		t.Errorf("(-want +got):\n%s\n%s", diff, b.Markdown())
	}
}

// A result that was drawn anew measures nothing, and gives the same plot.
func TestDraw(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	from, to := filepath.Join(dir, "r.json"), filepath.Join(dir, "img", "p.svg")
	if err := sample().write(from); err != nil {
		t.Fatal(err)
	}
	if code := run(t.Context(), []string{"-draw", from, "-plot", to}, io.Discard, io.Discard); code != 0 {
		t.Fatalf("it ended with %d", code)
	}
	got, err := os.ReadFile(to)
	if err != nil || string(got) != sample().plot() {
		t.Errorf("drawn from the file: %v\n%s", err, got)
	}
	if code := run(t.Context(), []string{"-draw", filepath.Join(dir, "none"), "-plot", to}, io.Discard, io.Discard); code != 1 {
		t.Errorf("without a result it ended with %d, want 1", code)
	}
}
