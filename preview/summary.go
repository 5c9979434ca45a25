package preview

import (
	"slices"
	"strings"

	"github.com/reaperdb/reaper/internal/visible"
	"github.com/reaperdb/reaper/plan"
)

// Summary says what a plan without errors does: "deletes from events and 3 tables behind it; keeps
// invoices; empties 1 column".
func Summary(p *plan.Plan) string {
	behind := int64(0)
	for _, n := range p.Nodes {
		if n.Deleted && n != p.Root {
			behind++
		}
	}
	text := "deletes from " + p.ShortName(p.Root.Table.Name)
	if behind > 0 {
		text += " and " + visible.Count(behind, "table", "tables") + " behind it"
	}
	parts := []string{text}
	var kept, emptied, reset, redacted []string
	for _, e := range p.Edges {
		name := p.ShortName(e.Child.Table.Name)
		switch {
		case e.Action == plan.ByKeep:
			kept = addOnce(kept, name)
		case e.Action == plan.ByRedact:
			for _, c := range e.Redaction.Names() {
				redacted = addOnce(redacted, name+"."+c)
			}
			for _, c := range e.Emptied() {
				emptied = addOnce(emptied, name+"."+c)
			}
		case e.Action == plan.BySetDefault:
			for _, c := range e.SetColumns {
				reset = addOnce(reset, name+"."+c)
			}
		case e.Action.Clears():
			for _, c := range e.SetColumns {
				emptied = addOnce(emptied, name+"."+c)
			}
		}
	}
	if len(kept) > 0 {
		parts = append(parts, "keeps "+inWords(kept))
	}
	if len(emptied) > 0 {
		parts = append(parts, "empties "+visible.Count(int64(len(emptied)), "column", "columns"))
	}
	if len(reset) > 0 {
		parts = append(parts, "sets "+visible.Count(int64(len(reset)), "column", "columns")+" to the default")
	}
	if len(redacted) > 0 {
		parts = append(parts, "redacts "+visible.Count(int64(len(redacted)), "column", "columns"))
	}
	return strings.Join(parts, "; ")
}

func addOnce(names []string, name string) []string {
	if slices.Contains(names, name) {
		return names
	}
	return append(names, name)
}

// namedTables is how many tables a sentence names.
const namedTables = 5

// inWords lists names: "a, b and c".
func inWords(names []string) string {
	if more := len(names) - namedTables; more > 0 {
		return strings.Join(names[:namedTables], ", ") + " and " + visible.Count(int64(more), "more table", "more tables")
	}
	last := len(names) - 1
	if last == 0 {
		return names[0]
	}
	return strings.Join(names[:last], ", ") + " and " + names[last]
}
