package preview

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/schema"
)

// Rows without a tenant are never deleted. A policy for which that is most rows does next to
// nothing, and its runs look as if nothing were due. So a sample of rows is followed to the
// tenants, in one query with limited pages, rows and time.

// The limits of a sample. A table of up to samplePages is read in full.
const (
	samplePages   = 400
	sampleRows    = 50_000
	sampleTimeout = 3 * time.Second
	// sampleLeast is the minimum sample of a larger table for a conclusion.
	sampleLeast = 20
	blockSize   = 8192 // of nearly every server; the sample does not need to be exact
)

// Unowned is how many rows of a policy have no tenant, from a sample of those that `where` selects,
// of any age.
type Unowned struct {
	SampledRows int64 `json:"sampled_rows"`
	Rows        int64 `json:"rows"`  // sampled rows without a tenant
	Exact       bool  `json:"exact"` // all rows were read
}

// Most reports whether most rows have no tenant; false if u is nil.
func (u *Unowned) Most() bool {
	return u != nil && 2*u.Rows > u.SampledRows && (u.Exact || u.SampledRows >= sampleLeast)
}

// Text is, for example, "98 % of the rows reach no tenant and are never deleted (…)".
func (u *Unowned) Text() string {
	text := fmt.Sprintf("%d %% of the rows reach no tenant and are never deleted (%s of %s",
		100*u.Rows/u.SampledRows, humanize.Comma(u.Rows), humanize.Comma(u.SampledRows))
	if u.Exact {
		return text + ")"
	}
	return text + " sampled)"
}

// SampleUnowned follows a sample of a plan's rows to their tenants; nil if the policy has no
// tenants. It fails after a few seconds.
func SampleUnowned(ctx context.Context, pool *pgxpool.Pool, p *plan.Plan) (*Unowned, error) {
	if p.NoTenant {
		return nil, nil
	}
	u := &Unowned{}
	if err := pg.ReadOne(ctx, pool, p.ReadingPath(), sampleTimeout, unownedSQL(p), pg.ScanOne(&u.SampledRows, &u.Rows)); err != nil {
		return nil, fmt.Errorf("sampling the tenants of rows of policy %s: %s", p.Policy.Name, pg.ErrorText(err))
	}
	u.Exact = sampleOf(p.Root.Table) == "" && u.SampledRows < sampleRows
	return u, nil
}

// unownedSQL counts the rows of the sample, and those without a tenant.
func unownedSQL(p *plan.Plan) *pg.Statement {
	t := p.Root.Table
	where := ""
	if p.Where != "" {
		where = " WHERE (" + p.Where + "\n)"
	}
	joins, on, key := p.PathJoin("reaper_m.")
	tenants := "(" + p.Tenants.Relation(nil) + ") reaper_t"
	owner := p.Owner.FindOurs("reaper_t.key", key)
	owned := tenants + " WHERE " + owner
	if joins != "" {
		owned = joins + " JOIN " + tenants + " ON " + owner + " WHERE " + on
	}
	return (&pg.Statement{}).Add("WITH reaper_m AS MATERIALIZED (\n  SELECT ", pg.List(len(p.Lead()), func(i int) string { return schema.Col(t, p.Lead()[i]) }), " FROM ", schema.From(t), sampleOf(t), where,
		" LIMIT ", strconv.Itoa(sampleRows), ")\nSELECT count(*), count(*) - (SELECT count(*) FROM reaper_m WHERE EXISTS (SELECT FROM ", owned, "))\n  FROM reaper_m")
}

// sampleOf restricts FROM to some pages of a large table, always the same; empty if the table is
// small.
func sampleOf(t *schema.Table) string {
	pages := float64(t.Bytes-t.ToastBytes) / blockSize
	if pages <= samplePages {
		return ""
	}
	return " TABLESAMPLE SYSTEM (" + strconv.FormatFloat(100*samplePages/pages, 'f', 6, 64) + ") REPEATABLE (0)"
}

// unownedWarning warns that most rows of a policy have no tenant.
func unownedWarning(p *plan.Plan, u *Unowned) plan.Problem {
	path := "tenant path"
	if t := p.TenantPath(); t != nil {
		path += ", " + t.Text + ","
	}
	return plan.Problem{
		Policy: p.Policy.Name, Level: plan.LevelWarning, Text: p.Root.Table.Name.String() + ": " + u.Text(),
		Fix: "see whether the " + path + " is the right one, and whether tenants lists every tenant; rows of deleted tenants need a policy with tenant: none",
	}
}
