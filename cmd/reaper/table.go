package main

import (
	"fmt"

	"github.com/dustin/go-humanize"
	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/reaperdb/reaper/internal/visible"
)

// Output for people: tables with names as they are, numbers right-aligned and grouped by thousands,
// plural words unless it is one, times in UTC. Never row data. Each value from the database, the
// policy file or an error goes through visible.Text on its own, so that it can neither break its
// line nor reorder the text around it.

// grid starts a table; the listed columns, from 1, are numbers.
func grid(numbers ...int) gridWriter {
	t := table.NewWriter()
	style := table.StyleLight
	style.Format.Header, style.Format.Footer = text.FormatDefault, text.FormatDefault
	t.SetStyle(style)
	var columns []table.ColumnConfig
	for _, n := range numbers {
		columns = append(columns, table.ColumnConfig{Number: n, Align: text.AlignRight, AlignHeader: text.AlignRight, AlignFooter: text.AlignRight})
	}
	t.SetColumnConfigs(columns)
	return gridWriter{t}
}

// gridWriter is a table that escapes its cells.
type gridWriter struct{ table table.Writer }

func (g gridWriter) header(cells ...any) { g.table.AppendHeader(row(cells)) }
func (g gridWriter) row(cells ...any)    { g.table.AppendRow(row(cells)) }
func (g gridWriter) footer(cells ...any) { g.table.AppendFooter(row(cells)) }
func (g gridWriter) String() string      { return g.table.Render() }

func row(cells []any) table.Row {
	shown := make(table.Row, len(cells))
	for i, cell := range cells {
		if s, ok := cell.(string); ok {
			cell = visible.Text(s)
		}
		shown[i] = cell
	}
	return shown
}

// longestKey is how many characters of a tenant's key are shown.
const longestKey = 200

// keyText is a tenant's key within a line. Empty keys are made visible.
func keyText(key string) string {
	if key == "" {
		return `""`
	}
	return visible.Brief(key, longestKey)
}

func quotedKey(key string) string { return `"` + visible.Brief(key, longestKey) + `"` }

// many is "1 policy", "2 policies", "1,000 rows".
func many(n int64, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return humanize.Comma(n) + " " + more
}

func bytesText(n int64) string { return humanize.IBytes(uint64(max(n, 0))) }

func plain(cells []string) []any {
	row := make([]any, len(cells))
	for i, c := range cells {
		row[i] = c
	}
	return row
}

// rate is, for example, "1,234 rows a second"; empty if a run was too short to tell.
func rate(rows int64, seconds float64) string {
	if seconds < 1 || rows == 0 {
		return ""
	}
	return fmt.Sprintf("%s rows a second", humanize.Comma(int64(float64(rows)/seconds)))
}
