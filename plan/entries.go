package plan

import (
	"errors"
	"slices"

	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/schema"
)

// entry is an entry under dependents during planning.
type entry struct {
	spec      *policy.Dependent
	used      bool
	ambiguous []schema.Relation // relations to one parent, if it matches more than one
}

// isAmbiguous reports whether the entry ambiguously matches a relation.
func (e *entry) isAmbiguous(r schema.Relation) bool {
	return slices.ContainsFunc(e.ambiguous, func(o schema.Relation) bool { return o.First().OID == r.First().OID })
}

// entries are those of the file. It reports all tables that do not exist.
func (c *compiler) entries() (entries []*entry, err error) {
	for i := range c.plan.Policy.Dependents {
		d := &c.plan.Policy.Dependents[i]
		entries = append(entries, &entry{spec: d})
		for _, t := range []policy.Table{d.Table, d.Parent} {
			if !t.IsSet() {
				continue
			}
			_, missing := c.find(t)
			if missing != nil && !errors.Is(missing, errStop) {
				return nil, missing
			}
			if missing != nil {
				err = missing // go on, to report every missing table
			}
		}
	}
	return entries, err
}
