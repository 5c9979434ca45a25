package terminal

import (
	"io"
	"strconv"
	"strings"
	"sync"

	"github.com/reaperdb/reaper/internal/visible"
)

// Writer is stdout or stderr. It escapes invisible characters, but for the colors of this package
// if it has colors. It is safe for concurrent use.
type Writer struct {
	to       io.Writer
	safe     *visible.Writer
	terminal bool

	mu    sync.Mutex
	color bool
	block []string // shown below everything else; see Block
	drawn bool     // the block is on the screen
	err   error    // the first that writing has met
}

// NewWriter returns a Writer around a file, or around any writer, which then is no terminal. It has
// no colors yet.
func NewWriter(to io.Writer) *Writer {
	w := &Writer{to: to, terminal: IsTerminal(to)}
	w.safe = visible.NewWriter(to)
	return w
}

// SetColor gives the writer colors, or takes them.
func (w *Writer) SetColor(on bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.color = on
}

// Of is the style of a writer; of any but a *Writer, the zero Style.
func Of(to io.Writer) Style {
	w, ok := to.(*Writer)
	if !ok {
		return Style{}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	s := Style{Terminal: w.terminal, Color: w.color}
	if w.terminal {
		s.Width, s.Height = size(w.to)
	}
	return s
}

// Write writes text above the block, if there is one.
func (w *Writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.erase()
	if err := w.text(string(p)); err != nil {
		return 0, err
	}
	if strings.HasSuffix(string(p), "\n") {
		w.draw()
	}
	return len(p), w.err
}

// text writes text and the colors in it.
func (w *Writer) text(text string) error {
	for text != "" {
		before, sequence := w.cut(text)
		if _, err := w.safe.Write([]byte(before)); err != nil {
			return w.fail(err)
		}
		if sequence != "" {
			if _, err := io.WriteString(w.to, sequence); err != nil {
				return w.fail(err)
			}
		}
		text = text[len(before)+len(sequence):]
	}
	return nil
}

// cut returns what stands before the first color of a text, and that color; empty: there is none.
func (w *Writer) cut(text string) (before, sequence string) {
	if !w.color {
		return text, ""
	}
	for i := range len(text) {
		if text[i] != '\x1b' {
			continue
		}
		if strings.HasPrefix(text[i:], reset) {
			return text[:i], reset
		}
		for _, s := range sequences {
			if strings.HasPrefix(text[i:], s) {
				return text[:i], s
			}
		}
	}
	return text, ""
}

func (w *Writer) fail(err error) error {
	if w.err == nil {
		w.err = err
	}
	return err
}

// Block shows lines below everything that is written, in place of those before; nil: none. Lines
// that do not fit are cut. Without a terminal it does nothing.
func (w *Writer) Block(lines []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.terminal {
		return
	}
	w.erase()
	w.block = lines
	w.draw()
}

// erase takes the block off the screen.
func (w *Writer) erase() {
	if !w.drawn {
		return
	}
	w.drawn = false
	w.control("\x1b[" + strconv.Itoa(len(w.block)) + "A\r\x1b[J")
}

// draw shows the block. Its lines must not wrap, else they could not be erased.
func (w *Writer) draw() {
	if len(w.block) == 0 {
		return
	}
	width, _ := size(w.to)
	for _, line := range w.block {
		_ = w.text(cutTo(line, width-1) + "\n") // w.err keeps the error
	}
	w.drawn = true
}

func (w *Writer) control(sequence string) {
	if _, err := io.WriteString(w.to, sequence); err != nil {
		_ = w.fail(err)
	}
}

// Flush writes what is left of an incomplete character, and returns the first error that any write
// has met.
func (w *Writer) Flush() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.safe.Flush(); err != nil {
		_ = w.fail(err)
	}
	return w.err
}
