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
	Unknown           unknownWord                                   `yaml:"unknown" jsonschema:"default=pause" jsonschema_description:"What a signal means that cannot be read, for guards that do not say it themselves."`
	Hysteresis        hysteresis                                    `yaml:"hysteresis" jsonschema:"default=10%" jsonschema_description:"How far on the good side of its threshold a value has to be before the state is left."`
	Storage           switchable[storageSection]                    `yaml:"storage" jsonschema_description:"The size of the database and its WAL against a limit, or what is free."`
	WALBacklog        switchable[thresholdsSection[sizeThreshold]]  `yaml:"wal_backlog" jsonschema_description:"The WAL that the server has to keep."`
	WALRate           switchable[walRateSection]                    `yaml:"wal_rate" jsonschema_description:"WAL a second; thresholds are sizes."`
	ReplicaLag        switchable[replicaSection]                    `yaml:"replica_lag" jsonschema_description:"How far replicas are behind."`
	Connections       switchable[thresholdsSection[shareThreshold]] `yaml:"connections" jsonschema_description:"The share of the connections that are in use."`
	LockWaits         switchable[thresholdsSection[countThreshold]] `yaml:"lock_waits" jsonschema_description:"How many sessions wait for a lock held by reaper."`
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
