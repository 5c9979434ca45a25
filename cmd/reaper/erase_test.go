package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/reaperdb/reaper/erasing"
	"github.com/reaperdb/reaper/internal/dbtest"
)

const leaving = `
	CREATE TABLE orgs (id text PRIMARY KEY);
	CREATE TABLE users (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, org_id text NOT NULL REFERENCES orgs, at timestamptz NOT NULL DEFAULT now());
	CREATE INDEX ON users (org_id);
	CREATE TABLE jobs (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, org_id text NOT NULL);
	INSERT INTO orgs VALUES ('first-1'), ('second-2'), ('third-3');
	INSERT INTO users (org_id) SELECT id FROM orgs, generate_series(1, 3);
	INSERT INTO jobs (org_id) SELECT id FROM orgs, generate_series(1, 4)`

const leavingPolicy = `version: 1
tenants: {table: orgs, key: id, default: 30d}
policies: [{name: users, table: users, age: at, schedule: "0 0 1 1 *"}]
erasure:
  wait: 0s
  leftovers: delete
  tables: [{table: jobs, owner: org_id}]
`

// The daemon erases the tenants that are due, and sweeps; status, page and metrics show it.
func TestErase_Daemon(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t, leaving)
	types := func(args ...string) string {
		t.Helper()
		cmd := program(t, db.DSN(), args...)
		write(t, cmd.Dir, leavingPolicy)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	types("erase", "--tenant", "first-1", "--reason", "closed", "--yes")
	db.Exec(t, `INSERT INTO jobs (org_id) VALUES ('first-1'), ('first-1')`) // from a producer that does not know
	types("erase", "--tenant", "second-2", "--reason", "closed", "--in", "30d", "--yes")
	db.Exec(t, `UPDATE reaper.erasure SET sweep_at = now() WHERE sweep_at IS NOT NULL; UPDATE reaper.erasure SET due_at = now() WHERE state = 'requested'`)
	s := serve(t, db.DSN(), leavingPolicy)
	s.await("the erasure and the sweep are done", 20*time.Second, func() bool {
		return db.Int(t, `SELECT (SELECT count(*) FROM orgs) + (SELECT count(*) FROM users) + (SELECT count(*) FROM jobs)`) == 1+3+4
	})
	s.await("the metric", 10*time.Second, s.shows(`reaper_erasures{state="done"} 2`))
	s.await("the status", 10*time.Second, func() bool {
		e := s.status().Erasures
		return len(e) == 2 && e[0].State == "done" && e[1].State == "done"
	})
	if _, page := s.get("/"); !strings.Contains(page, "tenant second-2: done") {
		t.Error("the page does not show it")
	}
	id := db.Text(t, `SELECT id::text FROM reaper.erasure WHERE tenant = 'first-1'`)
	var c erasing.Certificate
	if err := json.Unmarshal([]byte(types("erasures", "--certificate", id, "-o", "json")), &c); err != nil {
		t.Fatal(err)
	}
	if len(c.Leftovers) != 1 || c.Leftovers[0].Found != 2 || c.Leftovers[0].Deleted != 2 || c.Remaining == nil || *c.Remaining != 0 || len(c.NotCovered) < 5 {
		t.Errorf("%+v", c)
	}
	if text := types("erasures", "--certificate", id); strings.Contains(text, "first-1") {
		t.Errorf("the certificate names the tenant:\n%s", text)
	}
}
