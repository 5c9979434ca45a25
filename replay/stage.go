package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"strings"

	"github.com/dustin/go-humanize"

	"github.com/reaperdb/reaper/internal/lab"
	"github.com/reaperdb/reaper/internal/pgtemp"
)

// stage is a server whose data is on a volume of its own, filled with the workload and with
// little room left.
type stage struct {
	*volume
	server   *pgtemp.Server
	room     room
	dueMails int64
	staying  map[string]content // the fill's rows that are not due
}

// database holds the workload.
const database = "mail"

// serverSettings override PostgreSQL's defaults. They scale a terabyte volume down to a
// hundred megabytes: WAL is not removed in time on its own, because max_wal_size exceeds the
// available space and the next checkpoint is far off.
var serverSettings = map[string]string{
	"min_wal_size":       "2MB",
	"max_wal_size":       "8MB", // during the fill
	"checkpoint_timeout": "1h",
	"shared_buffers":     "64MB",
	"log_checkpoints":    "off",
}

// largeVolume is enough for any fill; the volume is shrunk afterwards.
const largeVolume = 4 << 30

// setStage sets the stage, with additional server settings.
func (r *replay) setStage(ctx context.Context, settings map[string]string) (s *stage, err error) {
	s = &stage{}
	if s.volume, err = mount(largeVolume); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.tearDown())
		}
	}()
	all := maps.Clone(serverSettings)
	maps.Copy(all, settings)
	if s.server, err = pgtemp.Start(ctx, pgtemp.Options{Data: s.dir, Settings: all, WALSegment: 1}); err != nil {
		return nil, err
	}
	r.Say("filling %d mails", r.mails)
	if err := r.fill(ctx, s); err != nil {
		return nil, fmt.Errorf("filling the workload: %w", err)
	}
	if err := r.shrink(ctx, s); err != nil {
		return nil, err
	}
	return s, nil
}

// tearDown removes everything.
func (s *stage) tearDown() error {
	var err error
	if s.server != nil {
		err = s.server.Stop()
	}
	return errors.Join(err, s.unmount())
}

func (s *stage) dsn() string { return s.server.DSN(database) }

// shrink leaves the volume as much room as in the outage.
func (r *replay) shrink(ctx context.Context, s *stage) error {
	version, err := lab.Version(ctx, s.dsn())
	if err != nil {
		return err
	}
	r.Fact(version)
	bytes, err := lab.Ask[int64](ctx, s.dsn(), `SELECT pg_database_size(current_database())`)
	if err != nil {
		return err
	}
	wal, err := lab.Ask[int64](ctx, s.dsn(), `SELECT sum(size)::bigint FROM pg_ls_waldir()`)
	if err != nil {
		return err
	}
	size, free, err := s.space()
	if err != nil {
		return err
	}
	s.room = roomFor(bytes, wal, size-free)
	if err := s.resize(s.room.volume); err != nil {
		return err
	}
	r.Say("the database has %s, the volume %s", mib(bytes), mib(s.room.volume))
	return lab.Execute(ctx, s.dsn(), fmt.Sprintf("ALTER SYSTEM SET max_wal_size = '%dMB'", s.room.maxWAL>>20), `SELECT pg_reload_conf()`)
}

// log returns the server's log; the file is not on the volume.
func (s *stage) log() (string, error) {
	text, err := os.ReadFile(s.server.LogFile())
	if err != nil {
		return "", fmt.Errorf("reading the server's log: %w", err)
	}
	return string(text), nil
}

// crash returns the log line that reports a crash, or "".
func (s *stage) crash() (string, error) {
	text, err := s.log()
	if err != nil {
		return "", err
	}
	return panicIn(text), nil
}

// panicIn returns the first PANIC in a log.
func panicIn(log string) string {
	for l := range strings.Lines(log) {
		if i := strings.Index(l, "PANIC: "); i >= 0 {
			return strings.Join(strings.Fields(l[i:]), " ")
		}
	}
	return ""
}

func mib(bytes int64) string { return humanize.IBytes(uint64(max(bytes, 0))) }
