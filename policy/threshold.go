package policy

import (
	"errors"
	"math"
	"strconv"
	"strings"

	"github.com/invopop/jsonschema"
)

// threshold is a threshold as written, in its guard's unit.
type threshold struct {
	value   float64
	none    bool // explicitly none, which disables the default
	percent bool
	pos     Pos
}

// thresholdKind lists the types of thresholds, one per unit.
type thresholdKind interface {
	sizeThreshold | shareThreshold | countThreshold | timeThreshold | limitThreshold | numberThreshold
}

// asThreshold drops the unit; nil stays nil.
func asThreshold[T thresholdKind](t *T) *threshold {
	if t == nil {
		return nil
	}
	plain := threshold(*t)
	return &plain
}

// of converts a share of a limit to bytes.
func (t *limitThreshold) of(limit int64) *threshold {
	plain := asThreshold(t)
	if plain != nil && plain.percent {
		plain.value *= float64(limit)
	}
	return plain
}

// decode reads none, or a threshold with parse. Bare numbers are allowed only where the
// unit is a number.
func (t *threshold) decode(key string, n *node, example string, parse func(string) (float64, error)) error {
	*t = threshold{pos: n.pos}
	if n.kind == kindString && n.text == "none" {
		t.none = true
		return nil
	}
	text, err := n.quantity(key, example)
	if err != nil {
		return err
	}
	if t.value, err = parse(text); err != nil {
		return n.in(key, err)
	}
	return nil
}

func orNone(s *jsonschema.Schema) *jsonschema.Schema {
	return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{{Const: "none"}, s}}
}

type sizeThreshold threshold

func (t *sizeThreshold) decode(key string, n *node) error {
	return (*threshold)(t).decode(key, n, "1GB", parseBytes)
}

func (sizeThreshold) schema() *jsonschema.Schema { return orNone(size(0).schema()) }

func parseBytes(s string) (float64, error) {
	v, err := parseSize(s)
	return float64(v), err
}

type shareThreshold threshold

func (t *shareThreshold) decode(key string, n *node) error {
	return (*threshold)(t).decode(key, n, "80%", parsePercent)
}

func (shareThreshold) schema() *jsonschema.Schema { return orNone(percentSchema()) }

func percentSchema() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "string", Pattern: "^0*[1-9][0-9]*%$"}
}

// parsePercent parses a whole percentage above zero, as a fraction.
func parsePercent(s string) (float64, error) {
	number, ok := strings.CutSuffix(s, "%")
	v, err := strconv.Atoi(number)
	if !ok || !isDigits(number) || err != nil || v == 0 || v > math.MaxInt32 {
		return 0, errors.New(strconv.Quote(s) + ": write a whole percentage above zero, like 80%")
	}
	return float64(v) / 100, nil
}

type limitThreshold threshold

func (t *limitThreshold) decode(key string, n *node) error {
	return (*threshold)(t).decode(key, n, "80%", func(s string) (float64, error) {
		if t.percent = strings.HasSuffix(s, "%"); t.percent {
			return parsePercent(s)
		}
		return parseBytes(s)
	})
}

func (limitThreshold) schema() *jsonschema.Schema {
	return orNone(&jsonschema.Schema{AnyOf: []*jsonschema.Schema{percentSchema(), size(0).schema()}})
}

type timeThreshold threshold

func (t *timeThreshold) decode(key string, n *node) error {
	return (*threshold)(t).decode(key, n, "10s", func(s string) (float64, error) {
		d, err := parseSpan(s)
		return d.Seconds(), err
	})
}

func (timeThreshold) schema() *jsonschema.Schema { return orNone(span(0).schema()) }

type countThreshold threshold

func (t *countThreshold) decode(key string, n *node) error {
	if n.kind == kindString {
		return (*threshold)(t).decode(key, n, "3", func(string) (float64, error) {
			return 0, errors.New("write a whole number, without quotes, or none")
		})
	}
	var c count
	if err := c.decode(key, n); err != nil {
		return errorAt(n.pos, "%s must be a whole number from 1 to %d, like 3, or none", key, maxCount)
	}
	*t = countThreshold{value: float64(c), pos: n.pos}
	return nil
}

func (countThreshold) schema() *jsonschema.Schema { return orNone(count(0).schema()) }

type numberThreshold threshold

func (t *numberThreshold) decode(key string, n *node) error {
	v, err := strconv.ParseFloat(n.text, 64)
	if n.kind != kindInt && n.kind != kindFloat || err != nil || math.IsInf(v, 0) || math.IsNaN(v) {
		return errorAt(n.pos, "%s must be a number, like 1000 or 0.5", key)
	}
	*t = numberThreshold{value: v, pos: n.pos}
	return nil
}

func (numberThreshold) schema() *jsonschema.Schema { return &jsonschema.Schema{Type: "number"} }
