package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// If there is none, the error says what to install.
func TestFindPgbench(t *testing.T) {
	beside, path := t.TempDir(), t.TempDir()
	t.Setenv("PATH", path)
	if _, err := findPgbench(beside); err == nil || !strings.Contains(err.Error(), "apt-get install") {
		t.Errorf("without a pgbench: %v", err)
	}
	for _, dir := range []string{path, beside} { // the latter wins
		want := filepath.Join(dir, "pgbench")
		if err := os.WriteFile(want, []byte("#!/bin/sh\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		if got, err := findPgbench(beside); err != nil || got != want {
			t.Errorf("found %q, %v, want %q", got, err, want)
		}
	}
}

// The latency includes the lag, so a request was due that long before it ended.
func TestReadLog(t *testing.T) {
	t.Parallel()
	all, err := readLog(strings.NewReader("3 1 4210 0 1700000000 500000 900\n0 2 1000 0 1700000001 250 0\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := []request{
		{due: time.Unix(1700000000, 495790000), latency: 4210 * time.Microsecond},
		{due: time.Unix(1700000000, 999250000), latency: time.Millisecond},
	}
	if !slices.EqualFunc(all, want, func(x, y request) bool { return x.due.Equal(y.due) && x.latency == y.latency }) {
		t.Errorf("got %v, want %v", all, want)
	}
}

// A log without lag is not of an open loop, and a failed request has no latency.
func TestReadLogRefuses(t *testing.T) {
	t.Parallel()
	for _, line := range []string{"3 1 4210 0 1700000000 500000", "3 1 failed 0 1700000000 500000 900"} {
		if all, err := readLog(strings.NewReader(line)); err == nil {
			t.Errorf("%q is read as %v", line, all)
		}
	}
}

func TestBetween(t *testing.T) {
	t.Parallel()
	at := time.Unix(1700000000, 0)
	var all []request
	for i := range 4 {
		all = append(all, request{due: at.Add(time.Duration(i) * time.Second), latency: time.Duration(i+1) * time.Second})
	}
	if got := between(all, at.Add(time.Second), at.Add(3*time.Second)); !slices.Equal(got, []float64{2, 3}) {
		t.Errorf("got %v, want the second and the third", got)
	}
}

func TestTPS(t *testing.T) {
	t.Parallel()
	out := "latency average = 12.2 ms\ninitial connection time = 14.9 ms\ntps = 653.849161 (without initial connection time)\n"
	if m := tps.FindStringSubmatch(out); m == nil || m[1] != "653.849161" {
		t.Errorf("found %q", m)
	}
}
