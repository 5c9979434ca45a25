package policy

import (
	"fmt"
	"strings"
)

// Choose is the placeholder in a starter file for a value that a person has to decide. A
// file that still contains one is refused.
const Choose = "CHOOSE"

// checkPlaceholders refuses a file with placeholders and names every one of them.
func checkPlaceholders(root *node) error {
	places := placeholders("", root)
	if len(places) == 0 {
		return nil
	}
	first := places[0]
	msg := fmt.Sprintf("%s is still %s: write a value in its place", first.key, Choose)
	if more := places[1:]; len(more) > 0 {
		var lines []string
		for _, p := range more {
			lines = append(lines, fmt.Sprintf("%s on line %d", p.key, p.pos.Line))
		}
		msg += fmt.Sprintf(", and the same for %s", strings.Join(lines, ", "))
	}
	return errorAt(first.pos, "%s", msg)
}

type place struct {
	key string
	pos Pos
}

// placeholders returns the placeholders, in the order of the file.
func placeholders(key string, n *node) (places []place) {
	if n.kind == kindString && n.text == Choose {
		return []place{{key, n.pos}}
	}
	for _, p := range n.pairs {
		places = append(places, placeholders(p.key.text, p.value)...)
	}
	for _, item := range n.items {
		places = append(places, placeholders(key, item)...)
	}
	return places
}
