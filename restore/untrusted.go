package restore

import (
	"errors"
	"fmt"
	"regexp"
	"slices"

	"github.com/reaperdb/reaper/archive"
	"github.com/reaperdb/reaper/internal/pg"
)

// Whoever can write to the store can write a manifest. Its texts that become part of a statement are
// checked here: names are quoted, types are checked by table.typeOf, and settings by set.

const (
	name     = `(?:"(?:[^"]|"")+"|[a-z_][a-z0-9_$]*)`
	cast     = `(?:::` + name + `(?:\.` + name + `)?(?:\[\])?)*`
	collate  = `(?: COLLATE ` + name + `\.` + name + `)?`
	value    = `(?:NULL|true|false|MINVALUE|MAXVALUE|[-+.0-9eE]+|B?'(?:[^']|'')*')`
	valueSet = `\(` + value + `(?:, ` + value + `)*\)`
)

var (
	// comparison is what schema.Comparison writes.
	comparison = regexp.MustCompile(`^\(?p\.` + name + cast + collate + `\)? OPERATOR\(` + name + `\.[-+*/<>=~!@#%^&|` + "`" + `?]+\) c\.` + name + cast + `$`)
	// bound is what pg_get_expr writes of the bound of a partition.
	bound = regexp.MustCompile(`^(?:DEFAULT|FOR VALUES (?:IN ` + valueSet + `|FROM ` + valueSet + ` TO ` + valueSet + `|WITH \(modulus [0-9]+, remainder [0-9]+\)))$`)
)

// checkSettings refuses settings that are not ours.
func checkSettings(settings []archive.Setting) error {
	for _, x := range settings {
		if !slices.Contains(archive.Settings, x) {
			return fmt.Errorf("the manifest has the setting %s = %q, which this version of reaper does not write", x.Name, x.Value)
		}
	}
	return nil
}

// checkCompare refuses an edge whose comparisons are anything but comparisons of columns.
func checkCompare(e *archive.Edge) error {
	for _, c := range e.Compare {
		if !comparison.MatchString(c) {
			return fmt.Errorf("the manifest compares %s with %s by what is no comparison of two columns, so reaper has not written it", pg.Ident(e.Parent.Name), pg.Ident(e.Child.Name))
		}
	}
	return nil
}

// checkPartition refuses a partition whose bound is anything but a bound, or that is none of the
// policy's table.
func checkPartition(p *archive.Partition, root archive.Name) error {
	switch {
	case p.Parent != root:
		return fmt.Errorf("its partition %s is none of table %s", pg.Ident(p.Schema, p.Name.Name), pg.Ident(root.Schema, root.Name))
	case !bound.MatchString(p.Bound):
		return errors.New("the manifest has a bound of a partition that is none, so reaper has not written it")
	}
	return nil
}

// checkTable refuses a table that rows may not come back to.
func (s *segment) checkTable(name archive.Name) error {
	if s.trial || slices.Contains(s.Tables, name) {
		return nil
	}
	return fmt.Errorf("no policy of the policy file deletes or empties rows of table %s, so its rows do not come back: whoever can write to the store could have put them there. If a policy does, reaper check says what is wrong with it; if one did once, say so by --allow-table SCHEMA.TABLE, or use --into SCHEMA", pg.Ident(name.Schema, name.Name))
}

// condition finds the condition of an edge among those that may be evaluated.
func (s *segment) condition(e *archive.Edge) (Condition, error) {
	i := slices.IndexFunc(s.Conditions, func(c Condition) bool { return c.Table == e.Child && c.SQL == e.Where })
	if i < 0 {
		return Condition{}, fmt.Errorf("rows of table %s went by the condition %s, which the policy file does not have; restore with a policy file that has it (dependents, where) and that reaper check accepts, or load the copy by hand, as docs/ARCHIVE.md shows", pg.Ident(e.Child.Schema, e.Child.Name), e.Where)
	}
	return s.Conditions[i], nil
}
