package policy

import "cmp"

// file converts the document into a File and checks the rules that span several keys.
func (d *document) file() (*File, error) {
	f := &File{Safety: Safety{Proven: d.Safety.ForeignKeyChecks == "proven" || d.Safety.ForeignKeyChecks == "auto", Auto: d.Safety.ForeignKeyChecks == "auto", SynchronousCommit: d.Safety.SynchronousCommit == "on", WarnsOfDrift: d.Safety.Drift == "warn"}}
	guards, err := d.Guards.guards()
	if err != nil {
		return nil, err
	}
	f.Guards = guards
	if d.Tenants != nil {
		t, err := d.Tenants.tenants()
		if err != nil {
			return nil, err
		}
		f.Tenants = t
	}
	first := map[string]int{}
	for i := range d.Policies {
		s := &d.Policies[i]
		if line, seen := first[s.Name.Value]; seen {
			return nil, errorAt(s.Name.Pos, "policy %s is already defined on line %d: give this one another name", s.Name.Value, line)
		}
		first[s.Name.Value] = s.Name.Pos.Line
		p, err := s.policy(f.Tenants)
		if err != nil {
			return nil, err
		}
		p.Breaker = s.Breaker.or(d.Safety.Breaker.or(DefaultBreaker))
		p.Grace = s.Grace.or(d.Safety.Grace).length
		f.Policies = append(f.Policies, p)
	}
	if f.Archive, err = d.Archive.archive(f.Policies); err != nil {
		return nil, err
	}
	if f.Erasure, err = d.Erasure.erasure(f); err != nil {
		return nil, err
	}
	f.dropUnneededTenants()
	f.Warnings = f.warnings()
	return f, nil
}

func (f *File) dropUnneededTenants() {
	if f.Erasure != nil {
		return
	}
	for i := range f.Policies {
		if !f.Policies[i].Tenant.None {
			return
		}
	}
	f.Tenants = nil
}

func (s *tenantsSection) tenants() (*Tenants, error) {
	t := &Tenants{Pos: s.Pos, Table: s.Table, Query: Text(s.Query), Key: Text(s.Key), Settings: s.settings()}
	switch {
	case t.Table.IsSet() && t.Query.IsSet():
		return nil, errorAt(t.Query.Pos, "tenants has a table and a query: remove one")
	case !t.Table.IsSet() && !t.Query.IsSet():
		return nil, errorAt(t.Pos, "tenants has neither table nor query: add table and key, or query")
	case t.Table.IsSet() && !t.Key.IsSet():
		return nil, errorAt(t.Table.Pos, "tenants has a table but no key: add key, the column that holds the tenant's key")
	case t.Query.IsSet() && t.Retention.IsSet():
		return nil, errorAt(t.Retention.pos(), "retention together with a query: the query's second column is the retention; remove this, or set default for tenants without one")
	case t.Query.IsSet() && t.Hold.IsSet():
		return nil, errorAt(t.Hold.Pos, "hold together with a query: the query's third column is the hold; remove this")
	}
	if err := t.Settings.check(); err != nil {
		return nil, err
	}
	return t, checkFloor(t.Default, t.Min)
}

func (s *settingsKeys) settings() Settings {
	return Settings{
		Retention: s.Retention, Hold: Text(s.Hold),
		Default: s.Default, Min: s.Min, Overrides: s.Overrides,
	}
}

// IsSet reports whether a retention was given.
func (r Retention) IsSet() bool { return r.Duration != nil || r.SQL.IsSet() }

func (r Retention) pos() Pos {
	if r.Duration != nil {
		return r.Duration.Pos
	}
	return r.SQL.Pos
}

// check refuses durations that make no sense.
func (s *Settings) check() error {
	if s.Min != nil && s.Min.Forever {
		return errorAt(s.Min.Pos, "min is forever: nothing would ever be deleted; write a duration, or remove the policy")
	}
	if err := notZero("retention", s.Retention.Duration); err != nil {
		return err
	}
	if err := notZero("default", s.Default); err != nil {
		return err
	}
	if err := notZero("min", s.Min); err != nil {
		return err
	}
	for i := range s.Overrides {
		if err := notZero("an override", &s.Overrides[i].Duration); err != nil {
			return err
		}
	}
	return nil
}

func notZero(key string, d *Duration) error {
	if d != nil && d.IsZero() {
		return errorAt(d.Pos, "%s is zero: write a duration above zero, or forever to keep the rows", key)
	}
	return nil
}

// checkFloor refuses a default shorter than min. Either may be nil.
func checkFloor(def, floor *Duration) error {
	if def == nil || floor == nil || !def.definitelyShorter(*floor) {
		return nil
	}
	return errorAt(def.Pos, "default %s is shorter than min %s (line %d): lengthen default, or shorten min", def, floor, floor.Pos.Line)
}

// policy checks one policy; t is nil when the file has no tenants.
func (s *policySection) policy(t *Tenants) (Policy, error) {
	p := Policy{
		Pos: s.Pos, Name: s.Name.Value, Table: s.Table, Age: s.Age, Tenant: s.Tenant,
		Where: Text(s.Where), Settings: s.settings(),
		Schedule: Text(s.Schedule), Heartbeat: s.Heartbeat, MaxLag: s.MaxLag,
		AllowTriggers: s.Triggers == "allow", AllowUnindexed: s.Unindexed == "allow",
		Archive:        bool(s.Archive),
		KeepPartitions: s.Partitions == "delete",
		Vacuum:         Vacuum(cmp.Or(s.Vacuum, "auto")), Limits: s.Limits.limits(),
	}
	if s.Undecided != "error" {
		p.Undecided = Action(s.Undecided)
	}
	if err := p.checkDurations(); err != nil {
		return Policy{}, err
	}
	if err := p.checkTenancy(t); err != nil {
		return Policy{}, err
	}
	for i := range s.Dependents {
		d, err := s.Dependents[i].dependent()
		if err != nil {
			return Policy{}, err
		}
		if err := d.checkDuplicate(p.Dependents); err != nil {
			return Policy{}, err
		}
		p.Dependents = append(p.Dependents, d)
	}
	return p, nil
}

func (p *Policy) checkDurations() error {
	if err := p.Settings.check(); err != nil {
		return err
	}
	if p.MaxLag != nil && (p.MaxLag.Forever || p.MaxLag.IsZero()) {
		return errorAt(p.MaxLag.Pos, "max_lag is %s: write a duration above zero, or remove the key", p.MaxLag.Text)
	}
	return nil
}

// checkTenancy checks the policy's settings against the tenants'.
func (p *Policy) checkTenancy(t *Tenants) error {
	if p.Tenant.None {
		return p.checkNoTenant()
	}
	if t == nil {
		return errorAt(p.Pos, "policy %s needs tenants, but the file has none: add a tenants section, or write tenant: none and a retention", p.Name)
	}
	switch {
	case t.Query.IsSet() && p.Retention.SQL.IsSet():
		return errorAt(p.Retention.SQL.Pos, "retention as SQL needs the tenants' table, but tenants is a query: write a duration, or have the query return the retention")
	case t.Query.IsSet() && p.Hold.IsSet():
		return errorAt(p.Hold.Pos, "hold needs the tenants' table, but tenants is a query: have the query's third column return the hold")
	}
	def, floor := p.Default, p.Min
	if def == nil {
		def = t.Default
	}
	if floor == nil {
		floor = t.Min
	}
	err := checkFloor(def, floor)
	if err != nil && p.Default == nil {
		// The tenants' own pair is valid, so the policy's min is at fault.
		return errorAt(p.Min.Pos, "min %s is longer than the tenants' default %s (line %d): shorten min, or give this policy a default", floor, def, def.Pos.Line)
	}
	return err
}

// checkNoTenant refuses settings that need a tenants' table.
func (p *Policy) checkNoTenant() error {
	const none = "tenant: none has no tenants' table"
	switch {
	case p.Retention.SQL.IsSet():
		return errorAt(p.Retention.SQL.Pos, "retention is SQL: %s to read it from; write a duration, like 90d", none)
	case p.Hold.IsSet():
		return errorAt(p.Hold.Pos, "hold: %s to read it from; remove it, or use where", none)
	case len(p.Overrides) > 0:
		return errorAt(p.Overrides[0].Key.Pos, "overrides: %s whose keys they could name; remove them", none)
	case p.Retention.Duration == nil && p.Default == nil:
		return errorAt(p.Tenant.Pos, "policy %s has tenant: none and no retention of its own: add retention, like 90d", p.Name)
	}
	return checkFloor(p.Default, p.Min)
}

func (s *dependentEntry) dependent() (Dependent, error) {
	d := Dependent{
		Pos: s.Pos, Table: s.Table, Parent: s.Parent, Via: s.Via, Match: s.Match,
		Where: Text(s.Where), Action: Action(s.Action), Redact: s.Redact,
	}
	if d.Action == "" && len(d.Redact) > 0 {
		d.Action = Redact
	}
	switch {
	case d.Action == "":
		return d, errorAt(d.Pos, "dependent %s has no action: add action, one of delete, nullify, keep, or redact", d.Table)
	case d.Action == Redact && len(d.Redact) == 0:
		return d, errorAt(d.Pos, "dependent %s is redacted, but nothing says what to overwrite: add redact, such as {ip: \"NULL\"}", d.Table)
	case d.Action != Redact && len(d.Redact) > 0:
		return d, errorAt(d.Redact[0].Column.Pos, "redact on dependent %s, whose action is %s: remove redact, or write action: redact", d.Table, d.Action)
	case d.Via != nil && d.Match != nil:
		return d, errorAt(d.Via[0].Pos, "via together with match: via names the columns of a foreign key, match replaces a missing one; remove one")
	case d.Where.IsSet() && d.Match == nil:
		return d, errorAt(d.Where.Pos, "where on a dependent without match: a foreign key covers all its rows; add match, or remove where")
	}
	return d, nil
}

// checkDuplicate refuses a second entry for the same reference.
func (d *Dependent) checkDuplicate(others []Dependent) error {
	for i := range others {
		if o := &others[i]; d.sameReference(o) {
			return errorAt(d.Pos, "dependent %s is already listed with the same reference on line %d: remove one, or distinguish them by via or parent", d.Table, o.Pos.Line)
		}
	}
	return nil
}

func (d *Dependent) sameReference(o *Dependent) bool {
	return sameTable(d.Table, o.Table) && sameTable(d.Parent, o.Parent) && d.Where.Value == o.Where.Value &&
		sameSet(d.Via, o.Via, func(t Text) string { return t.Value }) &&
		sameSet(d.Match, o.Match, func(m Match) string { return QuoteName(m.Theirs) + ":" + QuoteName(m.Ours) })
}

func sameTable(a, b Table) bool { return a.Schema == b.Schema && a.Name == b.Name }

// sameSet compares two lists regardless of order. Neither contains duplicates.
func sameSet[T any](a, b []T, name func(T) string) bool {
	in := map[string]bool{}
	for _, x := range a {
		in[name(x)] = true
	}
	for _, x := range b {
		if !in[name(x)] {
			return false
		}
	}
	return len(a) == len(b)
}
