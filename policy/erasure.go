package policy

import (
	"cmp"
	"reflect"
	"slices"
	"strconv"
	"time"

	"github.com/invopop/jsonschema"
)

// ErasurePolicy is the name under which runs that erase a tenant are known to gates, ledger and
// reports. No policy of the file may have it if the file has a section erasure.
const ErasurePolicy = "erasure"

// Erasure says what becomes of the rows of a tenant that leaves.
type Erasure struct {
	Pos Pos
	// When is boolean SQL over the tenants' table: true means that the tenant is erased. Unset:
	// tenants are erased by command alone.
	When   Text
	Tables []ErasureTable
	// Global are tables whose rows belong to no tenant. The name * stands for all tables of a schema.
	Global []Table
	// TenantRow is Delete or Redact.
	TenantRow Action
	// Redact are the new values of the tenant's row; only with TenantRow Redact.
	Redact         []Assignment
	Leftovers      Leftovers
	Wait           Duration // between the beginning and the first batch; default 10m
	Breaker        int      // how many tenants `when` may begin to erase in one day; 0: no bound
	AllowTriggers  bool     // triggers: allow
	AllowUnindexed bool     // unindexed: allow
	Limits         Limits
}

// Leftovers says what sweeps do with rows that arrived for a tenant after its erasure.
type Leftovers string

// The values of leftovers. LeftoversUnset: delete where keys of tenants are never used again (uuid,
// identity and serial columns), else report.
const (
	LeftoversUnset  Leftovers = ""
	LeftoversDelete Leftovers = "delete"
	LeftoversReport Leftovers = "report"
)

// ErasureTable is one entry of `tables`. Several entries of one table add up: a row is the tenant's
// if any of them says so. All of them have the same action.
type ErasureTable struct {
	Pos    Pos
	Table  Table
	Action Action // Delete, Keep or Redact
	// Owner says which rows are a tenant's. Unset: the foreign keys say so, all of them together.
	Owner Owner
	// Where is SQL over the table alone: the entry is about rows for which it is true. Only with
	// Owner.
	Where Text
	// For is how long rows are kept, from Age on; nil unless Action is Keep. Age is unset if For is
	// forever.
	For    *Duration
	Age    Age
	Reason string // of Keep
	Set    []Assignment
}

// Owner says which rows of a table are a tenant's. At most one of the fields is set.
type Owner struct {
	Pos Pos
	// Nobody: the rows belong to no tenant (`none`).
	Nobody bool
	// Path are the columns to follow to the tenant's key, the last one holding it.
	Path Path
	// SQL is over the table alone, and compared as text with the key. Where the table has a column
	// of exactly this name, it is that column.
	SQL Text
	// OnlyColumn: SQL is no expression, so it can only be the name of a column.
	OnlyColumn bool
}

// IsSet reports whether the file says which rows are a tenant's.
func (o Owner) IsSet() bool { return o.Nobody || len(o.Path.Steps) > 0 || o.SQL.IsSet() }

// DefaultWait is the time between the beginning of an erasure and its first batch, for a file that
// sets none.
var DefaultWait = Duration{Micros: (10 * time.Minute).Microseconds(), Text: "10m"}

// DefaultErasureBreaker is how many tenants `when` may begin to erase in one day, in a file that
// says nothing else.
const DefaultErasureBreaker = 3

// The section as written; see document.go.

type erasureSection struct {
	Pos       Pos            `yaml:"-"`
	When      expression     `yaml:"when" jsonschema_description:"Boolean SQL over the tenants' table alone: a tenant for which it is true is erased. Omitted: tenants are erased by command alone."`
	Undecided erasureDoubt   `yaml:"undecided" jsonschema:"default=error" jsonschema_description:"A table that nobody decided on: error, the only value."`
	Tables    []erasureEntry `yaml:"tables" jsonschema_description:"What happens to the rows of tables that foreign keys do not decide, and which rows are kept or redacted."`
	Global    []globalTable  `yaml:"global" jsonschema_description:"Tables whose rows belong to no tenant: table, schema.table, or schema.* for all tables of a schema."`
	TenantRow tenantRow      `yaml:"tenant_row" jsonschema:"default=delete" jsonschema_description:"What happens to the tenant's own row, last of all."`
	Redact    assignments    `yaml:"redact" jsonschema_description:"With tenant_row: redact: the new values of columns of the tenant's row, {column: SQL}."`
	Leftovers leftovers      `yaml:"leftovers" jsonschema_description:"Rows that arrive for a tenant after its erasure: delete them, or only report them. Omitted: delete where the tenants' key is a uuid or generated, else report."`
	Wait      Duration       `yaml:"wait" jsonschema:"default=10m" jsonschema_description:"Time between the beginning of an erasure and its first batch."`
	Breaker   erasureBreaker `yaml:"breaker" jsonschema_description:"How many tenants when may begin to erase in one day: {tenants: 3}, or off."`
	Triggers  permission     `yaml:"triggers" jsonschema:"default=error" jsonschema_description:"BEFORE DELETE and BEFORE UPDATE row triggers and rules on tables whose rows go or are redacted: an error, or allowed."`
	Unindexed permission     `yaml:"unindexed" jsonschema:"default=error" jsonschema_description:"A reference in a table of over 100000 rows without an index to support it: an error, or allowed."`
	Limits    limitsSection  `yaml:"limits" jsonschema_description:"Bounds of one batch."`
}

type erasureEntry struct {
	Pos    Pos           `yaml:"-"`
	Table  Table         `yaml:"table" jsonschema:"required" jsonschema_description:"The table: table or schema.table, exact."`
	Action erasureAction `yaml:"action" jsonschema:"default=delete" jsonschema_description:"delete: the tenant's rows go. keep: they stay until for has passed since age, and all that they reference stays too. redact: they stay, and columns are overwritten."`
	Owner  ownerValue    `yaml:"owner" jsonschema_description:"Which rows are a tenant's: a column that holds the key, a list of columns to follow to it, SQL over the table alone that is compared as text with the key, or none. Omitted: all foreign keys of the table."`
	Where  expression    `yaml:"where" jsonschema_description:"With owner: SQL over the table alone; the entry is about rows for which it is true."`
	For    *Duration     `yaml:"for" jsonschema_description:"With keep: how long rows are kept, from age on; or forever."`
	Age    Age           `yaml:"age" jsonschema_description:"With keep: the column that holds a row's age."`
	Reason nonEmpty      `yaml:"reason" jsonschema_description:"With keep: why, for the certificate."`
	Set    assignments   `yaml:"set" jsonschema_description:"With redact: columns and their new values, {column: SQL}."`
}

// JSONSchemaExtend restricts which keys of an entry go together.
func (erasureEntry) JSONSchemaExtend(s *jsonschema.Schema) {
	s.DependentRequired = map[string][]string{"where": {"owner"}, "age": {"for"}}
}

// JSONSchemaExtend requires values where the tenant's row is redacted.
func (erasureSection) JSONSchemaExtend(s *jsonschema.Schema) {
	s.DependentRequired = map[string][]string{"redact": {"tenant_row"}}
}

// erasure checks what spans several keys.
func (s *erasureSection) erasure(f *File) (*Erasure, error) {
	if s == nil {
		return nil, nil
	}
	e := &Erasure{
		Pos: s.Pos, When: Text(s.When), TenantRow: Action(cmp.Or(s.TenantRow, "delete")), Redact: s.Redact,
		Leftovers: Leftovers(s.Leftovers), Wait: s.Wait, Breaker: s.Breaker.or(DefaultErasureBreaker),
		AllowTriggers: s.Triggers == "allow", AllowUnindexed: s.Unindexed == "allow", Limits: s.Limits.limits(),
	}
	if e.Wait.Text == "" {
		e.Wait = DefaultWait
	}
	for _, t := range s.Global {
		e.Global = append(e.Global, Table(t))
	}
	for i := range s.Tables {
		t, err := s.Tables[i].entry()
		if err != nil {
			return nil, err
		}
		e.Tables = append(e.Tables, t)
	}
	return e, e.check(f)
}

func (e *Erasure) check(f *File) error {
	switch t := f.Tenants; {
	case t == nil:
		return errorAt(e.Pos, "erasure needs tenants, but the file has none: add a tenants section with table and key")
	case t.Query.IsSet():
		return errorAt(e.Pos, "erasure together with tenants.query: a query gives no row that could be locked, and no foreign keys that lead to what a tenant owns; list the tenants by table and key, or remove erasure")
	case e.Wait.Forever:
		return errorAt(e.Wait.Pos, "wait is forever: nothing would ever be erased; write a duration, like 10m")
	case e.TenantRow == Redact && len(e.Redact) == 0:
		return errorAt(e.Pos, "tenant_row is redact, but nothing says what to overwrite: add redact, such as {name: \"'erased'\"}")
	case e.TenantRow == Delete && len(e.Redact) > 0:
		return errorAt(e.Redact[0].Column.Pos, "redact without tenant_row: redact: the tenant's row is deleted; add tenant_row: redact, or remove redact")
	}
	for i := range f.Policies {
		if p := &f.Policies[i]; p.Name == ErasurePolicy {
			return errorAt(p.Pos, "a policy is named %s, as the runs that erase a tenant are: give it another name", ErasurePolicy)
		}
	}
	return e.checkTables()
}

// checkTables refuses tables that are decided in two ways.
func (e *Erasure) checkTables() error {
	for i := range e.Tables {
		t := &e.Tables[i]
		first := !slices.ContainsFunc(e.Tables[:i], func(o ErasureTable) bool { return sameTable(t.Table, o.Table) })
		switch {
		case first && t.Action == Keep && t.For == nil:
			return errorAt(t.Pos, "table %s is kept, but nothing says for how long: add for and age, such as for: 10y, age: created_at; or for: forever", t.Table)
		case first && t.Action == Redact && len(t.Set) == 0:
			return errorAt(t.Pos, "table %s is redacted, but nothing says what to overwrite: add set, such as {name: \"'erased'\"}", t.Table)
		}
		for k := range i {
			o := &e.Tables[k]
			if !sameTable(t.Table, o.Table) {
				continue
			}
			if t.Action != o.Action {
				return errorAt(t.Pos, "table %s has the action %s on line %d: entries of one table have one action", t.Table, o.Action, o.Pos.Line)
			}
			if !t.Owner.IsSet() || !o.Owner.IsSet() || len(t.Set) > 0 || t.For != nil {
				return errorAt(t.Pos, "table %s is already listed on line %d: remove one; entries of one table differ by owner, and the first has for, age, reason and set", t.Table, o.Pos.Line)
			}
		}
		for _, g := range e.Global {
			if sameTable(t.Table, g) {
				return errorAt(g.Pos, "table %s is global and has an entry on line %d: remove one", g, t.Pos.Line)
			}
		}
	}
	return nil
}

func (s *erasureEntry) entry() (ErasureTable, error) {
	t := ErasureTable{
		Pos: s.Pos, Table: s.Table, Action: Action(cmp.Or(s.Action, "delete")), Owner: Owner(s.Owner), Where: Text(s.Where),
		For: s.For, Age: s.Age, Reason: s.Reason.Value, Set: s.Set,
	}
	return t, cmp.Or(t.checkOwner(), t.checkKeep(), t.checkSet())
}

func (t *ErasureTable) checkOwner() error {
	if t.Where.IsSet() && !t.Owner.IsSet() {
		return errorAt(t.Where.Pos, "where without owner: add owner, which says whose the rows are for which it is true")
	}
	return nil
}

func (t *ErasureTable) checkKeep() error {
	const plain = "the age of kept rows is a column of a time, or of numbers with the unit s, ms or us"
	hasAge := t.Age.Column.IsSet() || t.Age.SQL.IsSet()
	switch {
	case t.Action != Keep && (t.For != nil || hasAge):
		return errorAt(t.Pos, "table %s has for or age, but its action is %s: write action: keep, or remove them", t.Table, t.Action)
	case t.Action != Keep:
		return nil
	case t.For == nil:
		return nil // checkTables asks the first entry of a table for it
	case t.For.IsZero():
		return errorAt(t.For.Pos, "for is zero: write how long rows are kept, such as 10y, or remove the entry")
	case t.Age.SQL.IsSet():
		return errorAt(t.Age.SQL.Pos, plain)
	case t.Age.Unit.Identifies():
		return errorAt(t.Age.UnitPos, plain)
	case t.For.Forever && hasAge:
		return errorAt(t.Age.Column.Pos, "age together with for: forever: rows stay whatever their age; remove age")
	case !t.For.Forever && !hasAge:
		return errorAt(t.For.Pos, "for without age: name the column that holds a row's age")
	case t.Reason == "":
		return errorAt(t.Pos, "table %s is kept, but no reason is given: add reason, which the certificate shows", t.Table)
	}
	return nil
}

func (t *ErasureTable) checkSet() error {
	if t.Action != Redact && len(t.Set) > 0 {
		return errorAt(t.Set[0].Column.Pos, "set on a table whose action is %s: write action: redact, or remove set", t.Action)
	}
	return nil
}

// ownerValue is a column, a path, SQL, or none.
type ownerValue Owner

func (o *ownerValue) decode(key string, n *node) error {
	*o = ownerValue{Pos: n.pos}
	if n.kind == kindString && n.text == "none" {
		o.Nobody = true
		return nil
	}
	if n.kind == kindList {
		return o.Path.decode(key, n)
	}
	s, err := n.nameAs(key, "a column, a list of columns, or SQL")
	if err != nil {
		return err
	}
	// A column of any name is allowed; the compiler knows the columns.
	if err := checkFragment(s); err != nil {
		if _, wrong := parseColumn(s); wrong != nil {
			return n.in(key, err)
		}
		o.OnlyColumn = true
	}
	o.SQL = Text{s, n.pos}
	return nil
}

func (ownerValue) schema() *jsonschema.Schema { return nameOrList() }

// globalTable is a table, or all tables of a schema.
type globalTable Table

func (t *globalTable) decode(key string, n *node) error { return (*Table)(t).decode(key, n) }

func (globalTable) schema() *jsonschema.Schema { return nonBlank() }

type erasureAction string

func (a *erasureAction) decode(key string, n *node) error {
	return decodeChoice(key, n, (*string)(a), "delete", "keep", "redact")
}

func (erasureAction) schema() *jsonschema.Schema { return choiceSchema("delete", "keep", "redact") }

type erasureDoubt string

func (d *erasureDoubt) decode(key string, n *node) error {
	return decodeChoice(key, n, (*string)(d), "error")
}

func (erasureDoubt) schema() *jsonschema.Schema { return choiceSchema("error") }

type tenantRow string

func (t *tenantRow) decode(key string, n *node) error {
	return decodeChoice(key, n, (*string)(t), "delete", "redact")
}

func (tenantRow) schema() *jsonschema.Schema { return choiceSchema("delete", "redact") }

type leftovers string

func (l *leftovers) decode(key string, n *node) error {
	return decodeChoice(key, n, (*string)(l), "delete", "report")
}

func (leftovers) schema() *jsonschema.Schema { return choiceSchema("delete", "report") }

// erasureBreaker is off, or {tenants: N}.
type erasureBreaker struct{ tenants *int }

type erasureBreakerSection struct {
	Tenants tenantCount `yaml:"tenants" jsonschema:"required" jsonschema_description:"How many tenants when may begin to erase in one day."`
}

func (b *erasureBreaker) decode(key string, n *node) error {
	if n.kind != kindMapping {
		if n.text != "off" {
			return errorAt(n.pos, "%s is %q: write off, or {tenants: %d}", key, n.text, DefaultErasureBreaker)
		}
		b.tenants = new(int)
		return nil
	}
	var s erasureBreakerSection
	err := decode(key, n, reflect.ValueOf(&s).Elem())
	b.tenants = (*int)(&s.Tenants)
	return err
}

func (erasureBreaker) schema() *jsonschema.Schema {
	mapping := reflector().ReflectFromType(reflect.TypeFor[erasureBreakerSection]())
	mapping.Version = ""
	return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{choiceSchema("off"), mapping}}
}

func (b erasureBreaker) or(usual int) int {
	if b.tenants == nil {
		return usual
	}
	return *b.tenants
}

type tenantCount int

func (c *tenantCount) decode(key string, n *node) error {
	v, err := strconv.Atoi(n.text)
	if n.kind != kindInt || err != nil || v < 1 || v > 1_000_000 {
		return errorAt(n.pos, "%s is %s: write a whole number from 1 on, or breaker: off", key, n.text)
	}
	*c = tenantCount(v)
	return nil
}

func (tenantCount) schema() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "integer", Minimum: "1", Maximum: "1000000"}
}
