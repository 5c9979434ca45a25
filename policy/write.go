package policy

import (
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// String writes the step as the policy file does, before YAML quotes it.
func (s Step) String() string {
	if !s.Table.IsSet() {
		return QuoteName(s.Column)
	}
	return QuoteName(s.Column) + " -> " + s.Table.String() + "." + QuoteName(s.ToColumn)
}

// YAML writes the path as the value of `tenant:` on one line. A path without steps
// that is not `none` has none: it is "".
func (p Path) YAML() string {
	switch {
	case p.None:
		return "none"
	case len(p.Steps) == 0:
		return ""
	}
	steps := make([]string, len(p.Steps))
	for i, s := range p.Steps {
		steps[i] = Scalar(s.String())
	}
	return "[" + strings.Join(steps, ", ") + "]"
}

// Scalar writes a string so that YAML reads it as that very string, within a flow
// list or mapping too: bare where it can be, else in quotes, and with escapes where it
// holds what nobody sees.
func Scalar(s string) string {
	switch {
	case bare(s):
		return s
	case strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) || unicode.Is(unicode.M, r) }):
		return strconv.QuoteToASCII(s) // its escapes are YAML's too
	}
	return "'" + strings.ReplaceAll(s, "'", "''") + "'"
}

// bare reports whether every reader of YAML, 1.1 included, takes s for a string.
func bare(s string) bool {
	for i, r := range s {
		letter := r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		if !letter && (i == 0 || r != '.' && (r < '0' || r > '9')) {
			return false
		}
	}
	return !slices.Contains([]string{"", "null", "true", "false", "yes", "no", "on", "off", "none", "y", "n"}, strings.ToLower(s))
}
