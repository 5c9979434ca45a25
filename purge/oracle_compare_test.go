package purge_test

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// This file is about values that are equal but not identical: columns of two types or
// collations on the two sides of a reference, and keys with several spellings. Equality is
// decided by PostgreSQL, in plain SQL with explicit casts and collations.

// extensionsSQL creates what the types of a case need, in a schema that is on no search_path.
const extensionsSQL = `CREATE SCHEMA IF NOT EXISTS extensions;
CREATE EXTENSION IF NOT EXISTS citext SCHEMA extensions;
CREATE COLLATION IF NOT EXISTS extensions.ci (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
CREATE COLLATION IF NOT EXISTS extensions.de (provider = icu, locale = 'de');
`

// oracleKinds are the generated kinds of oddities; REAPER_ORACLE_KINDS, separated by commas,
// limits them.
var oracleKinds = []string{"across", "spellings", "zero", "twins", "disabled", "paths", "triggers", "redact"}

// may draws a kind of oddity with a given chance.
func (m *schemaMaker) may(kind string, percent int) bool {
	kinds := oracleKinds
	if s, set := os.LookupEnv("REAPER_ORACLE_KINDS"); set {
		kinds = strings.Split(s, ",")
	}
	return slices.Contains(kinds, kind) && m.chance(percent, kind)
}

func (m *schemaMaker) kinds() []keyKind {
	if m.may("across", 35) {
		return acrossKinds
	}
	return keyKinds
}

func (m *schemaMaker) tenantKinds(usual ...keyKind) []keyKind {
	if m.may("spellings", 40) {
		return spelledKinds
	}
	return usual
}

// link is what relates two columns.
type link int

const (
	byKey     link = iota // a foreign key of the plan
	byPathKey             // a foreign key of the tenant path
	byPath                // the policy file alone
)

const (
	citextType = string(citextKey)
	caseType   = string(caseKey)
	germanType = string(germanKey)
	ansiType   = `text COLLATE "C"`
)

// across is a type that may reference another.
func (m *schemaMaker) across(typ string, by link) string {
	if !m.may("across", 45) {
		return typ
	}
	types := []string{typ}
	switch typ {
	case "text", string(varcharKey):
		types = append(types, citextType, germanType, ansiType, "varchar(60)", "char(60)", "name")
		if by == byKey && m.version < 18 && m.chance(15, "refused collation") {
			types = []string{caseType}
		}
	case citextType:
		if by == byPath {
			types = append(types, "text", "varchar(60)")
		}
	case caseType:
		if m.version < 18 || by == byPath {
			types = append(types, "text", germanType)
		}
	case germanType:
		types = append(types, "text", ansiType)
	case string(charKey):
		types = append(types, "text", "varchar(20)", "char(20)")
	case string(numberKey):
		types = append(types, "numeric(20,4)")
	case string(wholeKey):
		types = append(types, "bigint", "int", "smallint", "numeric")
	case string(halfKey):
		types = append(types, "real", "numeric")
	case string(stampKey):
		types = append(types, "date")
	case string(dateKey):
		types = append(types, "timestamp")
	case string(momentKey):
		if by == byKey && m.chance(30, "refused operator") {
			types = []string{"date", "timestamp"}
		}
	}
	return of(m.draw, "type across", types...)
}

// anchorDefault makes the anchor the default of a reference whose sides print its key alike.
func (m *schemaMaker) anchorDefault(e *genEdge) {
	for i, k := range e.columns {
		if !sameText(e.child.column(k).typ, e.parent.column(e.refs[i]).typ) {
			return
		}
	}
	for i, v := range e.parent.kind.values(0) {
		e.child.column(e.columns[i]).def = quoteSQL(v)
	}
}

// oneCollation gives columns the nondeterministic collation of a key. PostgreSQL 14 misplaces
// the COLLATE of its own ON DELETE SET NULL and SET DEFAULT: rows are left behind, and "SET x =
// DEFAULT COLLATE …" is a syntax error.
func (m *schemaMaker) oneCollation(e *genEdge) {
	for i, k := range e.columns {
		if e.parent.column(e.refs[i]).typ == caseType {
			e.child.column(k).typ = caseType
		}
	}
}

// twin adds a second foreign key over the same columns, as migrations may leave behind: both
// are one relation, decided by one entry.
func (m *schemaMaker) twin(e *genEdge) {
	if e.leaf || !m.may("twins", 6) {
		return
	}
	switch e.onDelete {
	case "NO ACTION":
		e.twin = of(m.draw, "twin", "NO ACTION", "RESTRICT", "CASCADE")
	case "RESTRICT":
		e.twin = "NO ACTION"
	case "CASCADE":
		e.twin = of(m.draw, "twin", "CASCADE", "NO ACTION")
	default:
		e.twin = e.onDelete
	}
	if e.child.protected && e.twin == "CASCADE" {
		e.twin = "NO ACTION"
	}
}

// comparable reports whether a foreign key between two types is unambiguous: its operator
// depends on no setting, and one collation decides.
func (e *genEdge) comparable() bool {
	for i, k := range e.columns {
		theirs, ours := e.child.column(k).typ, e.parent.column(e.refs[i]).typ
		if ours == string(momentKey) && theirs != ours || theirs == caseType && ours != theirs {
			return false
		}
	}
	return true
}

// sameText reports whether a value has the same text in both types.
func sameText(child, parent string) bool {
	return child == parent || strings.HasSuffix(child, "int") && strings.HasSuffix(parent, "int")
}

// spell writes a parent's value, an SQL literal, the way a child may write it.
func (m *schemaMaker) spell(parent, child, value string) string {
	if !m.may("across", 60) && sameText(child, parent) {
		return value
	}
	text := strings.Trim(value, "'")
	switch parent {
	case citextType, caseType:
		return swapCase(value)
	case string(charKey):
		if child == "text" || child == "varchar(20)" {
			return quoteSQL(unquoteSQL(value) + "  ")
		}
	case string(numberKey):
		return quoteSQL(of(m.draw, "scale", text, strings.TrimSuffix(text, "0"), text+"00"))
	case string(wholeKey):
		if strings.HasSuffix(child, "int") {
			return quoteSQL(strings.TrimSuffix(text, ".00"))
		}
		return quoteSQL(of(m.draw, "scale", strings.TrimSuffix(text, ".00"), text+"00"))
	case string(intervalKey):
		var hours int
		if _, err := fmt.Sscanf(text, "%d:", &hours); err == nil {
			return quoteSQL(fmt.Sprintf("%d days", hours/24))
		}
	}
	return value
}

// respell writes a tenant's key the way a policy file or a command may write it.
func (m *schemaMaker) respell(kind keyKind, key string) string {
	switch kind {
	case citextKey, caseKey:
		return swapCase(key)
	case charKey:
		return key + of(m.draw, "blanks", " ", "   ")
	case numberKey:
		return of(m.draw, "scale", key+"0", strings.TrimSuffix(key, "0"), "0"+key)
	case wholeKey:
		return of(m.draw, "scale", strings.TrimSuffix(key, ".00"), key+"0", "0"+key, strings.TrimSuffix(key, ".00")+"e0")
	case intKey:
		return of(m.draw, "integer", "0"+key, " "+key, "+"+key)
	case uuidKey:
		return of(m.draw, "uuid", strings.ToUpper(key), "{"+key+"}", strings.ReplaceAll(key, "-", ""))
	}
	return key
}

func unquoteSQL(s string) string {
	return strings.ReplaceAll(strings.TrimSuffix(strings.TrimPrefix(s, "'"), "'"), "''", "'")
}

// swapCase changes ASCII letters only: without a locale citext is undefined for others.
func swapCase(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z':
			return r - 'a' + 'A'
		case 'A' <= r && r <= 'Z':
			return r - 'A' + 'a'
		}
		return r
	}, s)
}

// equalSQL compares a parent's column with a child's like their foreign key, or like the unique
// index of the parent's column.
func equalSQL(parent, p, child, c string) string {
	switch {
	case parent == citextType:
		return fmt.Sprintf("%s OPERATOR(extensions.=) %s::text::extensions.citext", p, c)
	case parent == caseType:
		return fmt.Sprintf("%s = %s::text COLLATE extensions.ci", p, c)
	case parent == string(charKey):
		return fmt.Sprintf("%s::bpchar = %s::bpchar", p, c)
	case strings.HasPrefix(parent, "numeric"):
		if child == "text" {
			break // a match compares text
		}
		return fmt.Sprintf("%s = %s::numeric", p, c)
	case parent == string(halfKey):
		return fmt.Sprintf("%s = %s::float8", p, c)
	case strings.HasPrefix(parent, "text"), strings.HasPrefix(parent, "varchar"), parent == string(domainKey), child == "text":
	default:
		return fmt.Sprintf("%s = %s", p, c)
	}
	return fmt.Sprintf(`%s::text COLLATE "C" = %s::text COLLATE "C"`, p, c)
}

// joinSQL returns the row numbers on both sides of a reference.
func joinSQL(child *genTable, columns []string, parent *genTable, parentSQL string, refs []string) string {
	on := make([]string, len(columns))
	for i, k := range columns {
		on[i] = equalSQL(parent.column(refs[i]).typ, "p."+pgx.Identifier{refs[i]}.Sanitize(), child.column(k).typ, "c."+pgx.Identifier{k}.Sanitize())
	}
	return fmt.Sprintf("c.rid::text, p.rid::text FROM %s c JOIN %s p ON %s", child.sql(), parentSQL, strings.Join(on, " AND "))
}

// facts are PostgreSQL's answers about the rows of a case before anything is deleted.
type facts struct {
	behind map[*genEdge]map[string][]string // rows that reference a row
	steps  []map[string]string              // by step of the tenant path: the row it leads to
}

// readFacts asks PostgreSQL which rows are related.
func (x *trial) readFacts() *facts {
	f := &facts{behind: map[*genEdge]map[string][]string{}}
	var queries []string
	for i, e := range x.c.edges {
		f.behind[e] = map[string][]string{}
		queries = append(queries, fmt.Sprintf("SELECT %d, ", i)+joinSQL(e.child, e.columns, e.parent, e.parentSQL(), e.refs))
	}
	for i, h := range x.c.path {
		f.steps = append(f.steps, map[string]string{})
		queries = append(queries, fmt.Sprintf("SELECT %d, ", -1-i)+joinSQL(h.before, h.from, h.table, h.table.sql(), h.table.key[:len(h.from)]))
	}
	rows, err := x.own.Query(x.ctx, strings.Join(queries, " UNION ALL "))
	if err != nil {
		x.fail("reading the references: %v", err)
	}
	var i int
	var child, parent string
	if _, err := pgx.ForEachRow(rows, []any{&i, &child, &parent}, func() error {
		if i < 0 {
			f.steps[-1-i][child] = parent
			return nil
		}
		f.behind[x.c.edges[i]][parent] = append(f.behind[x.c.edges[i]][parent], child)
		return nil
	}); err != nil {
		x.fail("reading the references: %v", err)
	}
	return f
}
