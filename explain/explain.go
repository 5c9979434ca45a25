// Package explain says of one row why a purge would delete it or leave it, and when: which tenant it
// belongs to and by which path, where its retention comes from, what holds and keeps it, and what
// would go with it. It reads, in one snapshot, and changes nothing.
//
// Whether a row is expired is not computed a second time: it is asked by the conditions that the
// DELETE of a purge repeats. What is read besides gives the reasons.
package explain

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/ledger"
	"github.com/reaperdb/reaper/plan"
)

// The time that a statement may take, and that it may wait for a lock.
const (
	statementTimeout = 30 * time.Second
	lockTimeout      = 5 * time.Second
)

// ErrNoRow means that there is no row with the key.
var ErrNoRow = errors.New("there is no such row")

// Question is the policy that is asked about.
type Question struct {
	// Plan must be readable; see plan.Plan.Readable. Its errors are reasons to stay.
	Plan   *plan.Plan
	Ledger *ledger.Ledger
	// Blocked are reasons why the policy's next run would delete nothing, such as a gate that waits.
	Blocked []Reason
	Notes   []string // what is to be said besides
	// At is the instant by which the row is judged; zero: now, by the database's clock. Holds are
	// those of now in any case.
	At time.Time
}

// Row is the answer about a row.
type Row struct {
	Policy  string            `json:"policy"`
	Table   string            `json:"table"`
	Key     map[string]string `json:"key"` // as PostgreSQL prints it
	Verdict Verdict           `json:"verdict"`
	Reasons []Reason          `json:"reasons"` // for the verdict, the weightiest first
	At      time.Time         `json:"at"`      // the instant by which it was judged
	// ExpiresAt is when the row comes due by its age and its retention, grace included, if nothing
	// changes; null: never, or it has no tenant. It may be past.
	ExpiresAt *time.Time `json:"expires_at"`
	Age       Age        `json:"age"`
	Tenant    *string    `json:"tenant"` // null: the policy has none, or the path leads to none
	Path      []Step     `json:"tenant_path"`
	Retention *Retention `json:"retention"` // null: the row has no tenant
	Where     *Where     `json:"where"`     // null: the policy has none
	Holds     []Hold     `json:"holds"`
	KeptBy    []Keeper   `json:"kept_by"`
	Takes     []Taken    `json:"takes"`     // what happens to other rows if this one goes
	GoesWith  []string   `json:"goes_with"` // the key of a root with which the row goes as its dependent; null: none
	Notes     []string   `json:"notes"`

	columns   []string // of the key, in order
	noTenants bool     // the policy has no tenants
}

// Verdict says what the next run does.
type Verdict string

// The verdicts.
const (
	Goes  Verdict = "goes"
	Stays Verdict = "stays"
)

// Reason is a reason for the verdict.
type Reason struct {
	Kind Kind   `json:"kind"`
	Text string `json:"text"`
}

// Kind is a kind of reason.
type Kind string

// The kinds of reasons.
const (
	Expired    Kind = "expired"
	Along      Kind = "goes along" // as the dependent of another root
	Problem    Kind = "problem"    // of the policy: nothing of it is deleted
	Gate       Kind = "gate"       // waits for a person's word
	Paused     Kind = "paused"
	Unowned    Kind = "unowned"
	NoAge      Kind = "no age"
	Held       Kind = "held"
	Forever    Kind = "forever"
	Skipped    Kind = "skipped" // the tenant has no retention that can be used
	NotExpired Kind = "not expired"
	InGrace    Kind = "grace"
	WhereFalse Kind = "where"
	WhereFails Kind = "where fails"
	Kept       Kind = "kept"
	Other      Kind = "other"
)

// Explain answers about the row with a key, given by column as PostgreSQL prints it. It returns
// ErrNoRow if there is none.
func Explain(ctx context.Context, pool *pgxpool.Pool, q Question, key []string) (*Row, error) {
	var r *Row
	err := inSnapshot(ctx, pool, q.Plan.ReadingPath(), func(tx pgx.Tx) (err error) {
		x := &asker{Question: q, pool: pool, tx: tx}
		if err := x.begin(ctx); err != nil {
			return err
		}
		r, err = x.explain(ctx, key)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("explaining policy %s: %w", q.Plan.Policy.Name, err)
	}
	return r, nil
}

// inSnapshot runs fn in a read-only transaction of one snapshot, with the settings of a batch.
func inSnapshot(ctx context.Context, pool *pgxpool.Pool, path string, fn func(pgx.Tx) error) error {
	tx, err := pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return err
	}
	defer pg.Rollback(tx)
	s := &pg.Statement{}
	s.Add("SELECT ", pg.LocalSettings(s, path, statementTimeout, lockTimeout))
	if err := tx.QueryRow(ctx, s.String(), s.Args...).Scan(new(int)); err != nil {
		return err
	}
	if err := fn(tx); err != nil {
		return err
	}
	return tx.Commit(ctx)
}

// asker answers about rows of one policy, in one snapshot.
type asker struct {
	Question
	pool *pgxpool.Pool // for the ledger
	tx   pgx.Tx
	base string // the instant by which is judged, as text
	at   time.Time
}

// begin fixes the instant.
func (x *asker) begin(ctx context.Context) error {
	var at *time.Time
	if !x.At.IsZero() {
		at = &x.At
	}
	return x.tx.QueryRow(ctx, `SELECT coalesce($1::timestamptz, now()), coalesce($1::timestamptz, now())::text`, at).Scan(&x.at, &x.base)
}

// subject is a row that is looked at.
type subject struct {
	*Row
	keys pg.Values

	tab, tid   string
	owner      *string // the tenant's key; nil: none, or the policy has no tenants
	owned      bool
	state      string // of the tenant
	cutoff     string // timestamptz as text; empty: none
	expiresOwn *time.Time

	expired    bool  // by the conditions of the DELETE
	keeps      bool  // a row that stays keeps it
	unsure     bool  // whether those rows stay is not known
	holdsNow   bool  // by a person, by row
	whereError error // of this row
}

// explain answers about one row.
func (x *asker) explain(ctx context.Context, key []string) (*Row, error) {
	r, err := x.judge(ctx, key)
	if err != nil {
		return nil, err
	}
	if err := x.dependents(ctx, r); err != nil {
		return nil, err
	}
	if !r.going() {
		if err := x.goesAlong(ctx, r); err != nil {
			return nil, err
		}
	}
	r.decide(x.Question)
	return r.Row, nil
}

// judge finds out whether a row goes as a root.
func (x *asker) judge(ctx context.Context, key []string) (*subject, error) {
	p := x.Plan
	r := &subject{keys: pg.NewValues(len(key)), Row: &Row{
		Policy: p.Policy.Name, Table: p.Root.Table.Name.String(), Key: map[string]string{}, columns: plan.ColumnNames(p.Key), At: x.at, noTenants: p.NoTenant,
		Path: []Step{}, Holds: []Hold{}, KeptBy: []Keeper{}, Takes: []Taken{}, Notes: append([]string{}, x.Notes...),
	}}
	for i, k := range key {
		r.Key[r.columns[i]] = k
		r.keys[i].Add(&k)
	}
	for _, step := range []func(context.Context, *subject) error{x.readRow, x.readWhere, x.readPath, x.readTenant, x.readHolds, x.askDelete, x.readKeepers} {
		if err := step(ctx, r); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// going reports whether the row goes as a root.
func (r *subject) going() bool { return r.expired && !r.keeps }
