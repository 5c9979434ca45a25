package policy

import (
	"reflect"

	"github.com/invopop/jsonschema"
)

// The section guards as written; see document.go.

type guardsSection struct {
	Pos               Pos                                           `yaml:"-"`
	Every             span                                          `yaml:"every" jsonschema:"default=5s" jsonschema_description:"How often the signals are read."`
	Timeout           span                                          `yaml:"timeout" jsonschema:"default=2s" jsonschema_description:"How long one reading may take."`
	MaxPause          span                                          `yaml:"max_pause" jsonschema:"default=30m" jsonschema_description:"The longest pause, after which a run ends incomplete."`
	Unknown           unknownWord                                   `yaml:"unknown" jsonschema:"default=pause" jsonschema_description:"The state of a signal that cannot be read, for guards that do not set their own."`
	Hysteresis        hysteresis                                    `yaml:"hysteresis" jsonschema:"default=10%" jsonschema_description:"How far a value must clear its threshold before the state is left."`
	Storage           switchable[storageSection]                    `yaml:"storage" jsonschema_description:"The size of the database and its WAL against a limit, or the free space."`
	WALBacklog        switchable[thresholdsSection[sizeThreshold]]  `yaml:"wal_backlog" jsonschema_description:"The WAL that the server has to keep."`
	WALRate           switchable[walRateSection]                    `yaml:"wal_rate" jsonschema_description:"WAL per second; thresholds are sizes."`
	ReplicaLag        switchable[replicaSection]                    `yaml:"replica_lag" jsonschema_description:"How far replicas are behind."`
	Connections       switchable[thresholdsSection[shareThreshold]] `yaml:"connections" jsonschema_description:"The share of the connections that are in use."`
	LockWaits         switchable[thresholdsSection[countThreshold]] `yaml:"lock_waits" jsonschema_description:"Number of sessions that wait for a lock held by reaper."`
	OldestTransaction switchable[thresholdsSection[timeThreshold]]  `yaml:"oldest_transaction" jsonschema_description:"How long a transaction has kept vacuum from removing dead rows."`
	DeadRows          switchable[deadRowsSection]                   `yaml:"dead_rows" jsonschema_description:"The share of dead rows in the tables that are deleted from."`
	Latency           switchable[thresholdsSection[timeThreshold]]  `yaml:"latency" jsonschema_description:"How long a no-op statement takes."`
	Checkpoint        switchable[thresholdsSection[shareThreshold]] `yaml:"checkpoint" jsonschema_description:"The WAL since the last checkpoint, as a share of max_wal_size."`
	Custom            []customSection                               `yaml:"custom" jsonschema_description:"Numbers of your own."`
	Allow             windows                                       `yaml:"allow" jsonschema_description:"When batches may run: [days] HH:MM-HH:MM [zone], or a list of these."`
}

// thresholdsSection is a guard whose thresholds all have the same unit.
type thresholdsSection[T thresholdKind] struct {
	Pos     Pos         `yaml:"-"`
	Slow    *T          `yaml:"slow" jsonschema_description:"From here on batches are smaller and fewer; none: never."`
	Pause   *T          `yaml:"pause" jsonschema_description:"From here on there are no batches; none: never."`
	Stop    *T          `yaml:"stop" jsonschema_description:"From here on runs end; none: never."`
	Unknown unknownWord `yaml:"unknown" jsonschema_description:"The state while this cannot be read. Omitted: guards.unknown."`
}

func (s thresholdsSection[T]) levels() levels {
	return levels{asThreshold(s.Slow), asThreshold(s.Pause), asThreshold(s.Stop)}
}

type walRateSection struct {
	thresholdsSection[sizeThreshold] `yaml:",inline"`
	Of                               walOf `yaml:"of" jsonschema:"default=server" jsonschema_description:"Whose WAL: all that the server writes, or only that of reaper's batches."`
}

type deadRowsSection struct {
	thresholdsSection[shareThreshold] `yaml:",inline"`
	Vacuuming                         vacuumingWord `yaml:"vacuuming" jsonschema:"default=go" jsonschema_description:"The state while a table that is deleted from is being vacuumed."`
}

type replicaSection struct {
	thresholdsSection[timeThreshold] `yaml:",inline"`
	SlowBytes                        *sizeThreshold `yaml:"slow_bytes" jsonschema_description:"Like slow, for WAL not yet replayed."`
	PauseBytes                       *sizeThreshold `yaml:"pause_bytes" jsonschema_description:"Like pause, for WAL not yet replayed."`
	StopBytes                        *sizeThreshold `yaml:"stop_bytes" jsonschema_description:"Like stop, for WAL not yet replayed."`
	Replicas                         count          `yaml:"replicas" jsonschema_description:"Number of replicas to expect; with fewer the lag is unknown."`
}

type storageSection struct {
	thresholdsSection[limitThreshold] `yaml:",inline"`
	Limit                             size         `yaml:"limit" jsonschema_description:"The size that database and WAL together must not reach. Either limit or free."`
	Free                              *freeSection `yaml:"free" jsonschema_description:"A query for the free bytes: thresholds are then sizes, and lower is worse. Either limit or free."`
}

type freeSection struct {
	Pos          Pos `yaml:"-"`
	querySection `yaml:",inline"`
}

type querySection struct {
	Query      nonEmpty  `yaml:"query" jsonschema:"required" jsonschema_description:"SQL, or PromQL beside prometheus, that returns one number."`
	Prometheus secretURL `yaml:"prometheus" jsonschema_description:"The URL of the Prometheus to query instead of the database; a secret."`
}

type customSection struct {
	Name                               guardName `yaml:"name" jsonschema:"required" jsonschema_description:"Name of the guard: a-z, 0-9, - and _, unique among all guards."`
	querySection                       `yaml:",inline"`
	thresholdsSection[numberThreshold] `yaml:",inline"`
	Below                              boolean `yaml:"below" jsonschema:"default=false" jsonschema_description:"true: lower is worse."`
}

// switchable is a guard that the word off turns off.
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
