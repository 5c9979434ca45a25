// Package plan compiles a policy and the catalog into an explicit plan: which rows are deleted,
// which dependents follow by which edge, how expired rows are found, which problems there are, and
// which privileges the role needs. It holds what the statements of a run have in common; those that
// find roots are in package search, those on what a batch has collected in package collected.
package plan

import (
	"slices"
	"strings"
	"time"

	"github.com/reaperdb/reaper/expiry"
	"github.com/reaperdb/reaper/internal/usersql"
	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/redact"
	"github.com/reaperdb/reaper/schema"
)

// The strategies that find expired roots.
const (
	// TenantKeyset walks an index on (tenant column, age[, key]), one tenant at a time.
	TenantKeyset = "tenant keyset"
	// AgeKeyset walks an index on (age[, key]) of a table without tenants.
	AgeKeyset = "age keyset"
	// AgeSweep walks an index on (age[, key]) for all tenants at once, from the oldest row to the
	// latest cutoff, and checks each row against its tenant's cutoff.
	AgeSweep = "age sweep"
	// KeySweep walks the root's key for all tenants at once. Each read is limited to a number of
	// rows.
	KeySweep = "key sweep"
)

// Tables are the OIDs of the tables that rows are deleted from, including the root's. A plan with
// errors may have none.
func (p *Plan) Tables() (oids []uint32) {
	for _, n := range p.Nodes {
		if n.Deleted {
			oids = append(oids, n.Table.OID)
		}
	}
	return oids
}

// Level is the severity of a problem.
type Level string

// An error stops the policy before it deletes anything; a warning is only reported.
const (
	LevelError   Level = "error"
	LevelWarning Level = "warning"
)

// Problem is something a person should know or fix, with the remedy.
type Problem struct {
	Policy string `json:"policy,omitempty"` // empty: the problem is the file's or the server's
	Level  Level  `json:"level"`
	Text   string `json:"text"`
	Fix    string `json:"fix"`

	MissingIndex *missingIndex `json:"-"` // nil: another kind of problem
	// OnlyDeleting: it stands in the way of deleting, but what is due can be read all the same.
	OnlyDeleting bool `json:"-"`
}

// EdgeAction is what happens to the rows behind an edge.
type EdgeAction string

// The actions of an edge, from the schema or the policy file.
const (
	ByCascade    EdgeAction = "cascade"
	BySetNull    EdgeAction = "set null"
	BySetDefault EdgeAction = "set default"
	ByDelete     EdgeAction = "delete"
	ByNullify    EdgeAction = "nullify"
	ByKeep       EdgeAction = "keep"
	ByRedact     EdgeAction = "redact"
	undecided    EdgeAction = "undecided"
)

// Deletes reports whether rows behind the edge are deleted with the row they reference.
func (a EdgeAction) Deletes() bool { return a == ByCascade || a == ByDelete }

// Clears reports whether rows behind the edge stay, with their reference cleared. A redacted row keeps
// a reference without a foreign key, unless the redaction overwrites it.
func (a EdgeAction) Clears() bool {
	return a == ByNullify || a == BySetNull || a == BySetDefault || a == ByRedact
}

// Node is a table of the plan.
type Node struct {
	Table *schema.Table
	// Deleted: rows of the table may be deleted. It is the root, or behind a deleting edge.
	Deleted bool
	In, Out []*Edge // In: its rows reference others; Out: others reference its rows
	// Refs are the columns that edges reference, in a fixed order: the values collected for each of
	// its rows.
	Refs []string
	// Ages are those that policies of the file use for this table, if references in it are cleared;
	// Key identifies its rows.
	Ages      []RootAge
	Key       []schema.Column
	KeyOrders []*schema.Order // the sort order of each column of Key
	Component int             // number of its strongly connected component along deleting edges, parents first
}

// Edge is one reference from a child table to a parent table of the plan.
type Edge struct {
	Parent, Child               *Node
	ParentColumns, ChildColumns []string
	Key                         *schema.ForeignKey  // nil: declared by `match`
	Keys                        []schema.ForeignKey // all foreign keys over the same columns, Key among them
	Entry                       *policy.Dependent   // the file's entry that decided the edge; nil: none
	Where                       string              // condition of a `match`
	Action                      EdgeAction
	Index                       string            // the index that serves the child's columns; empty: none
	SetColumns                  []string          // columns that clearing the edge sets, redacted ones included
	Redaction                   *redact.Redaction // with ByRedact
	// Within are the tableoids of rows that the key can reference, if it references a single
	// partition of Parent; nil: all.
	Within []string
	Pairs  []schema.Comparison // the child's columns and the parent's
}

// Label names the edge for people: the constraints, or "match".
func (e *Edge) Label() string {
	if e.Key == nil {
		return "match"
	}
	names := e.Key.Name
	for _, k := range e.Keys {
		if k.OID != e.Key.OID {
			names += ", " + k.Name
		}
	}
	return names
}

// Hop is one step of the tenant path: columns From of the previous table lead to columns To of Table.
type Hop struct {
	Table    *schema.Table
	From, To []string
	Pairs    []schema.Comparison // From is theirs, To is ours
}

// Plan is the explicit plan of one policy.
type Plan struct {
	Policy   *policy.Policy
	File     *policy.File // that the policy stands in
	Root     *Node
	Nodes    []*Node // the root first, then in order of discovery
	Edges    []*Edge
	Strategy string
	Reason   string // for the strategy
	Index    string // that the strategy uses; empty for a sweep without one
	Problems []Problem

	graph        *schema.Graph
	Server       Server
	Where        string // the policy's condition, as PostgreSQL prints it; empty: none
	ownPath      ownPath
	Needs        usersql.Needs     // of SQL of the file
	unplanned    error             // why the policy cannot be planned now; nil if it was
	Key          []schema.Column   // the root's key
	KeyOrders    []*schema.Order   // the sort order of each of its columns
	Owner        schema.Comparison // compares the tenants' key with the path's last column
	GroupOrders  []*schema.Order   // the sort order of the columns that the first hop leads to
	Age          expiry.Age
	Hops         []Hop
	LastTable    *schema.Table // the table of the path's last column
	Last         schema.Column // the column that holds the tenant's key; unset: no tenant
	NoTenant     bool
	foundPath    policy.Path // the inferred path, in the file's notation; unset if the file has one or none was found
	unwritable   bool        // the file cannot express foundPath
	Tenants      *expiry.Tenants
	Proven       bool   // safety asks for it, and nothing prevents it
	CatalogPrint string // fingerprint of the tables' catalog entries at planning time
	KeyInIndex   bool   // the keyset's index continues with the key
	heldRoot     func(key []string) string
	rootsHeld    bool // some are
	WhereLeads   bool // the keyset's index serves where, so the walk includes it
	Usual, Full  *Traversal
	Whole        *Traversal // of a policy with an archive; nil: it has none, or the plan has errors
	Parts        partitioning
}

// HasErrors reports whether an error prevents the plan from running.
func (p *Plan) HasErrors() bool {
	return slices.ContainsFunc(p.Problems, func(x Problem) bool { return x.Level == LevelError })
}

// Readable reports whether nothing prevents what is due from being read, if perhaps from being
// deleted.
func (p *Plan) Readable() bool {
	return p.unplanned == nil && !slices.ContainsFunc(p.Problems, func(x Problem) bool { return x.Level == LevelError && !x.OnlyDeleting })
}

// Unplanned is why the policy cannot be planned now, such as a locked table; nil if it is planned.
// Running it fails and deletes nothing.
func (p *Plan) Unplanned() error { return p.unplanned }

// AddProblem records a problem of the policy.
func (p *Plan) AddProblem(level Level, text, fix string) {
	p.Problems = append(p.Problems, Problem{Policy: p.Policy.Name, Level: level, Text: text, Fix: fix})
}

// missingIndex is the subject of a problem about a missing index.
type missingIndex struct {
	Edge *Edge // the edge it would serve; nil: the search for expired roots
}

// AddMissingIndex records that an index is missing for an edge or, if nil, for the search. A
// preview adds the cost to the text.
func (p *Plan) AddMissingIndex(e *Edge, level Level, text, fix string) {
	p.AddProblem(level, text, fix)
	p.Problems[len(p.Problems)-1].MissingIndex = &missingIndex{Edge: e}
}

// Hold adds the condition that a person holds a tenant; see expiry.Tenants.
func (p *Plan) Hold(held func(key string, same func(string) string) string) {
	if p.Tenants != nil {
		p.Tenants.Held = held
	}
}

// HoldRoots adds the condition that a person holds a root, by expressions of its key's columns or,
// without any, that a root is held at all; nil: nobody can have said so. Where some are, searches and
// counts leave them out; the statements that delete ask in any case.
func (p *Plan) HoldRoots(held func(key []string) string, some bool) {
	p.heldRoot, p.rootsHeld = held, some && held != nil
}

// Qualifies is the condition, to append to others with AND, that a root may be deleted at all,
// whatever its age: where, and no person holds it; empty if there is none.
func (p *Plan) Qualifies() string { return Parenthesized(p.Where) + p.unlessRootHeld() }

// qualifies is Qualifies in the scope: what is given to the statements of a loop is given only while
// nobody holds a root.
func (p *Plan) qualifies(sc expiry.Scope) string {
	if sc.Given != "" {
		return Parenthesized(p.Where)
	}
	return p.Qualifies()
}

// Sought is Qualifies for a search or a count: where no root was held as it began, it does not look
// at their keys, which may not be in the index that serves it.
func (p *Plan) Sought() string {
	if p.rootsHeld {
		return p.Qualifies()
	}
	return Parenthesized(p.Where)
}

// RootsHeld reports whether a person held roots by row when the run began.
func (p *Plan) RootsHeld() bool { return p.rootsHeld }

// unlessRootHeld leaves roots out that a person holds by row.
func (p *Plan) unlessRootHeld() string {
	if p.heldRoot == nil {
		return ""
	}
	return " AND NOT " + p.heldRoot(schema.Cols(p.Root.Table, ColumnNames(p.Key)))
}

// NoRootHeld is the condition, to put before others with AND, that no root is held by a person at
// all; empty: nobody can have said so.
func (p *Plan) NoRootHeld() string {
	if p.heldRoot == nil {
		return ""
	}
	return "NOT " + p.heldRoot(nil) + " AND "
}

// Sweeps reports whether a run walks the rows of all tenants together.
func (p *Plan) Sweeps() bool { return p.Strategy == KeySweep || p.Strategy == AgeSweep }

// Keeps reports whether any edge protects rows.
func (p *Plan) Keeps() bool {
	return slices.ContainsFunc(p.Edges, func(e *Edge) bool { return e.Action == ByKeep })
}

// MaxLocks is how many locks the server has room for, of all sessions together.
func (p *Plan) MaxLocks() int { return p.Server.maxLocks }

// Server is what was read of the server before planning.
type Server struct {
	Version         int // server_version_num
	Role            string
	TimeZone        string   // of the role's sessions
	path            string   // their search_path
	SearchPath      []string // the existing schemas on it, including pg_catalog
	InRecovery      bool
	TrackCounts     bool
	ReplicationRole string
	Loops           bool // the role may write loops in PL/pgSQL
	sources         schema.SettingSources
	Now             time.Time // the database's clock
	ClockSkew       time.Duration
	maxLocks        int // of the whole server
}

// InUTC reports whether the role's sessions are in UTC.
func (s Server) InUTC() bool { return slices.Contains(utcNames, strings.ToLower(s.TimeZone)) }

var utcNames = []string{"utc", "etc/utc", "gmt", "etc/gmt", "zulu", "etc/zulu", "uct", "etc/uct", "universal", "etc/universal", "greenwich", "gmt0", "etc/greenwich"}

// Path is the search_path of the role's own sessions.
func (s Server) Path() string { return s.path }
