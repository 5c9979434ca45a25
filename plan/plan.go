// Package plan makes, of a policy and the catalog, an explicit plan: what goes, what goes
// with it by which edge, how expired rows are found, what stands against it, and what the
// role has to be granted. It holds every SQL statement that a run can need.
package plan

import (
	"slices"
	"time"

	"github.com/reaperdb/reaper/expiry"
	"github.com/reaperdb/reaper/internal/usersql"
	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/schema"
)

// The strategies that find expired roots.
const (
	// TenantKeyset walks an index on (tenant column, age[, key]), one tenant at
	// a time.
	TenantKeyset = "tenant keyset"
	// AgeKeyset walks an index on (age[, key]) of a table without tenants.
	AgeKeyset = "age keyset"
	// AgeSweep walks an index on (age[, key]), all tenants at once, from the oldest
	// row to the latest cutoff, each row against its own tenant's.
	AgeSweep = "age sweep"
	// KeySweep walks the root's key, all tenants at once, bounded in rows read.
	KeySweep = "key sweep"
)

// Tables are the OIDs of the tables that rows are deleted from; the root's is among
// them. A plan with errors may have none.
func (p *Plan) Tables() (oids []uint32) {
	for _, n := range p.Nodes {
		if n.Deleted {
			oids = append(oids, n.Table.OID)
		}
	}
	return oids
}

// Level tells whether a problem stops a policy.
type Level string

// An Error stops the policy before anything is touched; a Warning is told.
const (
	LevelError   Level = "error"
	LevelWarning Level = "warning"
)

// Problem is something a person should know or mend, with the remedy.
type Problem struct {
	Policy string `json:"policy,omitempty"` // empty: the file or the server
	Level  Level  `json:"level"`
	Text   string `json:"text"`
	Fix    string `json:"fix"`

	MissingIndex *missingIndex `json:"-"` // nil: of another kind
}

// EdgeAction is what is decided for the rows behind one edge.
type EdgeAction string

// The actions of an edge: those of the schema, and those of the policy file.
const (
	ByCascade    EdgeAction = "cascade"
	BySetNull    EdgeAction = "set null"
	BySetDefault EdgeAction = "set default"
	ByDelete     EdgeAction = "delete"
	ByNullify    EdgeAction = "nullify"
	ByKeep       EdgeAction = "keep"
	undecided    EdgeAction = "undecided"
)

// Deletes tells whether rows behind the edge go with the row they reference.
func (a EdgeAction) Deletes() bool { return a == ByCascade || a == ByDelete }

// Clears tells whether rows behind the edge stay, with their reference emptied.
func (a EdgeAction) Clears() bool { return a == ByNullify || a == BySetNull || a == BySetDefault }

// Node is a table of the plan.
type Node struct {
	Table *schema.Table
	// Deleted tells that rows of the table may go: it is the root or behind a
	// deleting edge.
	Deleted bool
	In, Out []*Edge // In: edges by which its rows reference others; Out: edges that reference its rows
	// refs are the columns of this table that edges reference, in a fixed order:
	// the values collected of its rows.
	Refs []string
	// ages are those by which policies of the file find rows of this table, where its
	// references are emptied; key tells its rows apart.
	Ages      []rootAge
	Key       []schema.Column
	keyOrders []*schema.Order
	Component int // number of its strongly connected component over deleting edges, parents first
}

// Edge is one reference from a child table to a parent table of the plan.
type Edge struct {
	Parent, Child               *Node
	ParentColumns, ChildColumns []string
	Key                         *schema.ForeignKey  // nil: declared by `match`
	keys                        []schema.ForeignKey // all those over its columns, Key among them
	entry                       *policy.Dependent   // of the file, that decided it; nil: none
	Where                       string              // of a match
	Action                      EdgeAction
	Index                       string   // the index that serves the child's columns; empty: none
	SetColumns                  []string // columns that a clearing edge empties
	// within are the tableoids of the rows that the key can reference, when it
	// names a single partition of Parent; nil: all of them.
	Within []string
	Pairs  []schema.Comparison // child's columns with the parent's
}

// Label names the edge for people: the constraint, or the declared match.
func (e *Edge) Label() string {
	if e.Key == nil {
		return "match"
	}
	names := e.Key.Name
	for _, k := range e.keys {
		if k.OID != e.Key.OID {
			names += ", " + k.Name
		}
	}
	return names
}

// Hop is one step of the tenant path: columns of the table before lead to
// columns of Table.
type Hop struct {
	table    *schema.Table
	from, To []string
	pairs    []schema.Comparison // from is theirs, to is ours
}

// Plan is the explicit plan of one policy.
type Plan struct {
	Policy   *policy.Policy
	Root     *Node
	Nodes    []*Node // the root first, then in the order found
	Edges    []*Edge
	Strategy string
	Reason   string // why this strategy
	Index    string // the index that serves it; empty for a sweep without one
	Problems []Problem

	graph        *schema.Graph
	Server       Server
	Where        string // of the policy, as it is understood; empty: all rows are meant
	ownPath      ownPath
	needs        usersql.Needs     // of SQL of the file
	unplanned    error             // why it could not be planned now; nil: it was
	Key          []schema.Column   // the root's key
	keyOrders    []*schema.Order   // how each of its columns compares
	Owner        schema.Comparison // the tenants' key with the path's last column
	groupOrders  []*schema.Order   // how the columns compare that the first step of the path leads to
	Age          expiry.Age
	Hops         []Hop
	lastTable    *schema.Table // where the path's last column stands
	last         schema.Column // the column that holds the tenant's key; unset: no tenant
	NoTenant     bool
	foundPath    policy.Path // as the file would write it; unset: the file writes one, or none leads there
	unwritable   bool        // it cannot
	Tenants      *expiry.Tenants
	safety       policy.Safety
	Proven       bool   // safety asks for it, and nothing rules it out
	CatalogPrint string // print of what the catalog said of the tables when they were planned
	KeyInIndex   bool   // the index of the keyset goes on with the key
	whereLeads   bool   // the index of the keyset serves where: it is a condition of the walk
	Usual, Full  *Traversal
	Parts        partitioning
}

// HasErrors tells whether the plan may not run.
func (p *Plan) HasErrors() bool {
	return slices.ContainsFunc(p.Problems, func(x Problem) bool { return x.Level == LevelError })
}

// Unplanned is why the policy cannot be planned now, such as a table that somebody
// has locked; nil: it is planned. A run of it fails, and touches nothing.
func (p *Plan) Unplanned() error { return p.unplanned }

// AddProblem records a problem of the policy.
func (p *Plan) AddProblem(level Level, text, fix string) {
	p.Problems = append(p.Problems, Problem{Policy: p.Policy.Name, Level: level, Text: text, Fix: fix})
}

// lack is the index that a problem says is missing.
type missingIndex struct {
	Edge *Edge // the edge that it would serve; nil: the search for expired roots
}

// AddMissingIndex records that an index is missing, for an edge or (nil) for the search.
// A look at the plan adds to the text what that costs.
func (p *Plan) AddMissingIndex(e *Edge, level Level, text, fix string) {
	p.AddProblem(level, text, fix)
	p.Problems[len(p.Problems)-1].MissingIndex = &missingIndex{Edge: e}
}

// Sweeps tells that a run walks over rows of all tenants together.
func (p *Plan) Sweeps() bool { return p.Strategy == KeySweep || p.Strategy == AgeSweep }

// Keeps tells whether any edge protects rows.
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
	SearchPath      []string // the schemas of it that there are, pg_catalog among them
	InRecovery      bool
	TrackCounts     bool
	ReplicationRole string
	sources         sources
	Now             time.Time // the database's clock
	ClockSkew       time.Duration
	maxLocks        int // of the whole server
}

// ClockSQL gives the database's time: microseconds since 1970, and text of one form
// under every setting.
const ClockSQL = `SELECT (extract(epoch FROM now()) * 1000000)::bigint, to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') || '+00'`
