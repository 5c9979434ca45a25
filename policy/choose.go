package policy

import (
	"fmt"
	"strings"
)

// Choose stands in a starter file for a value that a person has to decide. A file that
// still has one is refused.
const Choose = "CHOOSE"

// checkChosen refuses a file in which something is left to decide, and names every place.
func checkChosen(root *node) error {
	places := unchosen("", root)
	if len(places) == 0 {
		return nil
	}
	first := places[0]
	msg := fmt.Sprintf("%s is still %s: write a value in its place", first.key, Choose)
	if more := places[1:]; len(more) > 0 {
		var lines []string
		for _, p := range more {
			lines = append(lines, fmt.Sprintf("%s in line %d", p.key, p.pos.Line))
		}
		msg += fmt.Sprintf(", and likewise for %s", strings.Join(lines, ", "))
	}
	return errorAt(first.pos, "%s", msg)
}

type place struct {
	key string
	pos Pos
}

// unchosen are the values that are Choose, in the order of the file.
func unchosen(key string, n *node) (places []place) {
	if n.kind == kindString && n.text == Choose {
		return []place{{key, n.pos}}
	}
	for _, p := range n.pairs {
		places = append(places, unchosen(p.key.text, p.value)...)
	}
	for _, item := range n.items {
		places = append(places, unchosen(key, item)...)
	}
	return places
}
