package policy

import (
	"errors"
	"fmt"
	"strings"
)

// QuoteName writes one part of a name as the policy file does: bare, or in double quotes
// (doubled inside) where the bare form would be read differently: with a dot, a quote, an
// arrow, spaces at an end, or empty.
func QuoteName(name string) string {
	if name != "" && name == strings.TrimSpace(name) &&
		!strings.ContainsAny(name, `."`) && !strings.Contains(name, "->") {
		return name
	}
	return `"` + strings.ReplaceAll(name, `"`, `""`) + `"`
}

// ParseTable parses `table` or `schema.table`. Names are exact, never folded; a part that
// contains a dot needs double quotes.
func ParseTable(s string) (Table, error) {
	parts, err := splitName(s)
	if err != nil {
		return Table{}, err
	}
	switch len(parts) {
	case 1:
		return Table{Name: parts[0]}, nil
	case 2:
		return Table{Schema: parts[0], Name: parts[1]}, nil
	}
	return Table{}, fmt.Errorf("table name %s has %d parts: write table or schema.table, and put a name that contains a dot in double quotes: '\"odd.name\"'", s, len(parts))
}

// parseColumn parses the exact name of one column.
func parseColumn(s string) (string, error) {
	parts, err := splitName(s)
	if err != nil {
		return "", err
	}
	if len(parts) != 1 {
		return "", fmt.Errorf("column name %s contains a dot: write the column alone, or put a name that contains a dot in double quotes: '\"odd.name\"'", s)
	}
	return parts[0], nil
}

// parseStep parses `column` or `column -> Table.column`.
func parseStep(s string) (Step, error) {
	from, to, arrow := cutArrow(s)
	column, err := parseColumn(strings.TrimSpace(from))
	if err != nil {
		return Step{}, err
	}
	step := Step{Column: column}
	if !arrow {
		return step, nil
	}
	parts, err := splitName(strings.TrimSpace(to))
	if err != nil {
		return Step{}, err
	}
	switch len(parts) {
	case 2:
		step.Table = Table{Name: parts[0]}
	case 3:
		step.Table = Table{Schema: parts[0], Name: parts[1]}
	default:
		return Step{}, fmt.Errorf("the arrow in %s leads to %d name parts: write column -> Table.column or column -> schema.Table.column", s, len(parts))
	}
	step.ToColumn = parts[len(parts)-1]
	return step, nil
}

// cutArrow splits s around the first `->` outside double quotes.
func cutArrow(s string) (before, after string, found bool) {
	quoted := false
	for i := range len(s) {
		if s[i] == '"' {
			quoted = !quoted
		}
		if !quoted && strings.HasPrefix(s[i:], "->") {
			return s[:i], s[i+2:], true
		}
	}
	return s, "", false
}

// splitName splits a name at its unquoted dots and removes the quotes.
func splitName(s string) ([]string, error) {
	var parts []string
	for rest := s; ; {
		part, after, err := cutPart(rest)
		if err != nil {
			return nil, fmt.Errorf("name %s: %w", quoteForMessage(s), err)
		}
		parts = append(parts, part)
		if after == "" {
			return parts, nil
		}
		rest = after[1:] // cutPart leaves the dot
	}
}

// cutPart splits off the first part of a name; after is empty or begins with the dot that
// ended the part.
func cutPart(s string) (part, after string, err error) {
	if strings.HasPrefix(s, `"`) {
		return cutQuoted(s)
	}
	if i := strings.IndexByte(s, '.'); i >= 0 {
		s, after = s[:i], s[i:]
	}
	switch {
	case s == "":
		return "", "", errors.New("a part is empty: give every part a name")
	case s != strings.TrimSpace(s):
		return "", "", errors.New("spaces around a part: remove them, or put the part in double quotes")
	case strings.Contains(s, `"`):
		return "", "", errors.New("a double quote inside a bare part: put the whole part in double quotes and double the one inside")
	case strings.Contains(s, "->"):
		return "", "", errors.New("an arrow in a name: arrows are only allowed under tenant; put a name that contains one in double quotes")
	}
	return s, after, nil
}

// cutQuoted splits off a part in double quotes from the front of s.
func cutQuoted(s string) (part, after string, err error) {
	var b strings.Builder
	for rest := s[1:]; ; {
		head, tail, closed := strings.Cut(rest, `"`)
		if !closed {
			return "", "", errors.New("a double quote is never closed: close it")
		}
		b.WriteString(head)
		if !strings.HasPrefix(tail, `"`) {
			after = tail
			break
		}
		b.WriteByte('"')
		rest = tail[1:]
	}
	switch {
	case b.Len() == 0:
		return "", "", errors.New("a part is empty: give every part a name")
	case after != "" && after[0] != '.':
		return "", "", errors.New("text after the closing double quote: only a dot may follow it")
	}
	return b.String(), after, nil
}

// quoteForMessage makes an empty or blank name visible in a message.
func quoteForMessage(s string) string {
	if strings.TrimSpace(s) == "" {
		return fmt.Sprintf("%q", s)
	}
	return s
}
