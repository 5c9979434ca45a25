package policy

// DefaultOf returns the retention of p's tenants without a value of their own, or nil: the
// policy's default, else the tenants'. A policy with tenant: none ignores the tenants
// section.
func (f *File) DefaultOf(p *Policy) *Duration {
	if p.Default != nil || f.Tenants == nil || p.Tenant.None {
		return p.Default
	}
	return f.Tenants.Default
}

// MinOf returns the floor of p's retentions, or nil: the policy's min, else the tenants'.
// A policy with tenant: none ignores the tenants section.
func (f *File) MinOf(p *Policy) *Duration {
	if p.Min != nil || f.Tenants == nil || p.Tenant.None {
		return p.Min
	}
	return f.Tenants.Min
}

// OverridesOf returns the overrides that apply to p, each key once: the policy's, then the
// tenants' that it does not replace. Keys are compared as text.
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
