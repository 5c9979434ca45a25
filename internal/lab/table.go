package lab

import (
	"fmt"
	"slices"
	"strings"
)

// Table holds a program's results and their targets.
type Table struct {
	// Heads are the column headings: the part of the program, the figure, the result, the
	// target, and whether it was met.
	Heads [5]string
	facts []string
	lines []line
}

// line is a line of the table.
type line struct {
	part, name, found string
	wanted            string // empty if there is no target
	met               bool
}

// Fact adds a line above the table, once.
func (t *Table) Fact(text string) {
	if !slices.Contains(t.facts, text) {
		t.facts = append(t.facts, text)
	}
}

// Facts returns the facts as one line.
func (t *Table) Facts() string { return strings.Join(t.facts, ", ") }

// Tell adds a line without a target.
func (t *Table) Tell(part, name, found string) {
	t.lines = append(t.lines, line{part: part, name: name, found: found})
}

// Judge adds a line with a target, and whether it was met.
func (t *Table) Judge(part, name, found, wanted string, met bool) {
	t.lines = append(t.lines, line{part, name, found, wanted, met})
}

// Markdown formats the table below its facts.
func (t *Table) Markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s.\n\n", t.Facts())
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

// missed returns the lines that missed their target.
func (t *Table) missed() (failures []error) {
	for _, l := range t.lines {
		if l.wanted != "" && !l.met {
			failures = append(failures, fmt.Errorf("%s: %s is %s, %s %s", l.part, l.name, cell(l.found), t.Heads[3], l.wanted))
		}
	}
	return failures
}

// cell escapes a text for a table cell on one line.
func cell(text string) string {
	return strings.ReplaceAll(strings.Join(strings.Fields(text), " "), "|", `\|`)
}
