package pg

import (
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgtype"
)

// TextType is the name of the type text under any search_path.
const TextType = "pg_catalog.text"

// Column is a list of values as PostgreSQL prints them; nil is NULL. A list that came from the
// database as one array stays an array until a single value is needed: most lists are sent back
// unchanged.
type Column struct {
	array string // {…}; empty: Items holds the values
	n     int    // number of values in array
	Items []*string
}

// Len is the number of values.
func (c *Column) Len() int {
	if c.array != "" {
		return c.n
	}
	return len(c.Items)
}

// All are the values one by one.
func (c *Column) All() []*string {
	if c.array != "" {
		items := make([]*string, 0, c.n)
		if err := pgtype.NewMap().Scan(pgtype.TextArrayOID, pgtype.TextFormatCode, []byte(c.array), &items); err != nil {
			panic(fmt.Sprintf("parsing an array printed by PostgreSQL: %v", err))
		}
		c.array, c.Items = "", items
	}
	return c.Items
}

// Add adds a value; nil is NULL.
func (c *Column) Add(v *string) { c.Items = append(c.All(), v) }

// Text is the list as PostgreSQL prints an array.
func (c *Column) Text() string {
	if c.array != "" {
		return c.array
	}
	var b strings.Builder
	for i, v := range c.Items {
		if i > 0 {
			b.WriteByte(',')
		}
		if v == nil {
			b.WriteString("NULL")
			continue
		}
		b.WriteString(`"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(*v) + `"`)
	}
	return "{" + b.String() + "}"
}

// bound is the value to bind in a statement.
func (c *Column) bound() any {
	if c.array != "" {
		return c.array
	}
	return c.Items
}

// Values is a set of tuples, by column.
type Values []*Column

// NewValues returns an empty set of tuples with this many columns.
func NewValues(columns int) Values {
	v := make(Values, columns)
	for i := range v {
		v[i] = &Column{}
	}
	return v
}

// Len is the number of tuples.
func (v Values) Len() int {
	if len(v) == 0 {
		return 0
	}
	return v[0].Len()
}

// AddAll adds other tuples.
func (v Values) AddAll(others Values) {
	for i := range v {
		v[i].Items = append(v[i].All(), others[i].All()...)
	}
}

// Some returns the tuples with these indexes.
func (v Values) Some(ordinals []int) Values {
	part := NewValues(len(v))
	for k := range v {
		for _, i := range ordinals {
			part[k].Add(v[k].All()[i])
		}
	}
	return part
}

// Places are locations of rows: tableoid and ctid of each.
type Places struct{ Tables, CTIDs *Column }

// Array binds a column and returns its placeholder, cast to an array of a type.
func (s *Statement) Array(c *Column, typ string) string { return s.Cast(c.bound(), typ+"[]") }

// Gathered turns the rows of a query into one row: their number, and an array for each of these
// columns.
func Gathered(query string, columns []string) string {
	arrays := make([]string, len(columns))
	for i, c := range columns {
		arrays[i] = ", coalesce(array_agg(reaper_x." + c + "), '{}')::text"
	}
	return "SELECT count(*)" + strings.Join(arrays, "") + "\n  FROM (" + query + ") reaper_x"
}
