package main

import (
	"fmt"
	"strings"
)

// figure is a line of the table.
type figure struct {
	part, name, measured string
	target               string // empty: only told
	met                  bool
}

func (b *bench) tell(part, name, measured string) {
	b.figures = append(b.figures, figure{part: part, name: name, measured: measured})
}

func (b *bench) judge(part, name, measured, target string, met bool) {
	b.figures = append(b.figures, figure{part, name, measured, target, met})
}

func (b *bench) table(facts []string) string {
	var t strings.Builder
	fmt.Fprintf(&t, "%s; medians of %d rounds.\n\n", strings.Join(facts, ", "), b.rounds)
	t.WriteString("| part | figure | measured | target | met |\n| --- | --- | --- | --- | --- |\n")
	for _, f := range b.figures {
		met := ""
		if f.target != "" {
			met = map[bool]string{true: "yes", false: "**no**"}[f.met]
		}
		fmt.Fprintf(&t, "| %s | %s | %s | %s | %s |\n", f.part, f.name, f.measured, f.target, met)
	}
	return t.String()
}

// missed are the targets that were not met.
func (b *bench) missed() (failures []error) {
	for _, f := range b.figures {
		if f.target != "" && !f.met {
			failures = append(failures, fmt.Errorf("target missed: %s: %s is %s, wanted %s", f.part, f.name, f.measured, f.target))
		}
	}
	return failures
}
