package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/reaperdb/reaper/internal/lab"
	"github.com/reaperdb/reaper/internal/pgtemp"
)

// unreadSlot is a replication slot that nothing reads.
func unreadSlot(ctx context.Context, r *replay) error {
	return r.playCause(ctx, cause{
		script: script{name: "slot that nobody reads"},
		names:  "replication slot abandoned",
		start: func(ctx context.Context, s *stage) error {
			return lab.Execute(ctx, s.dsn(), `SELECT pg_create_physical_replication_slot('abandoned', true)`)
		},
		remove: func(ctx context.Context, s *stage) error {
			return lab.Execute(ctx, s.dsn(), `SELECT pg_drop_replication_slot('abandoned')`)
		},
		gone: "the slot is dropped",
	})
}

// failingArchiver is an archive that stopped accepting segments.
func failingArchiver(ctx context.Context, r *replay) error {
	const working = "true"
	command := func(command string) func(context.Context, *stage) error {
		return func(ctx context.Context, s *stage) error {
			return lab.Execute(ctx, s.dsn(), `ALTER SYSTEM SET archive_command = '`+command+`'`, `SELECT pg_reload_conf()`)
		}
	}
	return r.playCause(ctx, cause{
		script: script{name: "archive_command fails", settings: map[string]string{"archive_mode": "on", "archive_command": working}},
		names:  "archiver",
		start:  command("false"),
		remove: command(working),
		gone:   "archive_command succeeds",
	})
}

// pausedReplica is a standby with paused replay. It has a slot, so that the primary keeps
// the WAL that the standby has not received.
func pausedReplica(ctx context.Context, r *replay) error {
	var standby *pgtemp.Server
	replay := func(sql string) func(context.Context, *stage) error {
		return func(ctx context.Context, _ *stage) error { return lab.Execute(ctx, standby.DSN("postgres"), sql) }
	}
	return r.playCause(ctx, cause{
		script: script{
			name: "replay of a replica paused",
			before: func(ctx context.Context, s *stage) (undo func() error, err error) {
				standby, err = follower(ctx, s)
				if err != nil {
					return nil, fmt.Errorf("creating a replica: %w", err)
				}
				return standby.Stop, nil
			},
		},
		names:  "replica standby",
		start:  replay(`SELECT pg_wal_replay_pause()`),
		remove: replay(`SELECT pg_wal_replay_resume()`),
		gone:   "its replay is resumed",
	})
}

// follower creates a replica of the stage's server, with a slot. Its own data is not on the
// volume.
func follower(ctx context.Context, s *stage) (*pgtemp.Server, error) {
	if err := lab.Execute(ctx, s.dsn(), `SELECT pg_create_physical_replication_slot('standby', true)`); err != nil {
		return nil, err
	}
	standby, err := s.server.Replica(ctx, "standby")
	if err != nil {
		return nil, err
	}
	err = lab.Execute(ctx, standby.DSN("postgres"), `ALTER SYSTEM SET primary_slot_name = 'standby'`, `SELECT pg_reload_conf()`)
	if err != nil {
		return nil, errors.Join(err, standby.Stop())
	}
	return standby, nil
}
