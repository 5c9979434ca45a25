package main

import (
	"testing"
	"time"

	"github.com/reaperdb/reaper/purge"
)

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
