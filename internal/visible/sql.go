package visible

import (
	"fmt"
	"strings"
	"unicode"
)

// SQL returns a statement for display, with the same meaning if standard_conforming_strings is
// on: names and strings with characters that Text would escape are written as U&"…" and U&'…',
// comments as by Text. Line breaks between words stay. The contents of E'…', U&"…" and dollar
// quotes are left to Writer.
func SQL(statement string) string {
	if Text(statement) == statement {
		return statement
	}
	var b strings.Builder
	for rest := statement; rest != ""; {
		n := pieceLength(rest)
		b.WriteString(piece(rest[:n]))
		rest = rest[n:]
	}
	return b.String()
}

// piece is one piece of a statement, as SQL displays it.
func piece(text string) string {
	quote := text[0]
	switch {
	case strings.HasPrefix(text, "--"):
		return Text(text)
	case len(text) < 2 || quote != '"' && quote != '\'' || text[len(text)-1] != quote || Text(text) == text:
		return text
	}
	var b strings.Builder
	b.WriteString("U&")
	for _, r := range text {
		switch {
		case r == '\\':
			b.WriteString(`\\`)
		case unicode.IsPrint(r) && !unicode.Is(unicode.M, r):
			b.WriteRune(r)
		case r > 0xffff:
			fmt.Fprintf(&b, `\+%06x`, r)
		default:
			fmt.Fprintf(&b, `\%04x`, r)
		}
	}
	return b.String()
}

// pieceLength returns the length of the first piece of a statement: a comment up to the end of
// its line, something in quotes, a word, or one byte.
func pieceLength(s string) int {
	switch c := s[0]; {
	case strings.HasPrefix(s, "--"):
		if end := strings.IndexByte(s, '\n'); end >= 0 {
			return end
		}
		return len(s)
	case c == '"' || c == '\'':
		return quotedLength(s, 0, false)
	case c == '$':
		return dollarLength(s)
	case isWord(c):
		n := 1
		for n < len(s) && (isWord(s[n]) || s[n] == '$') {
			n++
		}
		switch {
		case n == 1 && (c == 'e' || c == 'E') && n < len(s) && s[n] == '\'':
			return quotedLength(s, n, true)
		case n == 1 && (c == 'u' || c == 'U') && len(s) > 2 && s[1] == '&' && (s[2] == '"' || s[2] == '\''):
			return quotedLength(s, 2, false)
		case n == 1 && strings.IndexByte("bBnNxX", c) >= 0 && n < len(s) && s[n] == '\'':
			return quotedLength(s, n, false)
		}
		return n
	}
	return 1
}

// quotedLength returns the length of what begins with a quote at an offset. A doubled quote does
// not end it.
func quotedLength(s string, quote int, backslashes bool) int {
	for i := quote + 1; i < len(s); i++ {
		switch {
		case backslashes && s[i] == '\\':
			i++
		case s[i] != s[quote]:
		case i+1 < len(s) && s[i+1] == s[quote]:
			i++
		default:
			return i + 1
		}
	}
	return len(s)
}

func dollarLength(s string) int {
	tag := 1
	for tag < len(s) && isWord(s[tag]) {
		tag++
	}
	if tag == len(s) || s[tag] != '$' {
		return tag
	}
	end := strings.Index(s[tag+1:], s[:tag+1])
	if end < 0 {
		return len(s)
	}
	return end + 2*(tag+1)
}

func isWord(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c >= 0x80
}
