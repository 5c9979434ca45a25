//go:build soak

package main

import (
	"io"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/reaperdb/reaper/internal/dbtest"
)

// An erasure that is killed again and again counts exactly what is gone, and ends. make erase-kills
// runs it.
func TestSoak_EraseKilled(t *testing.T) {
	db := dbtest.New(t, leaving+`; INSERT INTO users (org_id) SELECT 'first-1' FROM generate_series(1, 20000); INSERT INTO jobs (org_id) SELECT 'first-1' FROM generate_series(1, 20000)`)
	total := func() int {
		return db.Int(t, `SELECT (SELECT count(*) FROM orgs) + (SELECT count(*) FROM users) + (SELECT count(*) FROM jobs)`)
	}
	before := total()
	policy := strings.Replace(leavingPolicy, "wait: 0s", "wait: 0s\n  limits: {rows: 100}", 1)
	kills := 0
	for pause := 100 * time.Millisecond; ; pause += 37 * time.Millisecond {
		cmd := program(t, db.DSN(), "erase", "--tenant", "first-1", "--reason", "closed", "--yes")
		write(t, cmd.Dir, policy)
		cmd.Stdout, cmd.Stderr = io.Discard, io.Discard
		done := killed(t, cmd, pause)
		db.Exec(t, `UPDATE reaper.run SET lease_until = now() WHERE status = 'running'`)
		if counted, gone := db.Int(t, `SELECT coalesce(sum(rows), 0)::int FROM reaper.erasure_count`), before-total(); counted != gone {
			t.Fatalf("after %d kills, %d rows are gone and %d are counted", kills, gone, counted)
		}
		if done {
			break
		}
		kills++
	}
	if n := db.Int(t, `SELECT count(*)::int FROM orgs WHERE id = 'first-1'`); n != 0 || kills < 5 {
		t.Errorf("after %d kills, %d rows of the tenant are left", kills, n)
	}
}

// killed runs a command and kills it after a while; true: it had ended by itself, well.
func killed(t *testing.T, cmd *exec.Cmd, pause time.Duration) bool {
	t.Helper()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	kill := time.AfterFunc(pause, func() { _ = cmd.Process.Kill() })
	defer kill.Stop()
	return cmd.Wait() == nil
}
