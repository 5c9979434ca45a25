package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"

	"github.com/dustin/go-humanize"
	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/internal/lab"
)

// scaleSides are the sides of the part scale: both on CASCADE keys, which need no second copy.
var scaleSides = []side{defaultSide, {name: "cascade-proven", template: cascading, proven: true}}

// scale measures whether rows per second hold with many times the mails.
func scale(ctx context.Context, b *bench) error {
	sizes := scaleSizes(b.mails, b.factor)
	if err := b.announceScale(sizes); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, b.scaleLimit, fmt.Errorf("the part took longer than -scale-limit %s", b.scaleLimit))
	defer cancel()
	rates := make([][][]float64, len(scaleSides)) // by side, size and round
	for _, mails := range sizes {
		turns, err := b.scaleSize(ctx, mails)
		if err != nil {
			return errors.Join(err, context.Cause(ctx))
		}
		for i := range scaleSides {
			rates[i] = append(rates[i], each(turns[i], turn.rowRate))
		}
	}
	for i, s := range scaleSides {
		b.judgeScale(s, sizes, rates[i])
	}
	return nil
}

// scaleSizes are n, half of factor times n, and factor times n.
func scaleSizes(mails, factor int) []int {
	return slices.Compact([]int{mails, mails * factor / 2, mails * factor})
}

// scaleSize deletes so many mails by each side, and drops them.
func (b *bench) scaleSize(ctx context.Context, mails int) ([][]turn, error) {
	load, err := b.fill(ctx, mails)
	if err != nil {
		return nil, err
	}
	size, err := b.room(ctx)
	if err != nil {
		return nil, err
	}
	var methods []method
	for _, s := range scaleSides {
		if err := b.checkProven(ctx, s); err != nil {
			return nil, err
		}
		methods = append(methods, b.method(s))
	}
	turns, err := b.runRounds(ctx, load, methods)
	if err != nil {
		return nil, err
	}
	b.Tell("scale", fmt.Sprintf("n=%d", mails), size)
	for i, s := range scaleSides {
		b.Tell("scale", fmt.Sprintf("%s, n=%d", s.title(), mails), spread(each(turns[i], turn.rowRate), "%.0f")+" rows/s")
	}
	return turns, b.drop(ctx, cascading)
}

// judgeScale compares a side's rates of each size with those of the first.
func (b *bench) judgeScale(s side, sizes []int, rates [][]float64) {
	for i, mails := range sizes[1:] {
		values := ratios(rates[i+1], rates[0])
		name := fmt.Sprintf("%s, n=%d to n=%d, rows/s", s.title(), mails, sizes[0])
		if i+2 < len(sizes) {
			b.Tell("scale", name, spread(values, "%.2f"))
			continue
		}
		b.Judge("scale", name, spread(values, "%.2f"), "≥ 0.85 (aim: 0.95)", median(values) >= 0.85)
	}
}

// room describes the size of the workload relative to the available memory.
func (b *bench) room(ctx context.Context) (told string, err error) {
	var size, buffers int64
	err = lab.OnDatabase(ctx, b.server.DSN(cascading), func(conn *pgx.Conn) error {
		return conn.QueryRow(ctx, `SELECT pg_database_size(current_database()), pg_size_bytes(current_setting('shared_buffers'))`).Scan(&size, &buffers)
	})
	return fits(size, buffers, memoryTotal()), err
}

// fits formats it; a ram of 0 means unknown.
func fits(size, buffers, ram int64) string {
	told := fmt.Sprintf("a database of %s, shared_buffers %s", humanize.IBytes(uint64(size)), humanize.IBytes(uint64(buffers)))
	if ram == 0 {
		return told + ", unknown RAM"
	}
	in := "not in memory"
	switch {
	case size <= buffers:
		in = "fits in shared_buffers"
	case size <= ram:
		in = "fits in RAM, not in shared_buffers"
	}
	return fmt.Sprintf("%s, %s of RAM: %s", told, humanize.IBytes(uint64(ram)), in)
}

var memTotal = regexp.MustCompile(`(?m)^MemTotal:\s+(\d+) kB`)

// memoryTotal returns the machine's RAM in bytes, or 0 if unknown.
func memoryTotal() int64 {
	text, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	m := memTotal.FindSubmatch(text)
	if m == nil {
		return 0
	}
	kb, err := strconv.ParseInt(string(m[1]), 10, 64)
	if err != nil {
		return 0
	}
	return kb * 1024
}
