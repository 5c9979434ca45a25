package main

import (
	"fmt"

	"github.com/dustin/go-humanize"
	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// What is printed for people: tables with their names as they are, numbers to
// the right and grouped by thousands, a word in the plural only when it is one,
// times in UTC. No row data, ever.

// grid starts a table; the columns with these numbers, from 1, are numbers.
func grid(numbers ...int) table.Writer {
	t := table.NewWriter()
	style := table.StyleLight
	style.Format.Header, style.Format.Footer = text.FormatDefault, text.FormatDefault
	t.SetStyle(style)
	var columns []table.ColumnConfig
	for _, n := range numbers {
		columns = append(columns, table.ColumnConfig{Number: n, Align: text.AlignRight, AlignHeader: text.AlignRight, AlignFooter: text.AlignRight})
	}
	t.SetColumnConfigs(columns)
	return t
}

// many is "1 policy", "2 policies", "1,000 rows".
func many(n int64, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return humanize.Comma(n) + " " + more
}

func bytesText(n int64) string { return humanize.IBytes(uint64(max(n, 0))) }

func plain(cells []string) table.Row {
	row := make(table.Row, len(cells))
	for i, c := range cells {
		row[i] = c
	}
	return row
}

// rate is "1,234 rows a second", or empty when a run was too short to tell.
func rate(rows int64, seconds float64) string {
	if seconds < 1 || rows == 0 {
		return ""
	}
	return fmt.Sprintf("%s rows a second", humanize.Comma(int64(float64(rows)/seconds)))
}
