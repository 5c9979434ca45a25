package terminal

import (
	"fmt"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/reaperdb/reaper/internal/visible"
)

// Column is one of a table's.
type Column struct {
	Name   string
	Number bool // at the right, and never wrapped
	// Drop is when the column is left out where the table does not fit: the highest first; 0: never.
	Drop int
}

// Cell is a value with a color.
type Cell struct {
	Tone Tone
	Text string
}

// Table is a table of names as they are, and of numbers. Every cell is escaped on its own, so that
// it can neither break its line nor reorder the text around it.
type Table struct {
	columns []Column
	rows    [][]Cell
	footers [][]Cell
}

// NewTable starts a table.
func NewTable(columns ...Column) *Table { return &Table{columns: columns} }

// Row appends a row of strings, Cells, or anything that prints as one word.
func (t *Table) Row(cells ...any) { t.rows = append(t.rows, t.cells(cells)) }

// Footer appends a row below the table.
func (t *Table) Footer(cells ...any) { t.footers = append(t.footers, t.cells(cells)) }

// cells are as many as there are columns.
func (t *Table) cells(values []any) []Cell {
	row := make([]Cell, len(t.columns))
	for i, v := range values {
		c, ok := v.(Cell)
		if !ok {
			c.Text = fmt.Sprint(v)
		}
		c.Text = visible.Text(c.Text)
		row[i] = c
	}
	return row
}

// narrowest is how narrow a column of text becomes before others are left out.
const narrowest = 14

// Render draws the table for a style.
func (t *Table) Render(s Style) string {
	kept, left := t.fitting(s.Width)
	widths := t.widths(kept)
	if s.Width > 0 && !t.shrink(kept, widths, s.Width) {
		return t.records(s)
	}
	drawn := t.draw(s, kept, widths)
	if len(left) > 0 {
		drawn += "\n" + s.Paint(Faint, strings.Join(wrap("not shown for lack of width: "+strings.Join(left, ", "), s.Width), "\n"))
	}
	return drawn
}

// fitting are the columns that fit when text is as narrow as may be, and the names of the others.
func (t *Table) fitting(width int) (kept []int, left []string) {
	for i := range t.columns {
		kept = append(kept, i)
	}
	for width > 0 && total(t.least(kept)) > width {
		first := -1
		for at, c := range kept {
			if d := t.columns[c].Drop; d > 0 && (first < 0 || d > t.columns[kept[first]].Drop) {
				first = at
			}
		}
		if first < 0 {
			break
		}
		kept = slices.Delete(kept, first, first+1)
	}
	for i, c := range t.columns {
		if !slices.Contains(kept, i) {
			left = append(left, c.Name)
		}
	}
	return kept, left
}

// widths are those of the columns' content.
func (t *Table) widths(kept []int) []int {
	widths := make([]int, len(kept))
	for at, c := range kept {
		widths[at] = text.StringWidthWithoutEscSequences(t.columns[c].Name)
		for _, row := range slices.Concat(t.rows, t.footers) {
			widths[at] = max(widths[at], text.StringWidthWithoutEscSequences(row[c].Text))
		}
	}
	return widths
}

// least are the narrowest widths of columns.
func (t *Table) least(kept []int) []int {
	widths := t.widths(kept)
	for at, c := range kept {
		if !t.columns[c].Number {
			widths[at] = min(widths[at], narrowest)
		}
	}
	return widths
}

// total is the width of a table: each column has a line and two blanks.
func total(widths []int) int {
	n := 1
	for _, w := range widths {
		n += w + 3
	}
	return n
}

// shrink narrows the widest columns of text until all fit, and reports whether they do.
func (t *Table) shrink(kept, widths []int, width int) bool {
	for total(widths) > width {
		widest := -1
		for at, c := range kept {
			if !t.columns[c].Number && widths[at] > narrowest && (widest < 0 || widths[at] > widths[widest]) {
				widest = at
			}
		}
		if widest < 0 {
			return false
		}
		widths[widest]--
	}
	return true
}

func (t *Table) draw(s Style, kept, widths []int) string {
	w := table.NewWriter()
	style := table.StyleLight
	style.Format.Header, style.Format.Footer = text.FormatDefault, text.FormatDefault
	w.SetStyle(style)
	var configs []table.ColumnConfig
	var names []Cell
	for at, c := range kept {
		if t.columns[c].Number {
			configs = append(configs, table.ColumnConfig{Number: at + 1, Align: text.AlignRight, AlignHeader: text.AlignRight, AlignFooter: text.AlignRight})
		}
		names = append(names, Cell{Text: t.columns[c].Name})
	}
	w.SetColumnConfigs(configs)
	w.AppendHeader(shown(s, names, widths))
	for _, row := range t.rows {
		w.AppendRow(shown(s, pick(row, kept), widths))
	}
	for _, row := range t.footers {
		w.AppendFooter(shown(s, pick(row, kept), widths))
	}
	return w.Render()
}

func pick(row []Cell, kept []int) []Cell {
	var cells []Cell
	for _, c := range kept {
		cells = append(cells, row[c])
	}
	return cells
}

// shown wraps and colors cells.
func shown(s Style, cells []Cell, widths []int) table.Row {
	row := make(table.Row, len(cells))
	for i, c := range cells {
		lines := wrap(c.Text, widths[i])
		for j := range lines {
			lines[j] = s.Paint(c.Tone, lines[j])
		}
		row[i] = strings.Join(lines, "\n")
	}
	return row
}

// records is the table for a terminal too narrow for one: each row as lines of name and value.
func (t *Table) records(s Style) string {
	var b strings.Builder
	for i, row := range slices.Concat(t.rows, t.footers) {
		if i > 0 {
			b.WriteString("\n")
		}
		for j, c := range row {
			if c.Text == "" {
				continue
			}
			name := t.columns[j].Name + ": "
			lines := wrap(c.Text, max(s.Width-len(name), narrowest/2))
			b.WriteString(s.Paint(Faint, name) + s.Paint(c.Tone, lines[0]) + "\n")
			for _, line := range lines[1:] {
				b.WriteString("  " + s.Paint(c.Tone, line) + "\n")
			}
		}
	}
	return strings.TrimSuffix(b.String(), "\n")
}
