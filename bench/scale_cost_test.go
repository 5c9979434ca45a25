package main

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestScaleSizes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		mails, factor int
		want          []int
	}{
		{200_000, 10, []int{200_000, 1_000_000, 2_000_000}},
		{1000, 5, []int{1000, 2500, 5000}},
		{1000, 2, []int{1000, 2000}},
	} {
		if got := scaleSizes(c.mails, c.factor); !slices.Equal(got, c.want) {
			t.Errorf("%d, factor %d: %v, want %v", c.mails, c.factor, got, c.want)
		}
	}
}

// The largest size decides on the disk, all sizes and turns on the time.
func TestScaleCost(t *testing.T) {
	t.Parallel()
	small, large := scaleCost([]int{1000}, 2), scaleCost([]int{1000, 10_000}, 2)
	if large.disk != 10*small.disk || large.time != 11*small.time {
		t.Errorf("%+v for 1000, %+v for 1000 and 10000", small, large)
	}
	if most := scaleCost([]int{100_000_000}, 2).disk; most != 2*100_000_000*bytesPerMail+maxWALBytes {
		t.Errorf("%d bytes for 100 million mails: WAL is not bounded by max_wal_size", most)
	}
	if more := scaleCost([]int{1000}, 4); more.time <= small.time || more.disk != small.disk {
		t.Errorf("%+v for twice the turns of %+v", more, small)
	}
}

func TestCostWithin(t *testing.T) {
	t.Parallel()
	c := cost{disk: 2 << 30, time: 10 * time.Minute}
	for _, x := range []struct {
		free  int64
		limit time.Duration
		want  string
	}{
		{2 << 30, 10 * time.Minute, ""},
		{1 << 30, 10 * time.Minute, "2.0 GiB of the disk, and 1.0 GiB are free"},
		{2 << 30, 9 * time.Minute, "about 10 min"},
	} {
		err := c.within(x.free, x.limit)
		if (err == nil) != (x.want == "") || err != nil && !strings.Contains(err.Error(), x.want) {
			t.Errorf("%d bytes free, limit %s: %v, want %q", x.free, x.limit, err, x.want)
		}
	}
}
