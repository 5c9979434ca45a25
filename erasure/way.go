package erasure

import (
	"slices"
	"strings"

	"github.com/reaperdb/reaper/schema"
)

// Way is one way in which rows of a table are a tenant's.
type Way struct {
	// Key is the foreign key that it follows, to Parent; nil: the file names a column, a path or SQL.
	Key    *schema.ForeignKey
	Parent *Table
	// Text says it in words, always the same: public.invoices.org_id references public.orgs.id.
	Text string

	pairs   []schema.Comparison // of Key
	hops    []hop               // of a path, before its last column
	last    value               // of a path or a column: what holds the key
	sql     string              // over the table alone
	written string              // sql as the file has it
	where   string              // only rows for which it is true
	columns []string            // of the table: whose rows are depends on them
}

// hop is one step of a path that the file names: a column leads to a unique column of a table.
type hop struct {
	table    *Table
	from, to string
	pair     *schema.Comparison // nil: compared as text
}

// value is a column that holds the key.
type value struct {
	column string
	pair   *schema.Comparison // with the tenants' key; nil: compared as text
}

// guarded reports whether a foreign key refuses rows this way once the tenant's row is gone.
func (w *Way) guarded() bool {
	return w.Key != nil && (w.Parent.Ways == nil || w.Parent.Guarded)
}

// soft reports whether ON DELETE empties the reference and the row lives on.
func soft(k *schema.ForeignKey) bool {
	return k.OnDelete == schema.SetNull || k.OnDelete == schema.SetDefault
}

func keyText(k *schema.ForeignKey) string {
	text := k.ChildName.String() + "." + strings.Join(k.ChildColumns, ", ") + " references " + k.ParentName.String() + "." + strings.Join(k.ParentColumns, ", ")
	if k.OnDelete != schema.NoAction {
		text += " on delete " + strings.ToLower(k.OnDelete.String())
	}
	return text
}

// nullable reports whether any of these columns can be NULL.
func nullable(t *schema.Table, columns []string) bool {
	return slices.ContainsFunc(columns, func(n string) bool {
		c, _ := t.Column(n)
		return !c.NotNull
	})
}
