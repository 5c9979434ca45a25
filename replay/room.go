package main

// room are the sizes of a scenario, in bytes.
type room struct {
	database int64
	volume   int64
	left     int64 // on the volume at the start
	limit    int64 // of the guard of the storage
	keep     int64 // that has to stay free on the volume
	maxWAL   int64 // max_wal_size
}

// The shares of the database's size that decide what there is room for.
const (
	leftShare = 0.40 // free on the volume
	keepShare = 0.05 // of that must stay free
)

// roomFor makes the sizes: of a database, of its WAL so far, and of all that the
// volume holds now.
func roomFor(database, wal, used int64) room {
	left := int64(leftShare * float64(database))
	keep := int64(keepShare * float64(database))
	return room{
		database: database,
		volume:   used + left,
		left:     left,
		keep:     keep,
		// In whole megabytes, as a policy file has it, and so rounded down.
		limit:  (database + wal + left - keep) >> 20 << 20,
		maxWAL: 10 * database,
	}
}
