package explain

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/reaperdb/reaper/expiry"
	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/schema"
)

// Age is the age of a row.
type Age struct {
	Column string  `json:"column"` // or the SQL that gives it
	Value  *string `json:"value"`  // as PostgreSQL prints it, in UTC; null: NULL
	// At is the time that it stands for, from which on the retention counts; null: it never expires.
	At *time.Time `json:"at"`
}

// Where is what the policy's condition says of a row.
type Where struct {
	SQL    string `json:"sql"`
	Result *bool  `json:"result"`          // null: NULL, or the condition fails
	Error  string `json:"error,omitempty"` // why it fails
}

// readRow reads where the row is, and its age.
func (x *asker) readRow(ctx context.Context, r *subject) error {
	p := x.Plan
	t := p.Root.Table
	name, a := pg.Ident(t.Name.Name), p.Age.Of(t)
	s := &pg.Statement{}
	r.Age.Column = p.Age.Text()
	s.Add("SELECT ", name, ".tableoid::text, ", name, ".ctid::text, ", a, "::text, CASE WHEN ", p.Age.Valid(a), " AND ", a, " < ", p.Age.Bound("timestamptz '9999-01-01 00:00:00+00'"),
		" THEN ", p.Age.Instant(a), " END FROM ", schema.From(t), " WHERE ", p.KeyCondition(s, r.keys))
	err := x.tx.QueryRow(ctx, s.String(), s.Args...).Scan(&r.tab, &r.tid, &r.Age.Value, &r.Age.At)
	if errors.Is(err, pgx.ErrNoRows) {
		return ErrNoRow
	}
	if err != nil {
		return fmt.Errorf("reading the row: %w", err)
	}
	return nil
}

// readWhere evaluates the policy's condition, which may fail.
func (x *asker) readWhere(ctx context.Context, r *subject) error {
	p := x.Plan
	if p.Where == "" {
		return nil
	}
	r.Where = &Where{SQL: p.Policy.Where.Value}
	s := &pg.Statement{}
	s.Add("SELECT (", p.Where, "\n) FROM ", schema.From(p.Root.Table), " WHERE ", p.KeyCondition(s, r.keys))
	err := pg.Savepoint(ctx, x.tx, func(tx pgx.Tx) error { return tx.QueryRow(ctx, s.String(), s.Args...).Scan(&r.Where.Result) })
	if wrong, ok := errors.AsType[*pgconn.PgError](err); ok && !pg.Away(err) {
		r.whereError, r.Where.Error = err, wrong.Message
		return nil
	}
	if err != nil {
		return fmt.Errorf("evaluating where: %w", err)
	}
	return nil
}

// askDelete asks whether the row is expired, by the conditions that the DELETE repeats.
func (x *asker) askDelete(ctx context.Context, r *subject) error {
	p := x.Plan
	if r.cutoff == "" || r.state != expiry.StateActive || r.whereError != nil {
		return nil
	}
	var n int64
	s := p.CountRootsSQL(expiry.Scope{Base: x.base}, &plan.TenantCutoff{Key: r.owner, Cutoff: r.cutoff}, r.keys)
	if err := x.tx.QueryRow(ctx, s.String(), s.Args...).Scan(&n); err != nil {
		return fmt.Errorf("asking whether the row is expired: %w", err)
	}
	r.expired = n > 0
	return nil
}

// Step is one step of the path from a row to its tenant.
type Step struct {
	Table   string    `json:"table"`
	Columns []string  `json:"columns"`
	Values  []*string `json:"values"`
	To      string    `json:"to"`    // the table that they lead to; empty: the tenants of a query
	Found   bool      `json:"found"` // false: the path ends here
}

// readPath follows the path to the tenant as far as it leads.
func (x *asker) readPath(ctx context.Context, r *subject) error {
	p := x.Plan
	if p.NoTenant {
		r.owned = true
		return nil
	}
	s := &pg.Statement{}
	selected, joins := x.path(r)
	s.Add("SELECT ", strings.Join(selected, ", "), " FROM ", schema.From(p.Root.Table), joins, " WHERE ", p.KeyCondition(s, r.keys), " LIMIT 1")
	var values []any
	for i := range r.Path {
		for k := range r.Path[i].Values {
			values = append(values, &r.Path[i].Values[k])
		}
		values = append(values, &r.Path[i].Found)
	}
	if err := x.tx.QueryRow(ctx, s.String(), s.Args...).Scan(append(values, &r.owner)...); err != nil {
		return fmt.Errorf("following the path to the tenant: %w", err)
	}
	for i := range r.Path {
		if !r.Path[i].Found { // what stands behind it says nothing
			r.Path = r.Path[:i+1]
			break
		}
	}
	r.owned = r.owner != nil
	r.Tenant = r.owner
	return nil
}

// path is what to select for the values of each step, and whether each leads on; and the joins.
func (x *asker) path(r *subject) (selected []string, joins string) {
	p := x.Plan
	at, before := p.Root.Table.Name.String(), pg.Ident(p.Root.Table.Name.Name)+"."
	step := func(columns []string, to, found string) {
		for _, c := range columns {
			selected = append(selected, before+pg.Ident(c)+"::text")
		}
		selected = append(selected, found+" IS NOT NULL")
		r.Path = append(r.Path, Step{Table: at, Columns: columns, Values: make([]*string, len(columns)), To: to})
	}
	for i, h := range p.Hops {
		alias := fmt.Sprintf("reaper_p%d", i+1)
		joins += " LEFT JOIN " + schema.FromWithChildren(h.Table) + " " + alias + " ON " + pg.And(len(h.From), func(k int) string {
			return h.Pairs[k].FindOurs(alias+"."+pg.Ident(h.To[k]), before+pg.Ident(h.From[k]))
		})
		step(h.From, h.Table.Name.String(), alias+".tableoid")
		at, before = h.Table.Name.String(), alias+"."
	}
	to := ""
	if p.Tenants.Table != nil {
		to = p.Tenants.Table.Name.String()
	}
	joins += " LEFT JOIN (" + p.Tenants.Relation(nil) + ") reaper_t ON " + p.Owner.FindOurs("reaper_t.key", before+pg.Ident(p.Last.Name))
	step([]string{p.Last.Name}, to, "reaper_t.key")
	return append(selected, "reaper_t.key::text"), joins
}

// broken is the step at which the path ends without a tenant, in words.
func (r *subject) broken() string {
	s := r.Path[len(r.Path)-1]
	for i, v := range s.Values {
		if v == nil {
			return fmt.Sprintf("%s.%s is NULL", s.Table, s.Columns[i])
		}
	}
	to := s.To
	if to == "" {
		to = "the tenants' query"
	}
	return fmt.Sprintf("%s of %s leads to no row of %s", valuesText(s.Columns, s.Values), s.Table, to)
}

// valuesText is "id = 5, part = x".
func valuesText(columns []string, values []*string) string {
	return pg.List(len(columns), func(i int) string {
		if values[i] == nil {
			return columns[i] + " is NULL"
		}
		return columns[i] + " = " + *values[i]
	})
}
