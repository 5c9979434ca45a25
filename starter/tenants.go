package starter

import (
	"fmt"
	"slices"
	"strings"

	"github.com/reaperdb/reaper/schema"
)

// ownerNames are usual names of the table that owns rows, likeliest first.
var ownerNames = strings.Fields(`organization organisation tenant workspace account company org realm customer business family household merchant shop school clinic agency club team`)

// Tenants is the table that owns rows.
type Tenants struct {
	Table     *schema.Table
	Key       string
	Retention string // a column; empty if none was found
	Hold      string // a column; empty if none was found
}

// tenants is the table that a person has named or, if nobody has, that seems to own rows.
func (r *reader) tenants(owner *string) (*Tenants, error) {
	switch {
	case owner == nil:
		return r.findTenants(), nil
	case *owner == "":
		return nil, nil
	}
	var found []*schema.Table
	for _, t := range r.tables {
		if t.Name.Name == *owner || t.Name.String() == *owner {
			found = append(found, t)
		}
	}
	switch {
	case len(found) == 0:
		return nil, fmt.Errorf("there is no table %s", *owner)
	case len(found) > 1:
		return nil, fmt.Errorf("there are several tables %s: write it with its schema", *owner)
	case len(primaryKey(found[0])) != 1:
		return nil, fmt.Errorf("%s has no primary key of one column, by which other rows could name a tenant", found[0].Name)
	}
	return tenantsIn(found[0]), nil
}

func tenantsIn(t *schema.Table) *Tenants {
	return &Tenants{Table: t, Key: primaryKey(t)[0], Retention: retentionColumn(t), Hold: holdColumn(t)}
}

// findTenants picks the table that is named like an owner and that most tables lead to. It
// guesses nothing else: without tenants, each policy has a retention of its own.
func (r *reader) findTenants() *Tenants {
	var best *schema.Table
	most, rank := 0, 0
	for _, t := range r.tables {
		i := r.ownerRank(t.Name.Name)
		if i < 0 || len(primaryKey(t)) != 1 || r.isOwned(t) {
			continue
		}
		reach := len(r.graph.Below(t.OID)) - 1
		if reach > most || reach == most && best != nil && i < rank {
			best, most, rank = t, reach, i
		}
	}
	if best == nil {
		return nil
	}
	return tenantsIn(best)
}

// ownerRank is the index of a name in ownerNames, or -1. It may be prefixed by the
// application's name, as in Django: sentry_organization.
func (r *reader) ownerRank(name string) int {
	parts := split(name)
	if len(parts) == 0 || len(parts) > 2 {
		return -1
	}
	i := slices.Index(ownerNames, singular(parts[len(parts)-1]))
	if len(parts) == 2 && i >= 0 && singular(parts[0]) != singular(parts[1]) && !r.isApplicationName(parts[0]) {
		return -1 // user_accounts, email_accounts
	}
	return i
}

// isApplicationName reports whether so many table names begin with a word that it must be the
// application's name.
func (r *reader) isApplicationName(word string) bool {
	n := 0
	for _, t := range r.tables {
		if parts := split(t.Name.Name); len(parts) > 1 && parts[0] == word {
			n++
		}
	}
	return n*5 >= len(r.tables)
}

// isOwned reports whether each row of a table belongs to a row of another, other than its
// creator: the accounts by which a user signs in are no tenants.
func (r *reader) isOwned(t *schema.Table) bool {
	return slices.ContainsFunc(r.graph.Outgoing(t.OID), func(k schema.ForeignKey) bool {
		if k.Parent == t.OID || r.ownerRank(k.ParentName.Name) >= 0 || r.partOf(r.graph.Tables[k.Parent], t) {
			return false
		}
		return !slices.ContainsFunc(k.ChildColumns, func(n string) bool {
			c, _ := t.Column(n)
			return !c.NotNull || hasWord(n, "owner", "creator", "created", "admin", "plan")
		})
	})
}

// retentionColumn returns a column of days, or an interval, named after retention.
func retentionColumn(t *schema.Table) string {
	for _, c := range t.Columns {
		days := slices.Contains([]string{"int2", "int4", "int8"}, c.TypeName) && !hasWord(c.Name, "month", "hour", "year", "week", "minute", "second", "count", "size", "mb", "gb", "byte")
		if hasWord(c.Name, "retention") && !hasWord(c.Name, "policy", "id") && (days || c.TypeName == "interval") {
			return c.Name
		}
	}
	return ""
}

// holdColumn returns a boolean column named after a hold.
func holdColumn(t *schema.Table) string {
	for _, c := range t.Columns {
		if hasWord(c.Name, "hold") && c.TypeName == "bool" {
			return c.Name
		}
	}
	return ""
}
