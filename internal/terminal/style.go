package terminal

import (
	"errors"
	"io"
	"os"

	"golang.org/x/term"
)

// Tone is what a color says.
type Tone int

// The tones. Color never says anything that the words do not.
const (
	Plain Tone = iota
	Good
	Watch
	Bad
	Faint
)

// reset ends a color.
const reset = "\x1b[0m"

// sequences begin a color; Plain has none.
var sequences = map[Tone]string{Good: "\x1b[32m", Watch: "\x1b[33m", Bad: "\x1b[31m", Faint: "\x1b[2m"}

// Style is how a writer may be written to. The zero Style is a file: no colors, lines of any
// length.
type Style struct {
	Terminal bool
	Width    int // in columns; 0: lines may have any length
	Height   int // in lines; 0: unknown
	Color    bool
}

// Paint gives text a color, if the style has colors.
func (s Style) Paint(tone Tone, text string) string {
	begin, ok := sequences[tone]
	if !s.Color || !ok || text == "" {
		return text
	}
	return begin + text + reset
}

// The values of --color.
const (
	Auto   = "auto"
	Always = "always"
	Never  = "never"
)

// Choices are the values of --color.
var Choices = []string{Auto, Always, Never}

// Colors reports whether to use colors. By default that is on a terminal which is not dumb, unless
// NO_COLOR is set and not empty; see no-color.org. getenv is os.Getenv.
func Colors(choice string, terminal bool, getenv func(string) string) (bool, error) {
	switch choice {
	case Always:
		return true, nil
	case Never:
		return false, nil
	case Auto:
		return terminal && getenv("NO_COLOR") == "" && getenv("TERM") != "dumb", nil
	}
	return false, errors.New("write auto, always or never")
}

// IsTerminal reports whether w is a terminal.
func IsTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// size is a terminal's; 80 by 24 if it does not tell.
func size(w io.Writer) (width, height int) {
	if f, ok := w.(*os.File); ok {
		if width, height, err := term.GetSize(int(f.Fd())); err == nil && width > 0 && height > 0 {
			return width, height
		}
	}
	return 80, 24
}
