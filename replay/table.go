package main

import (
	"fmt"
	"strings"
)

// line is a line of the table.
type line struct {
	scenario, what, seen string
	expected             string // empty: only told
	ok                   bool
}

func (r *replay) tell(scenario, what, seen string) {
	r.lines = append(r.lines, line{scenario: scenario, what: what, seen: seen})
}

func (r *replay) judge(scenario, what, seen, expected string, ok bool) {
	r.lines = append(r.lines, line{scenario, what, seen, expected, ok})
	r.say("%s: %s: %s", scenario, what, seen)
}

// table is what was seen, and the policy file that it was seen with.
func (r *replay) table() string {
	var t strings.Builder
	fmt.Fprintf(&t, "%s.\n\n", strings.Join(r.facts, ", "))
	t.WriteString("| scenario | what | seen | expected | as expected |\n| --- | --- | --- | --- | --- |\n")
	for _, l := range r.lines {
		as := ""
		if l.expected != "" {
			as = map[bool]string{true: "yes", false: "**no**"}[l.ok]
		}
		fmt.Fprintf(&t, "| %s | %s | %s | %s | %s |\n", l.scenario, l.what, cell(l.seen), l.expected, as)
	}
	if r.policy != "" {
		fmt.Fprintf(&t, "\nThe policy file:\n\n```yaml\n%s```\n", r.policy)
	}
	return t.String()
}

// cell is a text in one line that ends no cell of a table.
func cell(text string) string {
	return strings.ReplaceAll(strings.Join(strings.Fields(text), " "), "|", `\|`)
}

// unexpected are the lines that are not as expected.
func (r *replay) unexpected() (failures []error) {
	for _, l := range r.lines {
		if l.expected != "" && !l.ok {
			failures = append(failures, fmt.Errorf("not as expected: %s: %s is %s, expected %s", l.scenario, l.what, cell(l.seen), l.expected))
		}
	}
	return failures
}
