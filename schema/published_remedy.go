package schema

import (
	"fmt"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/internal/visible"
)

// PublishedProblem describes why PostgreSQL refuses changes to a published table, and the remedy.
func PublishedProblem(x Published) (text, fix string) {
	table, publication := pg.Ident(x.Table.Schema, x.Table.Name), pg.Ident(x.Publication)
	columns := pg.List(len(x.Columns), func(i int) string {
		if x.Columns[i] == "*" {
			return "the whole row" // used in a row filter
		}
		return pg.Ident(x.Columns[i])
	})
	full := "ALTER TABLE " + table + " REPLICA IDENTITY FULL;"
	switch x.Why {
	case IdentityFilter:
		return fmt.Sprintf("publication %s has a row filter (WHERE) on %s with columns that are not of its replica identity (%s)", x.Publication, x.Table, columns),
			fmt.Sprintf("%s -- if the table has no column list in %s; or let the filter use columns of the replica identity alone, or take it out", full, visible.Text(publication))
	case IdentityList:
		if x.Full {
			return fmt.Sprintf("publication %s has a column list on %s, whose replica identity is FULL", x.Publication, x.Table),
				fmt.Sprintf("take the column list out of %s; or ALTER TABLE %s REPLICA IDENTITY DEFAULT, if it has a primary key and the list has the key's columns", publication, table)
		}
		return fmt.Sprintf("publication %s has a column list on %s without columns of its replica identity (%s)", x.Publication, x.Table, columns),
			fmt.Sprintf("add %s to the column list in %s, or take the list out", columns, publication)
	case IdentityUnstored:
		return fmt.Sprintf("publication %s leaves out generated columns of the replica identity of %s (%s)", x.Publication, x.Table, columns),
			fmt.Sprintf("ALTER PUBLICATION %s SET (publish_generated_columns = stored); -- where they are virtual, ALTER TABLE %s REPLICA IDENTITY DEFAULT, with a primary key", publication, visible.Text(table))
	default:
		return fmt.Sprintf("%s has no replica identity, and publication %s replicates it", x.Table, x.Publication),
			full + " -- or give it a primary key"
	}
}
