package erasure

// LockTenantsSQL locks the tenants' table in a mode, such as ROW EXCLUSIVE.
func (p *Plan) LockTenantsSQL(mode string) string {
	return "LOCK TABLE " + fromTable(p.Tenants) + " IN " + mode + " MODE"
}
