package policy

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"unicode/utf8"
)

// Parse parses a policy file; name is its path, for messages. It checks everything that
// does not need a database. An error is an *Error: the first mistake, with its position
// and its remedy.
func Parse(name string, data []byte) (*File, error) {
	f, err := parse(data)
	if err != nil {
		var mistake *Error
		if !errors.As(err, &mistake) {
			mistake = &Error{Msg: err.Error()}
		}
		mistake.File = name
		return nil, mistake
	}
	f.Name = name
	return f, nil
}

func parse(data []byte) (f *File, err error) {
	// The YAML library parses untrusted text. A panic in it means an unreadable file and
	// must not crash the program.
	defer func() {
		if p := recover(); p != nil {
			f, err = nil, errorAt(Pos{1, 1}, "the YAML parser could not read the file: check indentation, quotes and brackets")
		}
	}()
	root, err := parseYAML(data)
	if err != nil {
		return nil, err
	}
	if err := checkVersion(root); err != nil {
		return nil, err
	}
	if err := checkPlaceholders(root); err != nil {
		return nil, err
	}
	var doc document
	if err := decode("the policy file", root, reflect.ValueOf(&doc).Elem()); err != nil {
		return nil, err
	}
	return doc.file()
}

// checkVersion runs first, because keys of another version have other meanings.
func checkVersion(root *node) error {
	if root.kind != kindMapping {
		return errorAt(root.pos, "the policy file must be a mapping, not %s: begin with version: 1 and policies:", root.kind.describe())
	}
	for _, p := range root.pairs {
		if p.key.text == "version" {
			var v version
			return v.decode("version", p.value)
		}
	}
	return errorAt(root.pos, "version is missing: begin the file with version: 1")
}

// checkText returns the file as text without a byte order mark.
func checkText(data []byte) (string, error) {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	at := Pos{1, 1}
	for rest := data; len(rest) > 0; {
		r, size := utf8.DecodeRune(rest)
		switch {
		case r == utf8.RuneError && size == 1:
			return "", errorAt(at, "not UTF-8 text: save the file as UTF-8")
		case r == 0:
			return "", errorAt(at, "a NUL character in the file: remove it")
		case r == '\n':
			at = Pos{at.Line + 1, 1}
		default:
			at.Col++
		}
		rest = rest[size:]
	}
	return string(data), nil
}

func errorAt(pos Pos, format string, args ...any) error {
	return &Error{Pos: pos, Msg: fmt.Sprintf(format, args...)}
}
