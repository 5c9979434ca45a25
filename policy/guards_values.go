package policy

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/invopop/jsonschema"

	"github.com/reaperdb/reaper/guard"
)

// span is a clock duration above zero.
type span time.Duration

func (s *span) decode(key string, n *node) error {
	text, err := n.quantity(key, "5s")
	if err != nil {
		return err
	}
	d, err := parseSpan(text)
	if err != nil {
		return n.in(key, err)
	}
	*s = span(d)
	return nil
}

func (span) schema() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "string", Pattern: "^0*[1-9][0-9]*(ms|s|m|h|d)$"}
}

// or returns the duration, or fallback if the file has none.
func (s span) or(fallback time.Duration) time.Duration {
	if s == 0 {
		return fallback
	}
	return time.Duration(s)
}

func parseSpan(s string) (time.Duration, error) {
	const remedy = "write a whole number above zero with a unit of ms, s, m, h, d, like 10s"
	for _, u := range []struct {
		name string
		unit time.Duration
	}{{"ms", time.Millisecond}, {"s", time.Second}, {"m", time.Minute}, {"h", time.Hour}, {"d", 24 * time.Hour}} {
		if number, ok := strings.CutSuffix(s, u.name); ok && isDigits(number) {
			v, err := multiply(s, number, int64(u.unit), remedy)
			return time.Duration(v), err
		}
	}
	return 0, errors.New("time " + strconv.Quote(s) + ": " + remedy)
}

// hysteresis is a share of a threshold, at most a half.
type hysteresis float64

func (h *hysteresis) decode(key string, n *node) error {
	text, err := n.quantity(key, "10%")
	if err != nil {
		return err
	}
	v, err := parsePercent(text)
	if err != nil {
		return n.in(key, err)
	}
	if v > 0.5 {
		return errorAt(n.pos, "%s is %s: write a percentage from 1%% to 50%%", key, text)
	}
	*h = hysteresis(v)
	return nil
}

func (hysteresis) schema() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "string", Pattern: "^0*([1-9]|[1-4][0-9]|50)%$"}
}

// or returns the share, or fallback if the file has none.
func (h hysteresis) or(fallback float64) float64 {
	if h == 0 {
		return fallback
	}
	return float64(h)
}

// unknownWord is the state of a signal that cannot be read; empty if the file has none.
type unknownWord string

// unknownIgnore makes such a signal count as go. It must be explicit.
const unknownIgnore unknownWord = "ignore"

// or returns own, or u if own is empty.
func (u unknownWord) or(own unknownWord) unknownWord {
	if own == "" {
		return u
	}
	return own
}

// stateOf returns the state of a word; guard.Go for any other.
func stateOf(word string) guard.State {
	for _, s := range []guard.State{guard.Slow, guard.Pause, guard.Stop} {
		if s.String() == word {
			return s
		}
	}
	return guard.Go
}

func (u *unknownWord) decode(key string, n *node) error {
	return decodeChoice(key, n, (*string)(u), "pause", "stop", "slow", "ignore")
}

func (unknownWord) schema() *jsonschema.Schema {
	return choiceSchema("pause", "stop", "slow", "ignore")
}

type walOf string

func (o *walOf) decode(key string, n *node) error {
	return decodeChoice(key, n, (*string)(o), "server", "reaper")
}

func (walOf) schema() *jsonschema.Schema { return choiceSchema("server", "reaper") }

type vacuumingWord string

func (v *vacuumingWord) decode(key string, n *node) error {
	return decodeChoice(key, n, (*string)(v), "go", "slow", "pause")
}

func (vacuumingWord) schema() *jsonschema.Schema { return choiceSchema("go", "slow", "pause") }

type guardName Text

func (g *guardName) decode(key string, n *node) error {
	const want = "a name of a-z, 0-9, - and _"
	s, err := n.nameAs(key, want)
	if err != nil {
		return err
	}
	if strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
		return errorAt(n.pos, "%s %q must be %s only: it is used as a label", key, s, want)
	}
	*g = guardName{s, n.pos}
	return nil
}

func (guardName) schema() *jsonschema.Schema {
	return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{{Type: "string", Pattern: "^[a-z0-9_-]+$"}, {Type: "integer"}}}
}

// boolean is a boolean.
type boolean bool

func (t *boolean) decode(key string, n *node) error {
	if n.kind != kindBool {
		return errorAt(n.pos, "%s must be true or false, not %s", key, n.kind.describe())
	}
	*t = boolean(strings.EqualFold(n.text, "true"))
	return nil
}

func (boolean) schema() *jsonschema.Schema { return &jsonschema.Schema{Type: "boolean"} }
