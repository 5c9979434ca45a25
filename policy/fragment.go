package policy

import (
	"errors"
	"fmt"
	"strings"
)

// checkFragment refuses text that cannot be one SQL expression over one table, or that
// would change the surrounding statement. PostgreSQL checks the rest.
func checkFragment(s string) error {
	words, err := lexSQL(s)
	if err != nil {
		return err
	}
	if len(words) == 0 {
		return errors.New("SQL is empty: write an expression, or remove the key")
	}
	for _, w := range words {
		switch {
		case w.text == ";":
			return errors.New("a semicolon in SQL: write one expression without it")
		case w.text == "," && w.depth == 0:
			return errors.New("a comma outside parentheses: write one expression")
		case w.is("SELECT"), w.is("TABLE"):
			return fmt.Errorf("the keyword %s: SQL here is over this table alone, without subqueries; put a column of that name in double quotes", strings.ToUpper(w.text))
		}
	}
	return nil
}

// checkQuery refuses text that cannot be a single read-only statement, and returns it
// without a trailing semicolon. Messages say what the query has to return.
func checkQuery(s, gives string) (string, error) {
	words, err := lexSQL(s)
	if err != nil {
		return "", err
	}
	s = strings.TrimSpace(s)
	if n := len(words); n > 0 && words[n-1].text == ";" {
		words = words[:n-1]
		s = strings.TrimSpace(strings.TrimSuffix(s, ";"))
	}
	if len(words) == 0 {
		return "", errors.New("the query is empty: write one that returns " + gives)
	}
	if w := words[0]; !w.is("SELECT") && !w.is("WITH") && !w.is("VALUES") && !w.is("TABLE") {
		return "", errors.New("the query must begin with SELECT, WITH, VALUES or TABLE, and return " + gives)
	}
	for _, w := range words {
		if w.text == ";" {
			return "", errors.New("a semicolon inside the query: write one statement")
		}
	}
	return s, nil
}

// word is a piece of SQL outside quotes: a keyword or name, a number, or one character.
// Quoted pieces have an empty text.
type word struct {
	text  string
	depth int // number of enclosing parentheses and brackets
}

func (w word) is(keyword string) bool { return strings.EqualFold(w.text, keyword) }

// lexSQL splits SQL into words by PostgreSQL's rules with standard_conforming_strings on.
// It refuses unbalanced brackets and quotes, comments and parameters.
func lexSQL(s string) ([]word, error) {
	var words []word
	var open []byte // closing brackets still expected
	for rest := strings.TrimLeft(s, sqlSpace); rest != ""; rest = strings.TrimLeft(rest, sqlSpace) {
		n, err := lexWord(rest)
		if err != nil {
			return nil, err
		}
		w := word{depth: len(open), text: rest[:n]}
		switch c := rest[0]; {
		case n > 1 && (rest[n-1] == '\'' || c == '"' || c == '$'):
			w.text = "" // quoted
		case c == '(':
			open = append(open, ')')
		case c == '[':
			open = append(open, ']')
		case c == ')' || c == ']':
			if len(open) == 0 || open[len(open)-1] != c {
				return nil, fmt.Errorf("a %c without its opening bracket in SQL: balance the brackets", c)
			}
			open = open[:len(open)-1]
		}
		words = append(words, w)
		rest = rest[n:]
	}
	if len(open) > 0 {
		return nil, fmt.Errorf("a bracket in SQL is never closed: add the missing %c", open[len(open)-1])
	}
	return words, nil
}

const sqlSpace = " \t\n\r\f\v"

// lexWord returns the length of the word at the start of s.
func lexWord(s string) (int, error) {
	c := s[0]
	switch {
	case strings.HasPrefix(s, "--"), strings.HasPrefix(s, "/*"):
		return 0, errors.New("a comment in SQL: move it to a YAML comment (#) above the key")
	case c == '\'' || c == '"':
		return lexQuoted(s, c, false)
	case c == '$':
		return lexDollar(s)
	case isDigit(c) || c == '.' && len(s) > 1 && isDigit(s[1]):
		return lexNumber(s)
	case isWordStart(c):
		n := 1
		for n < len(s) && (isWordStart(s[n]) || isDigit(s[n]) || s[n] == '$') {
			n++
		}
		if n == 1 && strings.IndexByte("eEbBxXnN", c) >= 0 && strings.HasPrefix(s[1:], "'") {
			q, err := lexQuoted(s[1:], '\'', c == 'e' || c == 'E')
			return 1 + q, err
		}
		return n, nil
	}
	return 1, nil
}

// lexQuoted returns the length of a quoted string or name, including its quotes. With
// escapes, a backslash escapes the next character.
func lexQuoted(s string, quote byte, escapes bool) (int, error) {
	for i := 1; i < len(s); i++ {
		switch {
		case escapes && s[i] == '\\':
			i++
		case s[i] != quote:
		case i+1 < len(s) && s[i+1] == quote:
			i++
		default:
			return lexContinuation(s, i+1, escapes)
		}
	}
	return 0, fmt.Errorf("a quote (%c) in SQL is never closed: close it", quote)
}

// lexContinuation returns the length of a quoted string whose first part ends at end.
// After a line break, a string with escapes continues, still with escapes. Continuations
// of other strings read the same on their own.
func lexContinuation(s string, end int, escapes bool) (int, error) {
	next := strings.TrimLeft(s[end:], sqlSpace)
	blanks := s[end : len(s)-len(next)]
	if !escapes || !strings.HasPrefix(next, "'") || !strings.ContainsAny(blanks, "\n\r") {
		return end, nil
	}
	n, err := lexQuoted(next, '\'', true)
	return end + len(blanks) + n, err
}

// lexDollar returns the length of a dollar-quoted string.
func lexDollar(s string) (int, error) {
	tag := 1
	for tag < len(s) && (isWordStart(s[tag]) || isDigit(s[tag])) {
		tag++
	}
	if tag > 1 && isDigit(s[1]) {
		return 0, fmt.Errorf("a parameter (%s) in SQL: parameters are not supported here; write the value", s[:tag])
	}
	if tag == len(s) || s[tag] != '$' {
		return 0, errors.New("a lone $ in SQL: close the dollar quote, or remove it")
	}
	delimiter := s[:tag+1]
	end := strings.Index(s[len(delimiter):], delimiter)
	if end < 0 {
		return 0, fmt.Errorf("a dollar quote (%s) in SQL is never closed: close it", delimiter)
	}
	return end + 2*len(delimiter), nil
}

// lexNumber returns the length of a number. It refuses a word directly after it:
// PostgreSQL 14 reads `1y` as the number 1 with a column alias.
func lexNumber(s string) (int, error) {
	n := digitsAt(s, 0)
	if n < len(s) && s[n] == '.' {
		n = digitsAt(s, n+1)
	}
	if n < len(s) && (s[n] == 'e' || s[n] == 'E') {
		exponent := n + 1
		if exponent < len(s) && (s[exponent] == '+' || s[exponent] == '-') {
			exponent++
		}
		if end := digitsAt(s, exponent); end > exponent {
			n = end
		}
	}
	if n < len(s) && (isWordStart(s[n]) || s[n] == '$') {
		return 0, fmt.Errorf("a word directly after the number %s in SQL: separate them; a duration is written like 90d or interval '90 days'", s[:n])
	}
	return n, nil
}

// digitsAt returns the index after the digits that begin at i.
func digitsAt(s string, i int) int {
	for i < len(s) && isDigit(s[i]) {
		i++
	}
	return i
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isWordStart(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_' || c >= 0x80
}
