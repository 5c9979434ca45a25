package policy

import (
	"reflect"
	"strconv"

	"github.com/invopop/jsonschema"
)

// Breaker says how many more rows than usual may be due when a run begins that nobody answers for.
// The zero Breaker is off.
type Breaker struct {
	Times int     // rows an hour, to the median of earlier runs; above 1
	Share float64 // of the root table, above 0, at most 1, while few earlier runs tell what is usual
}

// DefaultBreaker is the breaker of a file that sets none.
var DefaultBreaker = Breaker{Times: 20, Share: 0.5}

// breakerValue is off, or a mapping; see document.go.
type breakerValue struct{ *Breaker }

type breakerSection struct {
	Times times `yaml:"times" jsonschema:"default=20" jsonschema_description:"How many times as many rows an hour as usual may be due."`
	Share share `yaml:"share" jsonschema:"default=50%" jsonschema_description:"How much of the table may be due while fewer than three runs tell what is usual."`
}

func (b *breakerValue) decode(key string, n *node) error {
	if n.kind != kindMapping {
		if n.text != "off" {
			return errorAt(n.pos, "%s is %q: write off, or {times: 20, share: 50%%}", key, n.text)
		}
		b.Breaker = &Breaker{}
		return nil
	}
	s := breakerSection{Times: times(DefaultBreaker.Times), Share: share(DefaultBreaker.Share)}
	err := decode(key, n, reflect.ValueOf(&s).Elem())
	b.Breaker = &Breaker{Times: int(s.Times), Share: float64(s.Share)}
	return err
}

func (breakerValue) schema() *jsonschema.Schema {
	mapping := reflector().ReflectFromType(reflect.TypeFor[breakerSection]())
	mapping.Version = ""
	return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{choiceSchema("off"), mapping}}
}

// or is the breaker, or another where the file sets none.
func (b breakerValue) or(other Breaker) Breaker {
	if b.Breaker == nil {
		return other
	}
	return *b.Breaker
}

type times int

func (t *times) decode(key string, n *node) error {
	v, err := strconv.Atoi(n.text)
	if n.kind != kindInt || err != nil || v <= 1 || v > 1_000_000 {
		return errorAt(n.pos, "%s is %s: write a whole number above 1, like 20, or breaker: off", key, n.text)
	}
	*t = times(v)
	return nil
}

func (times) schema() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "integer", Minimum: "2", Maximum: "1000000"}
}

type share float64

func (s *share) decode(key string, n *node) error {
	text, err := n.quantity(key, "50%")
	if err != nil {
		return err
	}
	v, err := parsePercent(text)
	if err != nil || v > 1 {
		return errorAt(n.pos, "%s is %q: write a whole percentage from 1%% to 100%%, like 50%%", key, text)
	}
	*s = share(v)
	return nil
}

func (share) schema() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "string", Pattern: "^0*([1-9]|[1-9][0-9]|100)%$"}
}
