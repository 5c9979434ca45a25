package drift

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/schema"
)

// Version is the version of the prints that this program takes.
const Version = 1

// Print is what decides which rows a purge of one policy deletes.
type Print struct {
	Policy  string `json:"policy" yaml:"policy"`
	Root    string `json:"root" yaml:"root"` // schema.table
	Version int    `json:"version" yaml:"version"`
	// Server is the major version of PostgreSQL that printed definitions; see Fact.Printed.
	Server int `json:"server" yaml:"server"`
	// Unread: the role may not make temporary views, so what SQL of the file relies on is unknown.
	Unread bool   `json:"unread,omitempty" yaml:"unread,omitempty"`
	Facts  []Fact `json:"facts" yaml:"facts"` // sorted by What, each once
}

// Fact is one thing that decides what goes.
type Fact struct {
	What string `json:"what" yaml:"what"` // the kind, and a name that is unique in it
	Is   string `json:"is" yaml:"is"`
	// Table is the table that the fact is about, and the referencing one of an edge; Of is the one
	// that the edge references.
	Table string `json:"table,omitempty" yaml:"table,omitempty"`
	Of    string `json:"of,omitempty" yaml:"of,omitempty"`
	// Keeps: the edge keeps what it references.
	Keeps bool `json:"keeps,omitempty" yaml:"keeps,omitempty"`
	// Printed: Is is a digest of text as PostgreSQL prints it, each major version in its own way.
	Printed bool `json:"printed,omitempty" yaml:"printed,omitempty"`
}

// The kinds of facts.
const (
	ofPolicy  = "policy"  // a setting of the policy
	ofTenants = "tenants" // a setting of the tenants
	ofEdge    = "table"   // a reference along which rows go, stay or are emptied
	ofColumn  = "column"
)

func (f Fact) kind() string {
	kind, _, _ := strings.Cut(f.What, " ")
	return kind
}

// setting is the key of a setting: of "policy override of 42" it is override.
func (f Fact) setting() string {
	_, key, _ := strings.Cut(f.What, " ")
	key, _, _ = strings.Cut(key, " ")
	return key
}

// text is the fact in one line.
func (f Fact) text() string {
	if f.kind() == ofEdge {
		return f.What + ", " + f.Is
	}
	return f.What + ": " + f.Is
}

// Take takes the prints of plans, which must have no errors. The connection's search_path does not
// matter.
func Take(ctx context.Context, conn *pgx.Conn, plans ...*plan.Plan) ([]*Print, error) {
	takers := make([]*taker, len(plans))
	for i, p := range plans {
		takers[i] = take(p)
	}
	if err := catalog(ctx, conn, takers); err != nil {
		of := "all policies"
		if len(plans) == 1 {
			of = "policy " + plans[0].Policy.Name
		}
		return nil, fmt.Errorf("taking the print of %s: %w", of, err)
	}
	prints := make([]*Print, len(plans))
	for i, t := range takers {
		p := t.plan
		prints[i] = &Print{Policy: p.Policy.Name, Root: p.Root.Table.Name.String(), Version: Version, Server: p.Server.Version / 10000, Unread: len(p.Needs.Unknown) > 0}
		for _, what := range slices.Sorted(maps.Keys(t.facts)) {
			prints[i].Facts = append(prints[i].Facts, t.facts[what])
		}
	}
	return prints, nil
}

// take takes what the plan itself says.
func take(p *plan.Plan) *taker {
	t := &taker{plan: p, facts: map[string]Fact{}, columns: map[[2]string]*schema.Table{}}
	t.settings(ofPolicy, p.Policy.Settings)
	t.policy()
	if floor := p.Tenants.Min; floor != nil {
		t.set(ofPolicy, "min", floor.Text) // a policy's replaces the tenants'
	}
	if !p.NoTenant {
		t.tenants()
	}
	for _, e := range p.Edges {
		t.edge(e)
	}
	t.relied()
	return t
}

// Digest identifies a print by all that it says.
func (p *Print) Digest() string {
	body, err := json.Marshal(p)
	if err != nil {
		panic(err) // it holds nothing that JSON has no form for
	}
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:16])
}

// taker collects the facts of one plan.
type taker struct {
	plan    *plan.Plan
	facts   map[string]Fact // by What
	columns map[[2]string]*schema.Table
}

// add adds a fact. Of several of one name, such as two references by match over the same columns, the
// print has all.
func (t *taker) add(f Fact) {
	if g, there := t.facts[f.What]; there && g.Is != f.Is {
		all := append(strings.Split(g.Is, "; or "), f.Is)
		slices.Sort(all)
		f.Is, f.Keeps = strings.Join(slices.Compact(all), "; or "), f.Keeps && g.Keeps
	}
	t.facts[f.What] = f
}

// set adds a setting, if it has a value.
func (t *taker) set(section, key, value string) {
	if value != "" {
		t.add(Fact{What: section + " " + key, Is: value})
	}
}

func (t *taker) settings(section string, s policy.Settings) {
	if s.Retention.Duration != nil {
		t.set(section, "retention", s.Retention.Duration.Text)
	}
	t.set(section, "retention", s.Retention.SQL.Value)
	t.set(section, "hold", s.Hold.Value)
	if s.Default != nil {
		t.set(section, "default", s.Default.Text)
	}
	for _, o := range s.Overrides {
		t.set(section, "override of "+o.Key.Value, o.Duration.Text)
	}
}

func (t *taker) policy() {
	p := t.plan
	root := p.Root.Table
	age := p.Age.Column.Name
	if p.Age.Unit != policy.UnitNone {
		age += ", in " + string(p.Age.Unit)
	}
	if p.Age.Column.TypeName == "timestamp" || p.Age.Column.TypeName == "date" {
		age += ", in the time zone " + p.Age.Zone
	}
	t.set(ofPolicy, "age", age)
	t.set(ofPolicy, "where", p.Policy.Where.Value)
	t.column(root, p.Age.Column.Name)
	for _, k := range p.Key {
		t.column(root, k.Name)
	}
	path := "none"
	if !p.NoTenant {
		path = t.path()
	}
	t.set(ofPolicy, "tenant", path)
}

// path writes the tenant path, and adds its columns.
func (t *taker) path() string {
	var steps []string
	table := t.plan.Root.Table
	for _, h := range t.plan.Hops {
		steps = append(steps, fmt.Sprintf("%s references %s.%s", strings.Join(h.From, ", "), h.Table.Name, strings.Join(h.To, ", ")))
		t.column(table, h.From...)
		t.column(h.Table, h.To...)
		table = h.Table
	}
	t.column(t.plan.LastTable, t.plan.Last.Name)
	return strings.Join(append(steps, t.plan.LastTable.Name.String()+"."+t.plan.Last.Name+" holds the tenant's key"), "; ")
}

func (t *taker) tenants() {
	from, relation := t.plan.File.Tenants, t.plan.Tenants
	if relation.Table != nil {
		t.set(ofTenants, "table", relation.Table.Name.String())
		t.set(ofTenants, "key", relation.Key.Name)
		t.column(relation.Table, relation.Key.Name)
	}
	t.set(ofTenants, "query", from.Query.Value)
	t.settings(ofTenants, from.Settings)
}

// column adds a column that the plan relies on; the catalog tells its type.
func (t *taker) column(of *schema.Table, names ...string) {
	for _, n := range names {
		t.columns[[2]string{of.Name.String(), n}] = of
	}
}

func (t *taker) edge(e *plan.Edge) {
	child, parent := e.Child.Table, e.Parent.Table
	columns := fmt.Sprintf(" (%s references %s.%s)", strings.Join(e.ChildColumns, ", "), parent.Name, strings.Join(e.ParentColumns, ", "))
	f := Fact{Table: child.Name.String(), Of: parent.Name.String(), Keeps: e.Action == plan.ByKeep}
	if e.Key == nil {
		f.What, f.Is = fmt.Sprintf("%s %s by match%s", ofEdge, child.Name, columns), string(e.Action)
		if e.Where != "" {
			f.Is += " where " + e.Entry.Where.Value // as the file has it, not as PostgreSQL prints it
		}
	} else {
		f.What, f.Is = fmt.Sprintf("%s %s through %s", ofEdge, child.Name, e.Label()), "ON DELETE "+e.Key.OnDelete.String()
		if !slices.Contains([]plan.EdgeAction{plan.ByCascade, plan.BySetNull, plan.BySetDefault}, e.Action) {
			f.Is += ", " + string(e.Action)
		}
		f.Is += columns
	}
	if e.Action.Clears() {
		f.Is += ", sets " + strings.Join(slices.Sorted(slices.Values(e.SetColumns)), ", ")
	}
	if e.Action == plan.ByRedact {
		f.Is += redacted(e)
	}
	t.add(f)
	t.column(child, e.ChildColumns...)
	t.column(parent, e.ParentColumns...)
}

// redacted is what the columns behind an edge are overwritten with, as the file has it.
func redacted(e *plan.Edge) string {
	values := make([]string, len(e.Entry.Redact))
	for i, a := range e.Entry.Redact {
		values[i] = a.Column.Value + " to " + a.SQL.Value
	}
	slices.Sort(values)
	return ", redacts " + strings.Join(values, ", ")
}

// relied adds what SQL of the file relies on.
func (t *taker) relied() {
	for _, r := range t.plan.Needs.Relies {
		switch r.Kind {
		case ofColumn:
			t.add(Fact{What: ofColumn + " " + r.Relation.String() + "." + r.Name, Is: r.Is, Table: r.Relation.String()})
		case "generated":
			t.add(Fact{What: "generated " + r.Relation.String() + "." + r.Name, Is: r.Is, Table: r.Relation.String(), Printed: r.Printed})
		case "relation": // what the file names is a fact already
			if r.Relation != t.plan.Root.Table.Name && (t.plan.Tenants.Table == nil || r.Relation != t.plan.Tenants.Table.Name) {
				t.add(Fact{What: "relation " + r.Relation.String(), Is: r.Is})
			}
		case "view":
			t.add(Fact{What: r.Kind + " " + r.Relation.String(), Is: r.Is, Printed: r.Printed})
		default:
			t.add(Fact{What: r.Kind + " " + r.Name, Is: r.Is, Printed: r.Printed})
		}
	}
}
