package plan

import (
	"strconv"

	"github.com/reaperdb/reaper/expiry"
	"github.com/reaperdb/reaper/internal/pg"
)

// LongestSQL is the length of the longest tenant key in bytes.
const LongestSQL = "coalesce(max(octet_length(key::text)), 0)"

// CountTenantsSQL counts the tenants, their distinct keys, the bytes of the longest, and the
// tenants that are held, kept forever, and skipped. If the scope asks for what is recorded of them,
// its digest comes last.
func (p *Plan) CountTenantsSQL(sc expiry.Scope) *pg.Statement {
	s := &pg.Statement{}
	sc.Whole, sc.Graced = true, true
	s.Add("SELECT count(*), ", p.Tenants.CountKeys(), ", ", LongestSQL, ", count(*) FILTER (WHERE state = 'held'), count(*) FILTER (WHERE state = 'forever'), count(*) FILTER (WHERE state = 'skipped')")
	if sc.Recorded {
		s.Add(", ", p.Tenants.Digest())
	}
	return s.Add(" FROM ", p.Tenants.Write(s, sc), " s")
}

// SeenSQL returns the tenants of which something else is to be recorded for their grace than is, with
// their retention; NULL: nothing of them may go, or they are gone. The first row is (NULL, the digest
// of all tenants of the scope). table is the ledger's, quoted.
func (p *Plan) SeenSQL(sc expiry.Scope, table string) *pg.Statement {
	s := &pg.Statement{}
	join := "FULL JOIN"
	if sc.Only != nil {
		join = "LEFT JOIN" // the others are there, too
	}
	sc.Whole, sc.Graced, sc.Recorded = true, true, true
	s.Add("WITH reaper_t AS MATERIALIZED (SELECT key, had FROM ", p.Tenants.Write(s, sc), " s)\n",
		"SELECT NULL, ", p.Tenants.Digest(), "::text FROM reaper_t\nUNION ALL SELECT coalesce(t.key, g.tenant), t.had FROM (SELECT ", p.Tenants.RecordedKey("key"), " AS key, had::text AS had FROM reaper_t) t\n  ",
		join, " (SELECT tenant, had::text AS had FROM ", table, " WHERE policy = ", s.Cast(p.Policy.Name, "text"), " AND ends_at = 'infinity') g ON g.tenant = t.key\n",
		" WHERE (t.had IS NOT NULL OR g.tenant IS NOT NULL) AND t.had IS DISTINCT FROM g.had")
	return s
}

// SkippedTenantsSQL names some skipped tenants and the reason for each.
func (p *Plan) SkippedTenantsSQL(sc expiry.Scope, limit int) *pg.Statement {
	s := &pg.Statement{}
	sc.Whole, sc.Graced = true, true
	return s.Add("SELECT array_agg(x) FROM (SELECT key::text || coalesce(' (' || CASE retention WHEN '00:00:00' THEN 'zero or absurd' ELSE retention END || ')', ' (no retention)') AS x FROM ",
		p.Tenants.Write(s, sc), " s WHERE state = 'skipped' ORDER BY key LIMIT ", strconv.Itoa(limit), ") x")
}

// PrintedKeysSQL returns the keys of tenants as PostgreSQL prints them. One that there is not is
// NULL or, with unknown, as its type prints it.
func (p *Plan) PrintedKeysSQL(keys []string, unknown bool) *pg.Statement {
	otherwise := "NULL"
	if unknown {
		otherwise = "k.key::" + p.Tenants.Key.SQLType + "::text"
	}
	s := &pg.Statement{}
	return s.Add("SELECT array(SELECT coalesce((SELECT t.key::text FROM (", p.Tenants.Relation(nil), ") t WHERE ",
		p.Tenants.Same.FindTheirs("k.key::"+p.Tenants.Key.SQLType, "t.key"), " LIMIT 1), ", otherwise, ") FROM unnest(", s.Cast(keys, "text[]"), ") WITH ORDINALITY k(key, n) ORDER BY n)")
}

// KeysLikeSQL returns some keys that begin or end as another does.
func (p *Plan) KeysLikeSQL(key string) *pg.Statement {
	s := &pg.Statement{}
	like := s.Cast(key, "text")
	return s.Add("SELECT array(SELECT t.key::text FROM (", p.Tenants.Relation(nil), ") t WHERE left(t.key::text, 2) = left(", like, ", 2) OR right(t.key::text, 2) = right(", like, ", 2) LIMIT 10000)")
}

// ConstantRetention is the retention of a policy without tenants, as in the file.
func (p *Plan) ConstantRetention() string {
	if len(p.Tenants.Sources) == 0 {
		return "missing"
	}
	return p.Tenants.Sources[0].Constant.String()
}

// TenantsSQL reads tenants again: the ordinal of each that there is (from 1), how many have
// its key, whether its rows may go, and the earlier one of its cutoffs.
func (p *Plan) TenantsSQL(sc expiry.Scope, tenants []*TenantCutoff) *pg.Statement {
	s := &pg.Statement{}
	sc.Only, sc.Whole, sc.Graced = TenantKeys(tenants), true, true
	return s.Add("SELECT reaper_t.n, count(*), coalesce(bool_and(reaper_s.state = 'active'), false), min(least(reaper_s.cutoff, reaper_t.cutoff))::text\n  FROM ",
		TenantRows(s, tenants), " JOIN ", p.Tenants.Write(s, sc), " reaper_s ON ",
		p.Tenants.Same.FindTheirs("reaper_t.key::"+p.Tenants.Key.SQLType, "reaper_s.key"), "\n GROUP BY reaper_t.n")
}

// TenantRows is a relation of tenants with their cutoffs and ordinals, from 1.
func TenantRows(s *pg.Statement, tenants []*TenantCutoff) string {
	keys, cutoffs := TenantLists(tenants)
	return "unnest(" + s.Cast(keys, "text[]") + ", " + s.Cast(cutoffs, "timestamptz[]") + ") WITH ORDINALITY reaper_t(key, cutoff, n)"
}

// TenantKeys are the keys of tenants that have one.
func TenantKeys(tenants []*TenantCutoff) (keys []string) {
	for _, t := range tenants {
		keys = append(keys, *t.Key)
	}
	return keys
}

// TenantLists are the keys and the cutoffs of tenants.
func TenantLists(tenants []*TenantCutoff) (keys, cutoffs []*string) {
	for _, t := range tenants {
		keys, cutoffs = append(keys, t.Key), append(cutoffs, &t.Cutoff)
	}
	return keys, cutoffs
}
