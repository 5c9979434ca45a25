package erasure

// Print is all that decides which rows an erasure deletes, overwrites and keeps, one fact a line,
// sorted: for drift, and for certificates. It depends neither on the role nor on indexes.
func (p *Plan) Print() string { return p.printed() }
