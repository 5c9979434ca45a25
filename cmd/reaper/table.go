package main

import (
	"fmt"

	"github.com/dustin/go-humanize"

	"github.com/reaperdb/reaper/internal/terminal"
	"github.com/reaperdb/reaper/internal/visible"
)

// Output for people: tables with names as they are, numbers right-aligned and grouped by thousands,
// plural words unless it is one, times in UTC. Never row data. Each value from the database, the
// policy file or an error goes through visible.Text on its own, so that it can neither break its
// line nor reorder the text around it. Colors and widths are package terminal's.

// column is one of text; drop as in terminal.Column.
func column(name string, drop int) terminal.Column { return terminal.Column{Name: name, Drop: drop} }

// figure is a column of numbers.
func figure(name string, drop int) terminal.Column {
	return terminal.Column{Name: name, Drop: drop, Number: true}
}

// printTable draws a table for stdout.
func (a *app) printTable(t *terminal.Table) { a.printf("%s\n", t.Render(terminal.Of(a.stdout))) }

// tones are the colors of words that say how something is: ends of runs, states of guards and
// tenants, levels of problems.
var tones = map[string]terminal.Tone{
	"complete": terminal.Good, "incomplete": terminal.Watch, "refused": terminal.Bad, "failed": terminal.Bad,
	"go": terminal.Good, "slow": terminal.Watch, "pause": terminal.Watch, "stop": terminal.Bad, "off": terminal.Faint,
	"skipped": terminal.Watch, "held": terminal.Faint, "forever": terminal.Faint, "clear": terminal.Faint,
	"error": terminal.Bad, "warning": terminal.Watch, "note": terminal.Faint, "ok": terminal.Good,
}

// toned is a word with its color, as a cell.
func toned(word string) terminal.Cell { return terminal.Cell{Tone: tones[word], Text: word} }

// painted is a word of ours with its color, for a line on stdout.
func (a *app) painted(word string) string { return terminal.Of(a.stdout).Paint(tones[word], word) }

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
