package main

// room holds the sizes of a scenario, in bytes.
type room struct {
	database int64
	volume   int64
	left     int64 // free on the volume at the start
	limit    int64 // limit of the storage guard
	keep     int64 // must stay free on the volume
	maxWAL   int64 // max_wal_size
}

// The available space as shares of the database's size.
const (
	leftShare = 0.40 // free on the volume
	keepShare = 0.05 // must stay free
)

// roomFor computes the sizes from the size of a database, its WAL, and everything on the
// volume.
func roomFor(database, wal, used int64) room {
	left := int64(leftShare * float64(database))
	keep := int64(keepShare * float64(database))
	return room{
		database: database,
		volume:   used + left,
		left:     left,
		keep:     keep,
		// In whole megabytes, as in a policy file, rounded down.
		limit:  (database + wal + left - keep) >> 20 << 20,
		maxWAL: 10 * database,
	}
}
