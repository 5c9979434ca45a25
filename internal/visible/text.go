// Package visible escapes text from outside: names and keys in the database, error messages,
// words of the policy file. On a terminal such text could clear the screen, hide a line or
// reverse it; on a page it could reorder the text around it.
//
// Text, Brief and SQL escape one value, including its line breaks. Values are escaped one by one,
// before they become part of a line or a table's cell, so that no key can break a line. Writer,
// around stdout and stderr, is the safety net: it passes line breaks and tabs, which the program
// itself writes. The control sequences of a progress line have to bypass it.
package visible

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/dustin/go-humanize"
)

// mostMarks bounds the combining marks of one character. More would cover other lines.
const mostMarks = 3

// Text returns a value for display within one line: line breaks, control characters,
// bidirectional overrides, other invisible characters and invalid UTF-8 become escapes as in
// Go strings.
func Text(value string) string {
	if isVisible(value) {
		return value
	}
	var b strings.Builder
	for _, shown := range escapes(value) {
		b.WriteString(shown)
	}
	return b.String()
}

// Brief is Text truncated to a number of characters, followed by the length of the whole value
// in bytes.
func Brief(value string, characters int) string {
	var b strings.Builder
	for _, shown := range escapes(value) {
		if characters -= utf8.RuneCountInString(shown); characters < 0 {
			unit := "bytes"
			if len(value) == 1 {
				unit = "byte"
			}
			fmt.Fprintf(&b, "… (%s %s)", humanize.Comma(int64(len(value))), unit)
			break
		}
		b.WriteString(shown)
	}
	return b.String()
}

// isVisible reports whether Text has nothing to escape. ASCII is the common case.
func isVisible(value string) bool {
	for i := range len(value) {
		if value[i] < ' ' || value[i] > '~' {
			return false
		}
	}
	return true
}

// escapes iterates over the characters of a value as Text displays them, by offset.
func escapes(value string) func(yield func(int, string) bool) {
	return func(yield func(int, string) bool) {
		marks := 0
		for i, r := range value {
			if marks++; !unicode.Is(unicode.M, r) {
				marks = 0
			}
			shown := string(r)
			switch {
			case invalid(r, value[i:]):
				shown = fmt.Sprintf(`\x%02x`, value[i])
			case !unicode.IsPrint(r), marks > mostMarks:
				shown = escape(r)
			}
			if !yield(i, shown) {
				return
			}
		}
	}
}

// invalid reports whether r stands for an invalid byte at the start of rest.
func invalid(r rune, rest string) bool {
	return r == utf8.RuneError && !strings.HasPrefix(rest, "\uFFFD")
}

func escape(r rune) string { return strings.Trim(strconv.QuoteRuneToASCII(r), "'") }
