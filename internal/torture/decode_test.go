package torture

import (
	"fmt"
	"strings"
	"time"
)

// tuple is a row by column, as text. NULL columns are absent.
type tuple map[string]string

// change is one row that a transaction inserted, updated or deleted.
type change struct {
	table string // without its schema
	op    string // INSERT, UPDATE or DELETE
	old   tuple  // of UPDATE and DELETE
	new   tuple  // of INSERT and UPDATE
}

// decodeChange parses a line of test_decoding about a row of a table with REPLICA IDENTITY FULL.
func decodeChange(line string) (c change, err error) {
	rest, ok := strings.CutPrefix(line, "table ")
	if !ok {
		return c, fmt.Errorf("decoding %q: not a change of a row", line)
	}
	name, rest, ok := strings.Cut(rest, ": ")
	if !ok {
		return c, fmt.Errorf("decoding %q: no table", line)
	}
	c.table = strings.TrimPrefix(name, "public.")
	c.op, rest, ok = strings.Cut(rest, ":")
	if !ok {
		return c, fmt.Errorf("decoding %q: no operation", line)
	}
	switch c.op {
	case "INSERT":
		c.new, _, err = decodeTuple(rest)
	case "DELETE":
		c.old, _, err = decodeTuple(rest)
	case "UPDATE":
		if old, found := strings.CutPrefix(rest, " old-key:"); found {
			if c.old, rest, err = decodeTuple(old); err != nil {
				break
			}
		}
		c.new, _, err = decodeTuple(strings.TrimPrefix(rest, " new-tuple:"))
	default:
		err = fmt.Errorf("unknown operation %q", c.op)
	}
	if err != nil {
		return c, fmt.Errorf("decoding %q: %w", line, err)
	}
	return c, nil
}

// decodeTuple parses " name[type]:value" until the line ends or a new tuple begins. Names are
// never quoted here.
func decodeTuple(text string) (t tuple, rest string, err error) {
	t = tuple{}
	for strings.HasPrefix(text, " ") && !strings.HasPrefix(text, " new-tuple:") {
		name, tail, ok := strings.Cut(text[1:], "[")
		if !ok {
			return nil, "", fmt.Errorf("no type after %q", text)
		}
		_, tail, ok = strings.Cut(tail, "]:")
		if !ok {
			return nil, "", fmt.Errorf("no value after %q", text)
		}
		var value string
		var null bool
		if value, null, text, err = decodeValue(tail); err != nil {
			return nil, "", err
		}
		if !null {
			t[name] = value
		}
	}
	return t, text, nil
}

// decodeValue parses a quoted value, with doubled quotes, or a bare one that ends at a space.
func decodeValue(text string) (value string, null bool, rest string, err error) {
	if !strings.HasPrefix(text, "'") {
		value, rest = text, ""
		if end := strings.IndexByte(text, ' '); end >= 0 {
			value, rest = text[:end], text[end:]
		}
		return value, value == "null", rest, nil
	}
	for end := 1; end < len(text); end++ {
		switch {
		case text[end] != '\'':
		case end+1 < len(text) && text[end+1] == '\'':
			end++
		default:
			return strings.ReplaceAll(text[1:end], "''", "'"), false, text[end+1:], nil
		}
	}
	return "", false, "", fmt.Errorf("no end of the value %q", text)
}

// timestamp parses a timestamptz as printed with DateStyle ISO and TimeZone UTC.
func timestamp(text string) (time.Time, error) {
	return time.Parse("2006-01-02 15:04:05.999999-07", text)
}

// mustTime parses a timestamptz printed by PostgreSQL.
func mustTime(text string) time.Time {
	at, err := timestamp(text)
	if err != nil {
		panic(err)
	}
	return at
}
