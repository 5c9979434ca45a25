package main

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/reaperdb/reaper/internal/dbtest"
	"github.com/reaperdb/reaper/web"
)

// Beside a daemon, status measured every policy again: 200 took it 12 s.
func TestStatus_BesideDaemon(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t, letters)
	file := lettersPolicy("@yearly", "")
	s := serve(t, db.DSN(), file, "REAPER_SCAN_INTERVAL=1h")
	var daemons, seen web.Status
	s.await("the lag is measured, and the sizes", 20*time.Second, func() bool {
		_, body := s.get("/api/status")
		daemons = web.Status{}
		return json.Unmarshal([]byte(body), &daemons) == nil && daemons.Policies[0].ScannedAt != nil && len(daemons.Database.Tables) > 0 &&
			db.Int(t, `SELECT count(*) FROM reaper.size WHERE tables::text <> '{}'`) > 0
	})
	look := func() {
		t.Helper()
		c := program(t, db.DSN(), "status", "-o", "json")
		write(t, c.Dir, file)
		out, err := c.Output()
		if err != nil {
			t.Fatal(err)
		}
		seen = web.Status{}
		if err := json.Unmarshal(out, &seen); err != nil {
			t.Fatal(err)
		}
	}
	look()
	want, got := daemons.Policies[0], seen.Policies[0]
	if !got.ScannedAt.Equal(*want.ScannedAt) || got.BacklogRows == nil || *got.BacklogRows != *want.BacklogRows {
		t.Errorf("measured at %v: %v rows; the daemon has measured %d at %v", got.ScannedAt, got.BacklogRows, *want.BacklogRows, want.ScannedAt)
	}
	if len(seen.Database.Tables) != len(daemons.Database.Tables) {
		t.Errorf("tables %+v, want those of the daemon, %+v", seen.Database.Tables, daemons.Database.Tables)
	}
	if err := s.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = s.cmd.Wait()
	db.Exec(t, `UPDATE reaper.lease SET lease_until = now() - interval '1 s'`)
	if look(); !seen.Policies[0].ScannedAt.After(*want.ScannedAt) {
		t.Errorf("measured at %v, although no daemon is there any more", seen.Policies[0].ScannedAt)
	}
}
