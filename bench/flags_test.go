package main

import (
	"io"
	"slices"
	"testing"
	"time"

	"github.com/reaperdb/reaper/internal/lab"
)

func TestWrongFlags(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"-only", "mali"},
		{"-sides", "cascade,proven"},
		{"-paces", "half"},
		{"-paces", "25%}"},
		{"-n", "10"},
		{"-rounds", "0"},
		{"-factor", "1"},
		{"-connections", "0"},
		{"-window", "20ms"},
		{"-scale-limit", "0s"},
		{"-only", "idle", "-plot", "p.svg"},
		{"-draw", "r.json"},
		{"-draw", "r.json", "-plot", "p.svg", "-only", "mail"},
		{"mail"},
		{"-x"},
	} {
		if code := run(t.Context(), args, io.Discard, io.Discard); code != 2 {
			t.Errorf("bench %q ended with %d, want 2", args, code)
		}
	}
}

func TestFlags(t *testing.T) {
	t.Parallel()
	b := newBench(io.Discard)
	chosen, err := b.parse([]string{
		"-only", "idle, scale", "-sides", "no-action", "-paces", "full, 5%", "-window", "3s", "-out", "x.md",
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(chosen) != 2 || chosen[0].Name != "idle" || chosen[1].Name != "scale" || b.Out != "x.md" {
		t.Errorf("chose %v, and %q to write to", chosen, b.Out)
	}
	if len(b.sides) != 1 || b.sides[0].name != "no-action" || !slices.Equal(b.paces, []string{"full", "5%"}) || b.window != 3*time.Second {
		t.Errorf("sides %v, paces %v, window %s", b.sides, b.paces, b.window)
	}
}

// -out writes the table or, by its name, the result.
func TestFlags_Out(t *testing.T) {
	t.Parallel()
	b := newBench(io.Discard)
	if _, err := b.parse([]string{"-out", "x.json", "-plot", "x.svg"}); err != nil {
		t.Fatal(err)
	}
	if b.Out != "" || b.jsonOut != "x.json" || b.plot != "x.svg" {
		t.Errorf("table to %q, result to %q, plot to %q", b.Out, b.jsonOut, b.plot)
	}
}

// Very long parts run only on request.
func TestAllParts(t *testing.T) {
	t.Parallel()
	chosen, err := lab.Choose(parts, "")
	if err != nil {
		t.Fatal(err)
	}
	if len(chosen) != len(parts)-3 || slices.ContainsFunc(chosen, func(p part) bool { return p.Name == "scale" || p.Name == "isolation" || p.Name == "archive" }) {
		t.Errorf("without -only it chooses %v", chosen)
	}
}
