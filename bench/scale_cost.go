package main

import (
	"fmt"
	"math"
	"syscall"
	"time"

	"github.com/dustin/go-humanize"
)

// What a mail of the part scale costs, rounded up from a run on two cores with n=200000 at most.
// The times are for warning only: another machine takes others.
const (
	bytesPerMail    = 2000     // in one database
	walBytesPerMail = 6000     // that lie on the disk at a time
	maxWALBytes     = 16 << 30 // max_wal_size of serverSettings
	fillPerMail     = 120 * time.Microsecond
	turnPerMail     = 80 * time.Microsecond // of one side, with copying before it and comparing after it
)

// cost is what a part needs.
type cost struct {
	disk int64 // bytes, at most at a time
	time time.Duration
}

func (c cost) minutes() string { return fmt.Sprintf("%.0f min", math.Ceil(c.time.Minutes())) }

// scaleCost estimates the cost of the part scale. Two copies of the largest size, and WAL up to
// max_wal_size, lie on the disk at a time.
func scaleCost(sizes []int, turns int) (c cost) {
	for _, mails := range sizes {
		n := int64(mails)
		c.disk = max(c.disk, 2*n*bytesPerMail+min(n*walBytesPerMail, maxWALBytes))
		c.time += time.Duration(n) * (fillPerMail + time.Duration(turns)*turnPerMail)
	}
	return c
}

// announceScale tells what the part scale will cost before it begins, and refuses it if that is
// more than there is.
func (b *bench) announceScale(sizes []int) error {
	c := scaleCost(sizes, b.rounds*len(scaleSides))
	free, err := freeBytes(b.server.Dir())
	if err != nil {
		return err
	}
	b.Say("n=%v takes about %s, and at most about %s of the disk of %s, which has %s free",
		sizes, c.minutes(), humanize.IBytes(uint64(c.disk)), b.server.Dir(), humanize.IBytes(uint64(free)))
	return c.within(free, b.scaleLimit)
}

// within refuses what costs too much.
func (c cost) within(free int64, limit time.Duration) error {
	if c.disk > free {
		return fmt.Errorf("not begun: it needs about %s of the disk, and %s are free; take a smaller -n or -factor, or another TMPDIR",
			humanize.IBytes(uint64(c.disk)), humanize.IBytes(uint64(free)))
	}
	if c.time > limit {
		return fmt.Errorf("not begun: it takes about %s; take fewer -rounds, a smaller -n or -factor, or a longer -scale-limit than %s", c.minutes(), limit)
	}
	return nil
}

// freeBytes returns what is free for this user on the disk of a directory.
func freeBytes(dir string) (int64, error) {
	var stat syscall.Statfs_t
	if err := syscall.Statfs(dir, &stat); err != nil {
		return 0, fmt.Errorf("reading the free space of %s: %w", dir, err)
	}
	return int64(stat.Bavail) * int64(stat.Bsize), nil
}
