package plan

import (
	"strconv"

	"github.com/reaperdb/reaper/expiry"
	"github.com/reaperdb/reaper/internal/pg"
)

// LongestSQL is the length of the longest tenant key in bytes.
const LongestSQL = "coalesce(max(octet_length(key::text)), 0)"

// CountTenantsSQL counts the tenants, their distinct keys, the bytes of the longest, and the
// tenants that are held, kept forever, and skipped.
func (p *Plan) CountTenantsSQL(sc expiry.Scope) *pg.Statement {
	s := &pg.Statement{}
	sc.Whole = true
	return s.Add("SELECT count(*), ", p.Tenants.CountKeys(), ", ", LongestSQL, ", count(*) FILTER (WHERE state = 'held'), count(*) FILTER (WHERE state = 'forever'), count(*) FILTER (WHERE state = 'skipped') FROM ", p.Tenants.Write(s, sc), " s")
}

// SkippedTenantsSQL names some skipped tenants and the reason for each.
func (p *Plan) SkippedTenantsSQL(sc expiry.Scope, limit int) *pg.Statement {
	s := &pg.Statement{}
	sc.Whole = true
	return s.Add("SELECT array_agg(x) FROM (SELECT key::text || coalesce(' (' || CASE retention WHEN '00:00:00' THEN 'zero or absurd' ELSE retention END || ')', ' (no retention)') AS x FROM ",
		p.Tenants.Write(s, sc), " s WHERE state = 'skipped' ORDER BY key LIMIT ", strconv.Itoa(limit), ") x")
}

// TenantSQL reads one tenant again: how many have its key, whether its rows may be deleted, and the
// earlier of its cutoffs.
func (p *Plan) TenantSQL(sc expiry.Scope, t *TenantCutoff) *pg.Statement {
	s := &pg.Statement{}
	sc.Only = []string{*t.Key}
	return s.Add("SELECT count(*), coalesce(bool_and(state = 'active'), false), min(least(cutoff, ", s.Cast(t.Cutoff, "timestamptz"), "))::text FROM ", p.Tenants.Write(s, sc), " s")
}

// UnknownTenantsSQL returns the keys that no tenant has.
func (p *Plan) UnknownTenantsSQL(keys []string) *pg.Statement {
	s := &pg.Statement{}
	return s.Add("SELECT array(SELECT k FROM unnest(", s.Cast(keys, "text[]"), ") k WHERE NOT EXISTS (SELECT FROM (",
		p.Tenants.Relation(nil), ") t WHERE ", p.Tenants.Same.FindTheirs("k::"+p.Tenants.Key.SQLType, "t.key"), "))")
}

// ConstantRetention is the retention of a policy without tenants, as in the file.
func (p *Plan) ConstantRetention() string {
	if len(p.Tenants.Sources) == 0 {
		return "missing"
	}
	return p.Tenants.Sources[0].Constant.String()
}
