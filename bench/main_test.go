package main

import (
	"io"
	"testing"
	"time"

	"github.com/reaperdb/reaper/purge"
)

func TestFlags(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"-only", "mali"}, {"-n", "10"}, {"-rounds", "0"}, {"mail"}, {"-x"}} {
		if code := run(t.Context(), args, io.Discard, io.Discard); code != 2 {
			t.Errorf("bench %q ended with %d, want 2", args, code)
		}
	}
	chosen, err := choose("idle, mail")
	if err != nil || len(chosen) != 2 || chosen[0].name != "idle" || chosen[1].name != "mail" {
		t.Errorf("choose gave %v, %v", chosen, err)
	}
}

func TestTenths(t *testing.T) {
	t.Parallel()
	var batches []purge.BatchEvent
	for i := range 100 {
		batches = append(batches, purge.BatchEvent{Rows: int64(10 + i), Duration: time.Duration(10+i) * time.Millisecond})
	}
	byTime, byRow := tenths(batches)
	if want := 104.5 / 14.5; byTime < want-1e-9 || byTime > want+1e-9 {
		t.Errorf("by time %v, want %v", byTime, want)
	}
	if byRow < 1-1e-9 || byRow > 1+1e-9 {
		t.Errorf("by row %v, want 1", byRow)
	}
}

func TestDifference(t *testing.T) {
	t.Parallel()
	x := map[string]content{"a": {3, "6"}, "b": {1, "1"}}
	if d := difference(x, map[string]content{"a": {3, "6"}, "b": {1, "1"}}); d != "" {
		t.Errorf("equal contents differ: %s", d)
	}
	if d, want := difference(x, map[string]content{"a": {3, "6"}, "b": {1, "2"}}), "b: 1 and 1 rows stay"; d != want {
		t.Errorf("got %q, want %q", d, want)
	}
}

// What the server logs of reaper's statements, in either protocol, and of those
// it refused; nothing of other programs.
func TestLogged(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"reaper|LOG:  statement: begin read only":        "begin read only",
		"reaper|LOG:  execute <unnamed>: SELECT 1":       "SELECT 1",
		`reaper|ERROR:  relation "x" does not exist`:     `relation "x" does not exist`,
		"reaper|DETAIL:  parameters: $1 = '1'":           "",
		"|LOG:  checkpoint starting":                     "",
		"psql|LOG:  statement: SELECT 1":                 "",
		"reaper|STATEMENT:  SELECT a FROM x":             "",
		"\treaper|LOG:  statement: of another statement": "",
	} {
		got := ""
		if m := logged.FindStringSubmatch(line); m != nil {
			got = m[1]
		}
		if got != want {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
	}
}
