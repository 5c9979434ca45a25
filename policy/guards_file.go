package policy

import (
	"errors"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/invopop/jsonschema"
)

// The section guards as written; see document.go.

type guardsSection struct {
	Pos               Pos                                           `yaml:"-"`
	Every             span                                          `yaml:"every" jsonschema:"default=5s" jsonschema_description:"How often the signals are read."`
	Timeout           span                                          `yaml:"timeout" jsonschema:"default=2s" jsonschema_description:"How long one reading may take."`
	MaxPause          span                                          `yaml:"max_pause" jsonschema:"default=30m" jsonschema_description:"The longest pause, after which a run ends incomplete."`
	Unknown           unknownWord                                   `yaml:"unknown" jsonschema:"default=pause" jsonschema_description:"What a signal means that cannot be read, for guards that do not say it themselves."`
	Hysteresis        hysteresis                                    `yaml:"hysteresis" jsonschema:"default=10%" jsonschema_description:"How far on the good side of its threshold a value has to be before the state is left."`
	Storage           switchable[storageSection]                    `yaml:"storage" jsonschema_description:"The size of the database and its WAL against a limit, or what is free."`
	WALBacklog        switchable[thresholdsSection[sizeThreshold]]  `yaml:"wal_backlog" jsonschema_description:"The WAL that the server has to keep."`
	WALRate           switchable[walRateSection]                    `yaml:"wal_rate" jsonschema_description:"WAL a second; thresholds are sizes."`
	ReplicaLag        switchable[replicaSection]                    `yaml:"replica_lag" jsonschema_description:"How far replicas are behind."`
	Connections       switchable[thresholdsSection[shareThreshold]] `yaml:"connections" jsonschema_description:"The share of the connections that are in use."`
	LockWaits         switchable[thresholdsSection[countThreshold]] `yaml:"lock_waits" jsonschema_description:"How many sessions wait for a lock of reaper's."`
	OldestTransaction switchable[thresholdsSection[timeThreshold]]  `yaml:"oldest_transaction" jsonschema_description:"For how long a transaction has kept vacuum from dead rows."`
	DeadRows          switchable[deadRowsSection]                   `yaml:"dead_rows" jsonschema_description:"The share of dead rows in the tables that are deleted from."`
	Latency           switchable[thresholdsSection[timeThreshold]]  `yaml:"latency" jsonschema_description:"How long a statement takes that does nothing."`
	Checkpoint        switchable[thresholdsSection[shareThreshold]] `yaml:"checkpoint" jsonschema_description:"The WAL since the last checkpoint, as a share of max_wal_size."`
	Custom            []customSection                               `yaml:"custom" jsonschema_description:"Numbers of your own."`
	Allow             windows                                       `yaml:"allow" jsonschema_description:"When batches may run: [days] HH:MM-HH:MM [zone], or a list of that."`
}

// thresholdsSection is a guard whose thresholds are all of one kind.
type thresholdsSection[T thresholdKind] struct {
	Pos     Pos         `yaml:"-"`
	Slow    *T          `yaml:"slow" jsonschema_description:"From here on batches are smaller and fewer; none: never."`
	Pause   *T          `yaml:"pause" jsonschema_description:"From here on there are no batches; none: never."`
	Stop    *T          `yaml:"stop" jsonschema_description:"From here on runs end; none: never."`
	Unknown unknownWord `yaml:"unknown" jsonschema_description:"What it means that this cannot be read. Omitted: as guards.unknown says."`
}

func (s thresholdsSection[T]) levels() levels {
	return levels{asThreshold(s.Slow), asThreshold(s.Pause), asThreshold(s.Stop)}
}

type walRateSection struct {
	thresholdsSection[sizeThreshold] `yaml:",inline"`
	Of                               walOf `yaml:"of" jsonschema:"default=server" jsonschema_description:"Whose WAL: all that the server writes, or what reaper's own batches do."`
}

type deadRowsSection struct {
	thresholdsSection[shareThreshold] `yaml:",inline"`
	Vacuuming                         vacuumingWord `yaml:"vacuuming" jsonschema:"default=go" jsonschema_description:"The state while a vacuum works on a table that is deleted from."`
}

type replicaSection struct {
	thresholdsSection[timeThreshold] `yaml:",inline"`
	SlowBytes                        *sizeThreshold `yaml:"slow_bytes" jsonschema_description:"As slow, by the WAL that is not replayed."`
	PauseBytes                       *sizeThreshold `yaml:"pause_bytes" jsonschema_description:"As pause, by the WAL that is not replayed."`
	StopBytes                        *sizeThreshold `yaml:"stop_bytes" jsonschema_description:"As stop, by the WAL that is not replayed."`
	Replicas                         count          `yaml:"replicas" jsonschema_description:"How many replicas there are at least; with fewer the lag is unknown."`
}

type storageSection struct {
	thresholdsSection[limitThreshold] `yaml:",inline"`
	Limit                             size         `yaml:"limit" jsonschema_description:"What database and WAL together must not reach. Either limit or free."`
	Free                              *freeSection `yaml:"free" jsonschema_description:"Asks how many bytes are free: thresholds are sizes then, and the less the worse. Either limit or free."`
}

type freeSection struct {
	Pos          Pos `yaml:"-"`
	querySection `yaml:",inline"`
}

type querySection struct {
	Query      nonEmpty  `yaml:"query" jsonschema:"required" jsonschema_description:"SQL, or PromQL beside prometheus, that gives one number."`
	Prometheus secretURL `yaml:"prometheus" jsonschema_description:"The URL of the Prometheus that is asked in place of the database; a secret."`
}

type customSection struct {
	Name                               guardName `yaml:"name" jsonschema:"required" jsonschema_description:"Name of the guard: a-z, 0-9, - and _, unlike all others'."`
	querySection                       `yaml:",inline"`
	thresholdsSection[numberThreshold] `yaml:",inline"`
	Below                              truth `yaml:"below" jsonschema:"default=false" jsonschema_description:"true: the lower the worse."`
}

// switchable is a guard that one word switches off.
type switchable[S any] struct {
	set, off bool
	section  S
}

func (s *switchable[S]) decode(key string, n *node) error {
	s.set = true
	if n.kind == kindString && n.text == "off" {
		s.off = true
		return nil
	}
	if n.kind != kindMapping {
		return errorAt(n.pos, "%s must be a mapping of thresholds, or off, not %s", key, n.kind.describe())
	}
	return decode(key, n, reflect.ValueOf(&s.section).Elem())
}

func (switchable[S]) schema() *jsonschema.Schema {
	mapping := reflector().ReflectFromType(reflect.TypeFor[S]())
	mapping.Version = ""
	return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{{Const: "off"}, mapping}}
}

// threshold is one as written, in its guard's unit.
type threshold struct {
	value   float64
	none    bool // not even the default
	percent bool
	pos     Pos
}

// thresholdKind are the ways to write a threshold, one for each unit.
type thresholdKind interface {
	sizeThreshold | shareThreshold | countThreshold | timeThreshold | limitThreshold | numberThreshold
}

// asThreshold is what was written, whatever its unit; nil: nothing was.
func asThreshold[T thresholdKind](t *T) *threshold {
	if t == nil {
		return nil
	}
	plain := threshold(*t)
	return &plain
}

// of turns a share of a limit into bytes.
func (t *limitThreshold) of(limit int64) *threshold {
	plain := asThreshold(t)
	if plain != nil && plain.percent {
		plain.value *= float64(limit)
	}
	return plain
}

// decode reads a threshold by parse, or none. A bare number is one only where
// the unit is a number.
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

// parsePercent reads a whole percentage above zero, as a share of 1.
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

// span is a length of time on the clock, above zero.
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

// or is the length, or another where the file has none.
func (s span) or(otherwise time.Duration) time.Duration {
	if s == 0 {
		return otherwise
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

// or is the share, or another where the file has none.
func (h hysteresis) or(otherwise float64) float64 {
	if h == 0 {
		return otherwise
	}
	return float64(h)
}

type unknownWord string

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
		return errorAt(n.pos, "%s %q must be %s alone: it becomes a label", key, s, want)
	}
	*g = guardName{s, n.pos}
	return nil
}

func (guardName) schema() *jsonschema.Schema {
	return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{{Type: "string", Pattern: "^[a-z0-9_-]+$"}, {Type: "integer"}}}
}

// truth is true or false.
type truth bool

func (t *truth) decode(key string, n *node) error {
	if n.kind != kindBool {
		return errorAt(n.pos, "%s must be true or false, not %s", key, n.kind.describe())
	}
	*t = truth(strings.EqualFold(n.text, "true"))
	return nil
}

func (truth) schema() *jsonschema.Schema { return &jsonschema.Schema{Type: "boolean"} }
