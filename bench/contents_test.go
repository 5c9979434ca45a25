package main

import (
	"testing"
)

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

func TestGone(t *testing.T) {
	t.Parallel()
	before := map[string]content{"a": {5, "15"}, "b": {3, "6"}}
	if n := rowsDeleted(before, map[string]content{"a": {1, "1"}, "b": {3, "6"}}); n != 4 {
		t.Errorf("%d rows gone, want 4", n)
	}
}
