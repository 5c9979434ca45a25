package visible

import (
	"fmt"
	"io"
	"sync"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Writer writes text with invisible characters replaced by escapes. Line breaks and tabs pass.
// It is safe for concurrent use.
type Writer struct {
	to     io.Writer
	escape func(b []byte, r rune, raw []byte) []byte

	mu   sync.Mutex
	part []byte // the start of an incomplete character
}

// NewWriter returns a Writer for text.
func NewWriter(to io.Writer) *Writer {
	return &Writer{to: to, escape: func(b []byte, r rune, raw []byte) []byte {
		if r == utf8.RuneError && len(raw) == 1 {
			return fmt.Appendf(b, `\x%02x`, raw[0])
		}
		return append(b, escape(r)...)
	}}
}

// NewJSONWriter returns a Writer for JSON, whose meaning is unchanged: outside of strings it has
// no character to escape.
func NewJSONWriter(to io.Writer) *Writer {
	return &Writer{to: to, escape: func(b []byte, r rune, _ []byte) []byte {
		for _, unit := range utf16.Encode([]rune{r}) {
			b = fmt.Appendf(b, `\u%04x`, unit)
		}
		return b
	}}
}

// Write writes p and returns the number of bytes of p written.
func (w *Writer) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	text := p
	if len(w.part) > 0 {
		text = append(w.part, p...)
		w.part = nil
	}
	var out []byte
	for len(text) > 0 {
		r, n := utf8.DecodeRune(text)
		if r == utf8.RuneError && n == 1 && !utf8.FullRune(text) {
			w.part = append([]byte(nil), text...)
			break
		}
		if r == '\n' || r == '\t' || unicode.IsPrint(r) && (r != utf8.RuneError || n > 1) {
			out = append(out, text[:n]...)
		} else {
			out = w.escape(out, r, text[:n])
		}
		text = text[n:]
	}
	if len(out) == 0 {
		return len(p), nil
	}
	if _, err := w.to.Write(out); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Flush writes the rest of an incomplete character.
func (w *Writer) Flush() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []byte
	for i := range w.part {
		out = w.escape(out, utf8.RuneError, w.part[i:i+1])
	}
	w.part = nil
	if len(out) == 0 {
		return nil
	}
	_, err := w.to.Write(out)
	return err
}
