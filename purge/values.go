package purge

import (
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgtype"
)

// column is a list of values, as PostgreSQL prints them; nil is NULL. What came
// from the database as one array stays one until somebody looks at a single value:
// most of it goes back as it came.
type column struct {
	array string // {…}; empty: items are all there is
	n     int    // values in array
	items []*string
}

func (c *column) len() int {
	if c.array != "" {
		return c.n
	}
	return len(c.items)
}

// all are the values one by one.
func (c *column) all() []*string {
	if c.array != "" {
		items := make([]*string, 0, c.n)
		if err := pgtype.NewMap().Scan(pgtype.TextArrayOID, pgtype.TextFormatCode, []byte(c.array), &items); err != nil {
			panic(fmt.Sprintf("an array that PostgreSQL has printed: %v", err))
		}
		c.array, c.items = "", items
	}
	return c.items
}

func (c *column) add(v *string) { c.items = append(c.all(), v) }

// bound is what stands for the list in a statement.
func (c *column) bound() any {
	if c.array != "" {
		return c.array
	}
	return c.items
}

// values is a set of tuples, column by column.
type values []*column

func newValues(columns int) values {
	v := make(values, columns)
	for i := range v {
		v[i] = &column{}
	}
	return v
}

func (v values) len() int {
	if len(v) == 0 {
		return 0
	}
	return v[0].len()
}

// some gives the tuples with these ordinals (from 0).
func (v values) some(ordinals []int) values {
	part := newValues(len(v))
	for k := range v {
		for _, i := range ordinals {
			part[k].add(v[k].all()[i])
		}
	}
	return part
}

// list binds a column and gives its placeholder, cast to an array of a type.
func (s *statement) list(c *column, typ string) string { return s.cast(c.bound(), typ+"[]") }

// gathered makes one row of the rows of a query: their number, and an array of
// each of these columns of it.
func gathered(query string, columns []string) string {
	arrays := make([]string, len(columns))
	for i, c := range columns {
		arrays[i] = ", coalesce(array_agg(reaper_x." + c + "), '{}')::text"
	}
	return "SELECT count(*)" + strings.Join(arrays, "") + "\n  FROM (" + query + ") reaper_x"
}
