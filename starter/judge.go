package starter

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/reaperdb/reaper/internal/visible"
	"github.com/reaperdb/reaper/schema"
)

const (
	// manyRows is the row count from which a table may be history without a telling name.
	manyRows = 10_000
	// fewReferences is how many tables may reference such a table.
	fewReferences = 3
)

// candidate decides whether the rows of a table can expire, and if not, says why.
func (r *reader) candidate(ctx context.Context, t *schema.Table) (Root, string, error) {
	root := Root{Table: t}
	if reason := r.refusal(t); reason != "" {
		return root, reason, nil
	}
	if reason, err := r.age(ctx, &root); reason != "" || err != nil {
		return root, reason, err
	}
	if reason, err := r.unnamedTable(ctx, t, root.Age); reason != "" || err != nil {
		return root, reason, err
	}
	reason, err := r.takesInUse(ctx, root)
	return root, reason, err
}

// age finds what tells the age of a root's rows, or says why nothing does.
func (r *reader) age(ctx context.Context, root *Root) (reason string, err error) {
	var ok bool
	if root.Age, ok = ageOf(root.Table, r.kinds[root.Table.OID]); !ok {
		var how reading
		if root.Age, how, ok, err = r.agedKey(ctx, root.Table); err != nil || !ok {
			return "no column holds a row's age", err
		}
		root.Unit, root.Epoch, root.ByKey = how.unit, how.epoch, true
		return "", nil
	}
	if isInteger(root.Age) {
		root.Unit, err = r.unit(ctx, root.Table, root.Age)
		if err != nil || root.Unit == "" {
			return fmt.Sprintf("%s is an integer but not a time since 1970", text(root.Age.Name)), err
		}
	}
	return "", nil
}

// refusal says why a table cannot be a root, whatever its rows are.
func (r *reader) refusal(t *schema.Table) string {
	name := strings.ToLower(t.Name.Name)
	k, word := kindOf(t.Name.Name)
	unique := uniqueName(t)
	switch {
	case r.found.Tenants != nil && t == r.found.Tenants.Table:
		return "the tenants themselves"
	case tools[name] != "":
		return "kept by " + tools[name]
	case queues[name] != "":
		return queues[name] + ": pending jobs must not be deleted"
	case k == live:
		return fmt.Sprintf("its rows are in use (%s)", word)
	case k == content:
		return fmt.Sprintf("content, or part of something else (%s)", word)
	case k == accounting:
		return fmt.Sprintf("accounting records (%s): the law may say how long to keep them", word)
	case unique != "":
		return fmt.Sprintf("its rows have names (a unique index on %s)", text(unique))
	case k == unknown && r.isLink(t):
		return "connects other tables"
	case isPeriod(t):
		return "its rows have a beginning and an end, which may lie ahead"
	case t.Kind == schema.Ordinary && len(t.Children) > 0:
		return "other tables inherit from it"
	}
	if of := r.stateOf(t); of != "" {
		return "one row for each of " + of
	}
	if word == "email" && hasAddress(t) {
		return "its rows are in use (addresses, not messages)"
	}
	if !hasKey(t) {
		return "no primary key, and no unique index to replace it"
	}
	return ""
}

// hasAddress reports whether a table named emails holds addresses.
func hasAddress(t *schema.Table) bool {
	return slices.ContainsFunc(t.Columns, func(c schema.Column) bool {
		return slices.Contains([]string{"email", "address", "emailaddress", "verified", "verifiedat", "confirmed", "confirmedat", "isprimary", "primary"}, plainName(c.Name))
	})
}

// stateOf returns the table for each row of which this one holds one row, so that it is not
// history; "" if there is none.
func (r *reader) stateOf(t *schema.Table) string {
	keys := r.graph.Outgoing(t.OID)
	for _, x := range t.Indexes {
		if !x.Unique {
			continue
		}
		parent := ""
		for _, n := range x.ColumnNames() {
			i := slices.IndexFunc(keys, func(k schema.ForeignKey) bool { return len(k.ChildColumns) == 1 && k.ChildColumns[0] == n })
			if i < 0 || r.kinds[keys[i].Parent] == history || r.kinds[keys[i].Parent] == lifecycle {
				parent = ""
				break
			}
			parent = keys[i].ParentName.String()
		}
		if parent != "" {
			return text(parent)
		}
	}
	return ""
}

// unnamedTable says why a table whose name does not tell what its rows are is no root.
func (r *reader) unnamedTable(ctx context.Context, t *schema.Table, age schema.Column) (string, error) {
	if k := r.kinds[t.OID]; k == history || k == lifecycle {
		return "", nil
	}
	const doubt = "nothing says that its rows are history"
	if t.EstimatedRows < manyRows {
		return fmt.Sprintf("%s, and there are only about %.0f", doubt, max(t.EstimatedRows, 0)), nil
	}
	if n := r.referencedBy(t); n > fewReferences {
		return fmt.Sprintf("%s, and %d tables reference it", doubt, n), nil
	}
	grows, err := r.inOrder(ctx, t, age)
	if err != nil {
		return "", err
	}
	if !indexedAge(t, age.Name) && !grows {
		return fmt.Sprintf("%s: they are neither written in the order of %s nor indexed by it", doubt, text(age.Name)), nil
	}
	return "", nil
}

func (r *reader) referencedBy(t *schema.Table) int {
	var tables []uint32
	for _, k := range r.graph.References(t.OID) {
		if k.Child != t.OID && !slices.Contains(tables, k.Child) {
			tables = append(tables, k.Child)
		}
	}
	return len(tables)
}

// takesInUse says why a table is no root because of what would be deleted with its rows:
// rows in use, or rows that are much younger.
func (r *reader) takesInUse(ctx context.Context, root Root) (string, error) {
	seen := []uint32{root.Table.OID}
	for i := 0; i < len(seen); i++ {
		for _, k := range r.graph.References(seen[i]) {
			if slices.Contains(seen, k.Child) || k.OnDelete == schema.SetNull || k.OnDelete == schema.SetDefault {
				continue
			}
			if r.inUse(k, seen[i]) {
				if k.OnDelete == schema.Cascade {
					return fmt.Sprintf("rows of %s, which are in use, would be deleted with it (%s, ON DELETE CASCADE)", text(k.ChildName.String()), text(k.Name)), nil
				}
				continue // decided as keep
			}
			if i == 0 {
				younger, err := r.younger(ctx, root, k)
				if err != nil {
					return "", err
				}
				if younger != "" {
					return younger, nil
				}
			}
			seen = append(seen, k.Child)
		}
	}
	return "", nil
}

// inUse reports whether rows that reference a table are in use in their own right, not as
// part of what they reference.
func (r *reader) inUse(k schema.ForeignKey, parent uint32) bool {
	t := r.graph.Tables[k.Child]
	if t == nil || r.found.Tenants != nil && t == r.found.Tenants.Table {
		return true
	}
	if r.partOf(t, r.graph.Tables[parent]) || r.isLink(t) {
		return false
	}
	return r.kinds[t.OID] == live || r.kinds[t.OID] == accounting || uniqueName(t) != "" && r.kinds[t.OID] != history
}

// partOf reports whether a table is named after another: message_labels after messages.
func (r *reader) partOf(t, whole *schema.Table) bool {
	parts, of := split(t.Name.Name), split(whole.Name.Name)
	if len(parts) <= len(of) {
		return false
	}
	for i := range of {
		if singular(parts[i]) != singular(of[i]) {
			return false
		}
	}
	return true
}

// text escapes a name for a comment.
func text(name string) string { return visible.Text(name) }
