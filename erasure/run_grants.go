package erasure

import (
	"slices"
	"strings"

	"github.com/reaperdb/reaper/internal/pg"
)

// Grants are the statements that grant a role the minimal privileges on the tables of the plan.
func (p *Plan) Grants(role string) (statements []string) {
	to := " TO " + pg.Ident(role) + ";"
	var schemas, rights []string
	for _, t := range p.Tables {
		name := pg.Ident(t.Table.Name.Schema, t.Table.Name.Name)
		schemas = append(schemas, "GRANT USAGE ON SCHEMA "+pg.Ident(t.Table.Name.Schema)+to)
		rights = append(rights, "GRANT "+strings.Join(t.privileges(p), ", ")+" ON "+name+to)
	}
	for _, f := range p.Needs.Functions {
		rights = append(rights, "GRANT EXECUTE ON ROUTINE "+f.SQL+to)
	}
	for _, r := range p.Needs.Relations {
		rights = append(rights, "GRANT SELECT ON "+pg.Ident(r.Name.Schema, r.Name.Name)+to)
	}
	slices.Sort(schemas)
	slices.Sort(rights)
	return slices.Concat(slices.Compact(schemas), slices.Compact(rights))
}

// privileges are those on a table. Locking rows takes UPDATE of one column, whichever.
func (t *Table) privileges(p *Plan) []string {
	all := []string{"SELECT"}
	switch {
	case t == p.Tenants && !t.deletes():
		return append(all, "UPDATE", "DELETE") // the row goes with the last kept one
	case t.deletes():
		all = append(all, "DELETE", "UPDATE ("+pg.Ident(t.Table.Columns[0].Name)+")")
	}
	if t.Redaction != nil {
		for _, name := range t.Redaction.Names() {
			all = append(all, "UPDATE ("+pg.Ident(name)+")")
		}
	}
	return all
}
