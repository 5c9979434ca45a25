//go:build soak

package main

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/reaperdb/reaper/internal/dbtest"
)

// Two daemons, of which one is killed every 30 s and one deployed anew every minute: not
// one failure is told to a monitor, no policy is late, and what is posted goes.
func TestSoak_Deploys(t *testing.T) {
	db, m := dbtest.New(t, letters), newMonitor(t)
	policy := lettersPolicy("@every 20s", ", limits: {rows: 20}, heartbeat: "+m.URL+monitorPath)
	// Each row takes a while, so that a run is nearly always under way.
	db.Exec(t, `CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(0.01); RETURN OLD; END';
		CREATE TRIGGER slow BEFORE DELETE ON letters FOR EACH ROW EXECUTE FUNCTION wait()`)
	policy = strings.NewReplacer("tenant: org,", "tenant: org, triggers: allow,", "max_lag: 1h", "max_lag: 2d").Replace(policy)
	both := []*service{serve(t, db.DSN(), policy), serve(t, db.DSN(), policy)}
	began, empty := time.Now(), false
	for round := 1; time.Since(began) < *soak; round++ {
		for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(2 * time.Second) {
			// However slow the machine is, each run has an end: more is posted when it is done.
			before := empty
			if empty = db.Int(t, `SELECT count(*) FROM letters`) == 0; empty && before {
				db.Exec(t, `CALL post(2000)`)
			}
			for i, s := range both {
				for _, p := range s.status().Policies {
					if p.Late || p.Failing {
						t.Errorf("%s: daemon %d shows late: %t, failing: %t: %s", time.Since(began).Round(time.Second), i, p.Late, p.Failing, p.Reason)
					}
				}
			}
		}
		if err := both[0].cmd.Process.Signal(syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
		both[0] = serve(t, db.DSN(), policy)
		if round%2 == 0 {
			both[1].ends()
			both[1] = serve(t, db.DSN(), policy)
		}
	}
	told := map[string]int{}
	for _, p := range m.got() {
		told[p]++
	}
	t.Logf("pings %v, runs %v, %d letters are left", told, db.Texts(t, `SELECT trigger || ' ' || status || ' ' || reason || ': ' || count(*) FROM reaper.runs GROUP BY trigger, status, reason ORDER BY 1`), db.Int(t, `SELECT count(*) FROM letters`))
	for p, n := range told {
		if p != "/start" && p != "/log" && p != "" {
			t.Errorf("%d pings %s", n, p)
		}
	}
	if told[""] == 0 {
		t.Error(fmt.Sprint("no success: ", told))
	}
}
