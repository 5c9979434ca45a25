package erasure

import "github.com/reaperdb/reaper/schema"

// Way is one way in which rows of a table are a tenant's.
type Way struct {
	// Key is the foreign key that it follows, to the tenants or to Parent; nil: the file names a
	// column, a path or SQL.
	Key    *schema.ForeignKey
	Parent *Table // nil: the row itself holds the key
	// Text says it in words, the same always: invoices.org_id -> orgs.id.
	Text string
}
