package starter

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/schema"
)

// Choose marks what a person has to decide. A file that contains it is refused.
const Choose = policy.Choose

// writer formats a proposal as a policy file.
type writer struct {
	strings.Builder
	*Proposal
}

// YAML formats the proposal as a commented policy file, which is refused until every CHOOSE
// is replaced.
func (p *Proposal) YAML() string {
	w := &writer{Proposal: p}
	w.head()
	w.tenants()
	w.policies()
	w.others()
	return w.String()
}

func (w *writer) line(format string, args ...any) {
	fmt.Fprintf(&w.Builder, format+"\n", args...)
}

func (w *writer) head() {
	w.line("%s", policy.Modeline)
	if w.answered {
		w.line("# Made from this database's catalog and the answers of whoever ran `reaper init --interactive`. Run")
	} else {
		w.line(`# A starter for reaper, made from this database's catalog. Nothing runs until every
# CHOOSE below is replaced by a value. Remove what should not expire, then run`)
	}
	w.line(`#   reaper check   compares this file with the database
#   reaper plan    shows what a purge would delete
version: 1
`)
}

func (w *writer) tenants() {
	t := w.Tenants
	if t == nil {
		w.line(`# No table looks like the owner of the rows, so every policy has a retention of its own.
# If there is one, name it, and give each policy the path to it:
# tenants:
#   table: organizations
#   key: id
`)
		return
	}
	w.line("tenants:                 # who owns rows, and how long each tenant keeps them")
	w.line("  table: %s", yamlName(t.Table.Name))
	w.line("  key: %s", policy.YAMLColumn(t.Key))
	if t.Retention != "" {
		w.line("  retention: %s   # days, or an interval; used where a policy has no retention of its own", sqlColumn(t.Retention))
	} else {
		w.line("  # retention: retention_days   # a column or SQL: days, or an interval")
	}
	if t.Hold != "" {
		w.line("  hold: %s   # true: nothing of this tenant is deleted", sqlColumn(t.Hold))
	} else {
		w.line("  # hold: legal_hold            # boolean column or SQL: true keeps all rows of the tenant")
	}
	w.line("  # default: 90d                # for tenants whose own value is NULL")
	w.line("  min: 1d                       # no tenant's rows expire earlier than this\n")
}

func (w *writer) policies() {
	if len(w.Roots) == 0 {
		w.line("# No table was found whose own rows are history. A policy looks like this:")
		w.line("# policies:\n#   - {name: emails, table: emails, age: created_at, retention: 90d}")
		return
	}
	w.line("policies:")
	names := map[string]int{}
	for _, r := range w.Roots {
		name := policyName(r.Table.Name)
		if names[name]++; names[name] > 1 { // two schemas may have tables with the same name
			name = fmt.Sprintf("%s-%d", name, names[name])
		}
		w.policy(r, name)
	}
}

func (w *writer) policy(r Root, name string) {
	w.line("  - name: %s", name)
	w.line("    table: %-30s # about %.0f rows", yamlName(r.Table.Name), max(r.Table.EstimatedRows, 0))
	switch {
	case r.Epoch != "":
		w.line("    age: {column: %s, unit: %s, epoch: %s} # no column says when a row was made, but its key does: check the epoch", policy.YAMLColumn(r.Age.Name), r.Unit, r.Epoch)
	case r.ByKey:
		w.line("    age: {column: %s, unit: %s} # no column says when a row was made, but its key does", policy.YAMLColumn(r.Age.Name), r.Unit)
	case r.Unit != "":
		w.line("    age: {column: %s, unit: %s}", policy.YAMLColumn(r.Age.Name), r.Unit)
	default:
		w.line("    age: %s", policy.YAMLColumn(r.Age.Name))
	}
	w.tenant(r)
	switch {
	case r.Retention != "":
		w.line("    retention: %s", r.Retention)
	case w.answered:
		w.line("    # retention: 90d      # without this line: %s of each tenant", text(w.Tenants.Retention))
	case w.Tenants != nil && w.Tenants.Retention != "" && len(r.Paths) > 0:
		w.line("    retention: %s      # a duration such as 90d; without this line: %s of each tenant", Choose, text(w.Tenants.Retention))
	default:
		w.line("    retention: %s      # a duration such as 90d or 1y6mo", Choose)
	}
	if i := slices.IndexFunc(r.Table.Columns, func(c schema.Column) bool { return c.Name == "status" || c.Name == "state" }); i >= 0 {
		w.line("    # where: %s <> 'open'   # only such rows expire", r.Table.Columns[i].Name)
	}
	w.dependents(r)
}

func (w *writer) tenant(r Root) {
	switch {
	case len(r.Paths) == 0 && w.Tenants == nil:
		w.line("    tenant: none")
	case len(r.Paths) == 0:
		w.line("    tenant: none           # no path to %s: the retention applies to all rows, and no tenant's hold does", text(w.Tenants.Table.Name.String()))
	case !r.OnePath:
		w.line("    tenant: %s         # whose rows are they? %s", Choose, steps(r.Paths))
	case r.Paths[0].Declared:
		w.line("    tenant: %s   # by its name, without a foreign key to %s", r.Paths[0].steps(), text(w.Tenants.Table.Name.String()))
	case len(r.Paths) > 1:
		w.line("    tenant: %s   # or %s", r.Paths[0].steps(), steps(r.Paths[1:]))
	default:
		w.line("    tenant: %s", r.Paths[0].steps())
	}
	if r.OnePath && len(r.Paths[0].Nullable) > 0 {
		w.line("    # Rows with NULL in %s have no tenant: they are never deleted.", text(strings.Join(r.Paths[0].Nullable, " or ")))
	}
}

func steps(paths []Path) string {
	all := make([]string, len(paths))
	for i, p := range paths {
		all[i] = p.steps()
	}
	return text(strings.Join(all, " | "))
}

func (w *writer) dependents(r Root) {
	polymorphic := w.polymorphic(r)
	if len(r.Decisions) == 0 {
		if len(polymorphic) > 0 {
			w.line("    # dependents:")
		}
	} else {
		w.line("    dependents:            # what happens to rows that reference deleted ones")
	}
	for _, d := range r.Decisions {
		parent := ""
		if d.Below {
			parent = ", parent: " + yamlName(d.Key.ParentName)
		}
		action, note := cmp.Or(d.Action, Choose), strings.Join(d.Allowed, " | ")
		if d.Live && d.Action == "" {
			action, note = "keep", "its rows are in use, so what they reference is kept"
			if slices.Contains(d.Allowed, "nullify") {
				note += "; or nullify"
			}
		}
		w.line("      - {table: %s, via: %s%s, action: %s}   # %s; %s references %s, ON DELETE %s",
			yamlName(d.Key.ChildName), policy.YAMLColumns(d.Key.ChildColumns), parent, action, note, text(d.Key.Name), text(d.Key.ParentName.String()), d.Key.OnDelete)
	}
	for _, p := range polymorphic {
		w.line("    #  - %s", p)
	}
}

// polymorphic returns commented entries for pairs of columns without a foreign key.
func (w *writer) polymorphic(r Root) (lines []string) {
	for _, p := range r.Polymorphic {
		where := fmt.Sprintf("%s = '%s'", sqlName(p.Type), strings.ReplaceAll(p.Value, "'", "''"))
		lines = append(lines, text(fmt.Sprintf("{table: %s, match: {%s: %s}, where: %s, action: delete}   # or nullify, or keep: no foreign key says that it references these rows",
			yamlName(p.Table.Name), policy.YAMLColumn(p.ID), policy.YAMLColumn(primaryKey(r.Table)[0]), policy.YAMLQuoted(where))))
	}
	return lines
}

func (w *writer) others() {
	if len(w.Others) == 0 {
		return
	}
	if len(w.Polymorphic) > 0 {
		w.line("\n# Pairs of columns that may reference rows of several tables, without a foreign key. Where they reference")
		w.line("# rows of a policy's table, say so under its dependents: {table: …, match: {x_id: id}, where: x_type = '…', action: …}")
		for _, p := range w.Polymorphic {
			w.line("#   %s: %s", text(p.Table.Name.String()), text(p.Type+", "+p.ID))
		}
	}
	w.line("\n# Not proposed, and why:")
	for _, o := range w.Others {
		w.line("#   %s: %s", text(o.Table.Name.String()), o.Reason)
	}
}

func yamlName(n schema.Name) string { return policy.YAMLTable(n.Schema, n.Name) }
