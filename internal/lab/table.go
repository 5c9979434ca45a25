package lab

import (
	"fmt"
	"slices"
	"strings"
)

// Table is what a program has found, with what was wanted of it.
type Table struct {
	// Heads are those of the columns: the part of the program, what was looked at, what
	// was found, what was wanted, and whether it is so.
	Heads [5]string
	facts []string
	lines []line
}

// line is a line of the table.
type line struct {
	part, name, found string
	wanted            string // empty: nothing, it is only told
	met               bool
}

// Fact adds what the table is headed by, once.
func (t *Table) Fact(text string) {
	if !slices.Contains(t.facts, text) {
		t.facts = append(t.facts, text)
	}
}

// Tell adds a line of which nothing was wanted.
func (t *Table) Tell(part, name, found string) {
	t.lines = append(t.lines, line{part: part, name: name, found: found})
}

// Judge adds a line with what was wanted, and whether it is so.
func (t *Table) Judge(part, name, found, wanted string, met bool) {
	t.lines = append(t.lines, line{part, name, found, wanted, met})
}

// Markdown is the table as text, under its facts.
func (t *Table) Markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s.\n\n", strings.Join(t.facts, ", "))
	fmt.Fprintf(&b, "| %s |\n| --- | --- | --- | --- | --- |\n", strings.Join(t.Heads[:], " | "))
	for _, l := range t.lines {
		met := ""
		if l.wanted != "" {
			met = map[bool]string{true: "yes", false: "**no**"}[l.met]
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", l.part, l.name, cell(l.found), l.wanted, met)
	}
	return b.String()
}

// missed are the lines that are not as wanted.
func (t *Table) missed() (failures []error) {
	for _, l := range t.lines {
		if l.wanted != "" && !l.met {
			failures = append(failures, fmt.Errorf("%s: %s is %s, %s %s", l.part, l.name, cell(l.found), t.Heads[3], l.wanted))
		}
	}
	return failures
}

// cell is a text in one line that ends no cell of a table.
func cell(text string) string {
	return strings.ReplaceAll(strings.Join(strings.Fields(text), " "), "|", `\|`)
}
