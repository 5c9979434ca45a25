package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/internal/visible"
	"github.com/reaperdb/reaper/schema"
)

func (a *app) initCommand() *cobra.Command {
	return &cobra.Command{
		Use: "init", Short: "Look at the database and print a starter reaper.yaml", Args: noArgs,
		Long: `init reads the catalog and prints a commented policy file to start from: the
tenants' table it found, the largest tables that have an age as roots, and every
NO ACTION and RESTRICT key as an entry to decide. It writes nothing:
    reaper init > reaper.yaml`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			pool, err := a.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer pool.Close()
			text, err := starter(cmd.Context(), pool, a.LedgerSchema)
			if err != nil {
				return failed(err)
			}
			if a.json() {
				return a.printJSON(map[string]string{"policy_file": text})
			}
			a.printf("%s", text)
			return nil
		},
	}
}

// starterRoots is how many root candidates are written out.
const starterRoots = 5

// starter writes a policy file for the database at hand, leaving reaper's own
// tables alone.
func starter(ctx context.Context, pool *pgxpool.Pool, ledgerSchema string) (string, error) {
	db := pg.Pinned(pool)
	g, err := schema.Read(ctx, db)
	if err != nil {
		return "", err
	}
	oids, _, err := schema.UserTables(ctx, db)
	if err != nil {
		return "", err
	}
	if err := g.Load(ctx, db, oids...); err != nil {
		return "", err
	}
	oids = slices.DeleteFunc(oids, func(oid uint32) bool { return g.Tables[oid].Name.Schema == ledgerSchema })
	st := &starterFile{graph: g, oids: oids}
	st.pickTenants()
	st.write()
	return st.String(), nil
}

type starterFile struct {
	strings.Builder
	graph   *schema.Graph
	oids    []uint32
	tenants *schema.Table
}

func (st *starterFile) line(format string, args ...any) {
	fmt.Fprintf(&st.Builder, format+"\n", args...)
}

// tenantNames are what people call the table that owns rows.
var tenantNames = []string{"organization", "tenant", "account", "workspace", "company", "customer", "realm", "team"}

// pickTenants takes the table whose name says so, or else the one that most
// tables lead to.
func (st *starterFile) pickTenants() {
	best := -1
	for _, oid := range st.oids {
		t := st.graph.Tables[oid]
		if len(primaryKey(t)) != 1 {
			continue
		}
		score := st.reach(oid)
		name := strings.ToLower(t.Name.Name)
		for i, n := range tenantNames {
			if strings.TrimSuffix(name, "s") == n || name == n+"s" || name == strings.TrimSuffix(n, "y")+"ies" {
				score += 1000 - i
			}
		}
		if score > best && score > 0 {
			best, st.tenants = score, t
		}
	}
}

// reach is how many tables lead to this one, directly or through others.
func (st *starterFile) reach(oid uint32) int {
	seen := map[uint32]bool{oid: true}
	queue := []uint32{oid}
	for len(queue) > 0 {
		for _, k := range st.graph.References(queue[0]) {
			if !seen[k.Child] {
				seen[k.Child] = true
				queue = append(queue, k.Child)
			}
		}
		queue = queue[1:]
	}
	return len(seen) - 1
}

func primaryKey(t *schema.Table) []string {
	for _, x := range t.Indexes {
		if x.Primary {
			return x.ColumnNames()
		}
	}
	return nil
}

func (st *starterFile) write() {
	st.line("# A starter for reaper, made from this database's catalog. Read it, change it, then:")
	st.line("#   reaper check   holds it against the database")
	st.line("#   reaper plan    shows what a purge would delete")
	st.line("version: 1\n")
	if st.tenants != nil {
		st.line("tenants:                 # who owns rows, and how long each keeps them")
		st.line("  table: %s", yamlName(st.tenants.Name))
		st.line("  key: %s", yamlColumn(primaryKey(st.tenants)[0]))
		if c := columnLike(st.tenants, "retention"); c != "" {
			st.line("  retention: %s   # days (an integer) or an interval, a column or SQL", sqlColumn(c))
		} else {
			st.line("  # retention: retention_days   # a column or SQL: days, or an interval")
		}
		if c := columnLike(st.tenants, "hold"); c != "" {
			st.line("  hold: %s", sqlColumn(c))
		} else {
			st.line("  # hold: legal_hold            # boolean: true keeps all of the tenant's rows")
		}
		st.line("  default: 365d          # for tenants whose own value is NULL: CHOOSE")
		st.line("  min: 1d                # no tenant's rows go earlier than this\n")
	} else {
		st.line("# No table of tenants was found. Name one, or write `tenant: none` and a retention in every policy.")
		st.line("# tenants:\n#   table: organizations\n#   key: id\n#   default: 365d\n")
	}
	roots := st.roots()
	st.line("policies:")
	names := map[string]int{}
	for _, r := range roots {
		name := policyName(r.table.Name)
		if names[name]++; names[name] > 1 { // two schemas may have tables of one name
			name = fmt.Sprintf("%s-%d", name, names[name])
		}
		st.policy(r, name)
	}
	if len(roots) == 0 {
		st.line("  # No table with a key and an age column was found.")
		st.line("  # - {name: emails, table: emails, age: created_at}")
	}
}

type rootCandidate struct {
	table  *schema.Table
	age    schema.Column
	tenant bool // foreign keys lead to the tenants
}

var ageNames = []string{"created_at", "createdat", "created", "inserted_at", "insertedat", "timestamp", "time", "date", "at"}

// roots are the largest tables that have a key and an age, and that lead to the
// tenants if there are any.
func (st *starterFile) roots() []rootCandidate {
	var found []rootCandidate
	for _, oid := range st.oids {
		t := st.graph.Tables[oid]
		if t == st.tenants || len(primaryKey(t)) == 0 {
			continue
		}
		age, ok := ageColumn(t)
		if !ok {
			continue
		}
		r := rootCandidate{table: t, age: age, tenant: st.tenants != nil && st.leads(oid)}
		if st.tenants == nil || r.tenant {
			found = append(found, r)
		}
	}
	slices.SortStableFunc(found, func(x, y rootCandidate) int {
		if x.table.Bytes != y.table.Bytes {
			return int(min(max(y.table.Bytes-x.table.Bytes, -1), 1))
		}
		return strings.Compare(x.table.Name.String(), y.table.Name.String())
	})
	return st.heads(found)
}

// heads leaves out tables whose rows go with another candidate's.
func (st *starterFile) heads(found []rootCandidate) []rootCandidate {
	var heads []rootCandidate
	for _, r := range found {
		if !slices.ContainsFunc(found, func(o rootCandidate) bool {
			return o.table != r.table && st.goesWith(r.table.OID, o.table.OID) && !st.goesWith(o.table.OID, r.table.OID)
		}) {
			heads = append(heads, r)
		}
	}
	return heads[:min(len(heads), starterRoots)]
}

// goesWith tells whether rows of a table hang off a root by keys that cascade
// or that nobody decided.
func (st *starterFile) goesWith(table, root uint32) bool {
	for _, oid := range st.below(root) {
		if oid == table {
			return true
		}
	}
	return false
}

// leads tells whether foreign keys lead from a table to the tenants.
func (st *starterFile) leads(oid uint32) bool {
	seen := map[uint32]bool{oid: true}
	queue := []uint32{oid}
	for len(queue) > 0 {
		for _, k := range st.graph.Outgoing(queue[0]) {
			if k.Parent == st.tenants.OID {
				return true
			}
			if !seen[k.Parent] {
				seen[k.Parent] = true
				queue = append(queue, k.Parent)
			}
		}
		queue = queue[1:]
	}
	return false
}

func ageColumn(t *schema.Table) (schema.Column, bool) {
	var first schema.Column
	for _, c := range t.Columns {
		if !slices.Contains([]string{"timestamptz", "timestamp", "date"}, c.TypeName) {
			continue
		}
		if slices.Contains(ageNames, strings.ToLower(strings.ReplaceAll(c.Name, "_", ""))) || slices.Contains(ageNames, strings.ToLower(c.Name)) {
			return c, true
		}
		if first.Name == "" {
			first = c
		}
	}
	return first, first.Name != ""
}

func columnLike(t *schema.Table, word string) string {
	for _, c := range t.Columns {
		if strings.Contains(strings.ToLower(c.Name), word) {
			return c.Name
		}
	}
	return ""
}

func (st *starterFile) policy(r rootCandidate, name string) {
	st.line("  - name: %s", name)
	st.line("    table: %-30s # about %.0f rows", yamlName(r.table.Name), max(r.table.EstimatedRows, 0))
	st.line("    age: %s", yamlColumn(r.age.Name))
	if st.tenants == nil {
		st.line("    tenant: none")
		st.line("    retention: 365d        # CHOOSE")
	}
	st.line("    # where: status <> 'queued'   # only such rows expire")
	undecided := st.undecided(r.table)
	if len(undecided) == 0 {
		return
	}
	st.line("    dependents:            # nobody decided yet what happens to these rows: delete, nullify or keep")
	for _, k := range undecided {
		st.line("      - {table: %s, via: %s, action: CHOOSE}   # %s references %s, ON DELETE %s",
			yamlName(k.ChildName), viaText(k.ChildColumns), visible.Text(k.Name), visible.Text(k.ParentName.String()), k.OnDelete)
	}
}

// undecided are the NO ACTION and RESTRICT keys below a root, to any depth.
func (st *starterFile) undecided(root *schema.Table) []schema.ForeignKey {
	var keys []schema.ForeignKey
	for _, oid := range append([]uint32{root.OID}, st.below(root.OID)...) {
		for _, k := range st.graph.References(oid) {
			if k.OnDelete == schema.NoAction || k.OnDelete == schema.Restrict {
				keys = append(keys, k)
			}
		}
	}
	return keys
}

// below are the tables that hang off a root, at any depth.
func (st *starterFile) below(root uint32) []uint32 {
	seen := map[uint32]bool{root: true}
	queue := []uint32{root}
	for i := 0; i < len(queue); i++ {
		for _, k := range st.graph.References(queue[i]) {
			goes := k.OnDelete == schema.NoAction || k.OnDelete == schema.Restrict || k.OnDelete == schema.Cascade
			if goes && !seen[k.Child] {
				seen[k.Child] = true
				queue = append(queue, k.Child)
			}
		}
	}
	return queue[1:]
}
