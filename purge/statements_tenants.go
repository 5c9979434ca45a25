package purge

import "strconv"

// longestSQL is the length of the longest key of tenants, in bytes.
const longestSQL = "coalesce(max(octet_length(key::text)), 0)"

// countTenantsSQL counts the tenants, their distinct keys, the bytes of the longest, and
// those that are held, kept forever, and skipped.
func (p *Plan) countTenantsSQL(sc scope) *statement {
	s := &statement{}
	sc.whole = true
	return s.add("SELECT count(*), ", p.tenants.countKeys(), ", ", longestSQL, ", count(*) FILTER (WHERE state = 'held'), count(*) FILTER (WHERE state = 'forever'), count(*) FILTER (WHERE state = 'skipped') FROM ", p.tenants.write(s, sc), " s")
}

// skippedTenantsSQL names some of the tenants that are skipped, and what makes them so.
func (p *Plan) skippedTenantsSQL(sc scope, limit int) *statement {
	s := &statement{}
	sc.whole = true
	return s.add("SELECT array_agg(x) FROM (SELECT key::text || coalesce(' (' || CASE retention WHEN '00:00:00' THEN 'zero or absurd' ELSE retention END || ')', ' (no retention)') AS x FROM ",
		p.tenants.write(s, sc), " s WHERE state = 'skipped' ORDER BY key LIMIT ", strconv.Itoa(limit), ") x")
}

// tenantSQL reads one tenant again: how many have its key, whether its rows may go, and
// the earlier one of its cutoffs.
func (p *Plan) tenantSQL(sc scope, t *TenantCutoff) *statement {
	s := &statement{}
	sc.only = []string{*t.Key}
	return s.add("SELECT count(*), coalesce(bool_and(state = 'active'), false), min(least(cutoff, ", s.cast(t.Cutoff, "timestamptz"), "))::text FROM ", p.tenants.write(s, sc), " s")
}

// unknownTenantsSQL gives those of the keys that no tenant has.
func (p *Plan) unknownTenantsSQL(keys []string) *statement {
	s := &statement{}
	return s.add("SELECT array(SELECT k FROM unnest(", s.cast(keys, "text[]"), ") k WHERE NOT EXISTS (SELECT FROM (",
		p.tenants.relation(nil), ") t WHERE ", p.tenants.same.findTheirs("k::"+p.tenants.key.SQLType, "t.key"), "))")
}

// constantRetention is the retention of a policy without tenants, as the file has it.
func (p *Plan) constantRetention() string {
	if len(p.tenants.sources) == 0 {
		return "missing"
	}
	return p.tenants.sources[0].constant.String()
}
