package guard

import "slices"

// Grants are the roles of PostgreSQL's own that a role has to be granted for these
// guards, on a server of a version like 150004: pg_monitor, or where the WAL's
// size does not matter pg_read_all_stats; and pg_checkpoint, which there is from 15
// on, where the storage is watched: only a pause of that guard asks for a checkpoint.
func Grants(c Config, version int) []string {
	w := New(c, nil, nil)
	var roles []string
	switch {
	case w.sizesWAL():
		roles = append(roles, monitor)
	case slices.ContainsFunc(w.all, (*watched).looksAtSessions):
		roles = append(roles, statistics)
	}
	if version >= 150000 && w.watches(storageGuard) {
		roles = append(roles, checkpoint)
	}
	return roles
}

// looksAtSessions tells whether the guard wants to see what other roles do.
func (g *watched) looksAtSessions() bool {
	if g.Off != "" {
		return false
	}
	d, ok := g.signal.(deadRows)
	return g.name == replicaGuard || g.name == "oldest_transaction" || ok && d.Vacuuming != Go
}

func (w *Watch) watches(guard string) bool {
	return slices.ContainsFunc(w.all, func(g *watched) bool { return g.name == guard && g.Off == "" })
}
