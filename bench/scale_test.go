package main

import (
	"strings"
	"testing"
)

func TestFits(t *testing.T) {
	t.Parallel()
	const gib = 1 << 30
	for _, c := range []struct {
		size, buffers, ram int64
		want               string
	}{
		{gib, 2 * gib, 8 * gib, "fits in shared_buffers"},
		{4 * gib, 2 * gib, 8 * gib, "fits in RAM, not in shared_buffers"},
		{9 * gib, 2 * gib, 8 * gib, "not in memory"},
		{9 * gib, 2 * gib, 0, "unknown RAM"},
	} {
		if got := fits(c.size, c.buffers, c.ram); !strings.HasSuffix(got, c.want) {
			t.Errorf("%+v: %q", c, got)
		}
	}
}
