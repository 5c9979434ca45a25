package terminal

import (
	"strings"
	"unicode"

	"github.com/jedib0t/go-pretty/v6/text"
)

// wrap breaks text into lines of at most so many columns: at blanks, else after a dot, an
// underscore, a comma, a slash or a hyphen of a name, else anywhere. Lines after the first keep the
// indentation of the first. Nothing but blanks is lost. 0: the text is one line.
func wrap(s string, width int) []string {
	if width <= 0 || text.StringWidthWithoutEscSequences(s) <= width {
		return []string{s}
	}
	indent := s[:len(s)-len(strings.TrimLeft(s, " "))]
	if after, ok := strings.CutPrefix(s[len(indent):], "└ "); ok && after != "" {
		indent += "  "
	}
	if len(indent) > width/2 {
		indent = ""
	}
	var lines []string
	for rest := s; rest != ""; {
		prefix := ""
		if len(lines) > 0 {
			prefix = indent
		}
		line, after := breakAt(rest, width-len(prefix))
		lines = append(lines, prefix+line)
		rest = after
	}
	return lines
}

// breakAt cuts the first line off a text.
func breakAt(s string, width int) (line, rest string) {
	used, end, blank, name := 0, len(s), -1, -1
	begun := false // something but blanks is on the line
	for i, r := range s {
		w := text.RuneWidth(r)
		if r == ' ' && begun {
			blank = i
		}
		if used+w > width && i > 0 {
			end = i
			break
		}
		begun = begun || !unicode.IsSpace(r)
		used += w
		if strings.ContainsRune("._,/-", r) {
			name = i + 1
		}
	}
	switch {
	case end == len(s):
		return s, ""
	case blank > 0 && (blank >= end/2 || name < 0):
		end = blank
	case name > end/3:
		end = name
	}
	return strings.TrimRight(s[:end], " "), strings.TrimLeft(s[end:], " ")
}

// cutTo cuts text to so many columns, with … in place of what is missing.
func cutTo(s string, width int) string {
	if width < 1 || text.StringWidthWithoutEscSequences(s) <= width {
		return s
	}
	return text.Trim(s, width-1) + "…"
}
