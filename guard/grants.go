package guard

import "slices"

// Grants returns the predefined roles that these guards need on a server of the given
// version, such as 150004: pg_monitor, or pg_read_all_stats where the size of the WAL
// does not matter; and pg_checkpoint, from PostgreSQL 15 on, where storage is watched,
// because only that guard requests checkpoints.
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

// looksAtSessions reports whether the guard has to see other roles' sessions.
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
