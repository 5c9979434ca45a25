package policy

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/invopop/jsonschema"
)

// limits applies the defaults.
func (l limitsSection) limits() Limits {
	limits := DefaultLimits
	if l.Rows != 0 {
		limits.Rows = int(l.Rows)
	}
	if l.TotalRows != 0 {
		limits.TotalRows = int(l.TotalRows)
	}
	if l.Bytes != 0 {
		limits.Bytes = int64(l.Bytes)
	}
	if l.Time != 0 {
		limits.Time = time.Duration(l.Time)
	}
	if l.Pace != "" {
		limits.Pace = l.Pace.share()
	}
	if l.Pace == "gentle" {
		limits.Alone = true
		if l.Time == 0 {
			limits.Time = gentleTime
		}
	}
	return limits
}

// size is a number of bytes, at least one.
type size int64

func (s *size) decode(key string, n *node) error {
	text, err := n.quantity(key, "64MB")
	if err != nil {
		return err
	}
	v, err := parseSize(text)
	if err != nil {
		return n.in(key, err)
	}
	*s = size(v)
	return nil
}

func (size) schema() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "string", Pattern: "^0*[1-9][0-9]*(B|KB|MB|GB|TB)$"}
}

// parseSize parses a size: a whole number with a unit, in powers of 1024.
func parseSize(s string) (int64, error) {
	const remedy = "write a whole number above zero with a unit of B, KB, MB, GB, TB, like 64MB"
	for _, u := range []struct {
		name  string
		bytes int64
	}{{"KB", 1 << 10}, {"MB", 1 << 20}, {"GB", 1 << 30}, {"TB", 1 << 40}, {"B", 1}} {
		if number, ok := strings.CutSuffix(s, u.name); ok && isDigits(number) {
			return multiply(s, number, u.bytes, remedy)
		}
	}
	return 0, fmt.Errorf("size %q: %s", s, remedy)
}

// batchTime is the target duration of a batch, above zero.
type batchTime time.Duration

func (t *batchTime) decode(key string, n *node) error {
	text, err := n.quantity(key, "200ms")
	if err != nil {
		return err
	}
	v, err := parseBatchTime(text)
	if err != nil {
		return n.in(key, err)
	}
	*t = batchTime(v)
	return nil
}

func (batchTime) schema() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "string", Pattern: "^0*[1-9][0-9]*(ms|s|m)$"}
}

func parseBatchTime(s string) (time.Duration, error) {
	const remedy = "write a whole number above zero with a unit of ms, s, m, like 200ms"
	for _, u := range []struct {
		name string
		unit time.Duration
	}{{"ms", time.Millisecond}, {"s", time.Second}, {"m", time.Minute}} {
		if number, ok := strings.CutSuffix(s, u.name); ok && isDigits(number) {
			v, err := multiply(s, number, int64(u.unit), remedy)
			return time.Duration(v), err
		}
	}
	return 0, fmt.Errorf("time %q: %s", s, remedy)
}

// The gentle pace: one connection at a time, which leaves the other cores alone, working
// two fifths of the time, in batches so short that waiting for one is hardly noticeable.
const (
	gentleShare = 0.4
	gentleTime  = 50 * time.Millisecond
)

// pace is a share of the time, as written.
type pace string

func (p *pace) decode(key string, n *node) error {
	text, err := n.quantity(key, "25%")
	if err != nil {
		return err
	}
	*p = pace(text)
	if p.share() == 0 {
		return errorAt(n.pos, "%s is %q: write full, gentle, or a whole percentage from 1%% to 100%%, like 25%%", key, text)
	}
	return nil
}

// share is above 0 and at most 1, or 0 if the pace is invalid.
func (p pace) share() float64 {
	switch p {
	case "full":
		return 1
	case "gentle":
		return gentleShare
	}
	v, err := parsePercent(string(p))
	if err != nil || v > 1 {
		return 0
	}
	return v
}

func (pace) schema() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "string", Pattern: "^(full|gentle|0*([1-9][0-9]?|100)%)$"}
}

// quantity returns the text of a number with a unit. A message about a missing unit shows
// example.
func (n *node) quantity(key, example string) (string, error) {
	if n.kind == kindInt || n.kind == kindFloat {
		return "", errorAt(n.pos, "%s: %s has no unit: write it like %s", key, n.text, example)
	}
	return n.textAs(key, "a number with a unit, like "+example)
}

func multiply(s, number string, factor int64, remedy string) (int64, error) {
	v, err := strconv.ParseInt(number, 10, 64)
	switch {
	case err != nil || v > math.MaxInt64/factor:
		return 0, fmt.Errorf("%q is too large: %s", s, remedy)
	case v == 0:
		return 0, fmt.Errorf("%q is zero: %s", s, remedy)
	}
	return v * factor, nil
}
