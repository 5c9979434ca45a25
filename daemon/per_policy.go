package daemon

// perPolicy is something for each policy of the file in force. Whoever has it guards
// it with a mutex of its own.
type perPolicy[T any] struct {
	names []string // in the order of the file
	known map[string]*T
}

// adopt takes over the policies of another file: it keeps what is known of those that
// stay, and forgets the others.
func (p *perPolicy[T]) adopt(names []string) {
	before := p.known
	p.names, p.known = names, make(map[string]*T, len(names))
	for _, name := range names {
		if p.known[name] = before[name]; p.known[name] == nil {
			p.known[name] = new(T)
		}
	}
}

// of is that of a policy; of one that the file no longer has, one that nobody sees.
func (p *perPolicy[T]) of(name string) *T {
	if v := p.known[name]; v != nil {
		return v
	}
	return new(T)
}
