package policy

// DefaultOf is the retention of p's tenants that have no value of their own,
// or nil: the policy's default, else the tenants'. A policy with tenant: none
// takes nothing from the section tenants.
func (f *File) DefaultOf(p *Policy) *Duration {
	if p.Default != nil || f.Tenants == nil || p.Tenant.None {
		return p.Default
	}
	return f.Tenants.Default
}

// MinOf is the floor under p's retentions, or nil: the policy's min, else the
// tenants'. A policy with tenant: none takes nothing from the section tenants.
func (f *File) MinOf(p *Policy) *Duration {
	if p.Min != nil || f.Tenants == nil || p.Tenant.None {
		return p.Min
	}
	return f.Tenants.Min
}

// OverridesOf are the overrides that hold for p, each key once: the policy's,
// then those of the tenants' that the policy does not replace. Keys are
// compared as text.
func (f *File) OverridesOf(p *Policy) []Override {
	if f.Tenants == nil || p.Tenant.None {
		return p.Overrides
	}
	var merged []Override
	replaced := map[string]bool{}
	for _, o := range p.Overrides {
		replaced[o.Key.Value] = true
		merged = append(merged, o)
	}
	for _, o := range f.Tenants.Overrides {
		if !replaced[o.Key.Value] {
			merged = append(merged, o)
		}
	}
	return merged
}
