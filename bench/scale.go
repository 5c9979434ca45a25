package main

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"strconv"

	"github.com/dustin/go-humanize"
	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/internal/lab"
)

// scale measures whether rows per second hold with many times the mails.
func scale(ctx context.Context, b *bench) error {
	const part = "scale"
	var rates [][]float64
	for _, mails := range []int{b.mails, b.mails * b.factor} {
		load, err := b.fill(ctx, mails)
		if err != nil {
			return err
		}
		size, err := b.room(ctx)
		if err != nil {
			return err
		}
		turns, err := b.runRounds(ctx, load, []method{b.method(defaultSide)})
		if err != nil {
			return err
		}
		rows := each(turns[0], turn.rowRate)
		rates = append(rates, rows)
		b.Tell(part, fmt.Sprintf("%s, n=%d", defaultSide.title(), mails), fmt.Sprintf("%s rows/s; %s", spread(rows, "%.0f"), size))
		if err := b.drop(ctx, cascading); err != nil {
			return err
		}
	}
	values := ratios(rates[1], rates[0])
	b.Judge(part, fmt.Sprintf("n=%d to n=%d, rows/s", b.mails*b.factor, b.mails), spread(values, "%.2f"), "≥ 0.85", median(values) >= 0.85)
	return nil
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
