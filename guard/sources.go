package guard

import (
	"context"
	"time"
)

// more reads external sources.
type more struct {
	sources []Source
	since   map[[2]string]Reading // last reading by guard and policy
}

// read asks every source. A source that fails is unknown; the others still count.
func (m *more) read(ctx context.Context, w *Watch) []Reading {
	var all []Reading
	for _, source := range m.sources {
		var readings []Reading
		var err error
		w.exclusively(ctx, func() {
			once, cancel := context.WithTimeout(ctx, w.c.Timeout)
			defer cancel()
			readings, err = source.Read(once)
		})
		if err != nil {
			readings = []Reading{(&watched{name: source.Name}).unknown(reasonOf(err), time.Now())}
		}
		all = append(all, readings...)
	}
	known := map[[2]string]Reading{}
	for i := range all {
		r := &all[i]
		key := [2]string{r.Guard, r.Policy}
		m.complete(r, key)
		known[key] = *r
	}
	m.since = known
	return all
}

// complete fills in the fields that a source left empty.
func (m *more) complete(r *Reading, key [2]string) {
	now := time.Now()
	if r.Share <= 0 || r.Share > 1 {
		r.Share = shareOf(r.State)
	}
	if r.At.IsZero() {
		r.At = now
	}
	if !r.Since.IsZero() {
		return
	}
	r.Since = now
	if last, ok := m.since[key]; ok && last.State == r.State {
		r.Since = last.Since
	}
}
