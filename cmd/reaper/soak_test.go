//go:build soak

package main

import (
	"flag"
	"fmt"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/reaperdb/reaper/internal/dbtest"
)

var soak = flag.Duration("soak", 10*time.Minute, "how long the soak lasts")

// gauge reads a metric; -1: it is absent.
func (s *service) gauge(name string) float64 {
	_, text := s.get("/metrics")
	m := regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(name) + ` (\S+)$`).FindStringSubmatch(text)
	if m == nil {
		return -1
	}
	v, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		s.t.Fatalf("%s: %v", name, err)
	}
	return v
}

// Writers insert rows that are already due, and two daemons purge every few seconds: memory and
// goroutines stay flat, the lag stays bounded, and nothing is wrong in the end.
func TestSoak(t *testing.T) {
	db := dbtest.New(t, witness)
	policy := lettersPolicy("@every 3s", ", limits: {rows: 50}")
	daemons := []*service{serve(t, db.DSN(), policy), serve(t, db.DSN(), policy)}
	type sample struct{ memory, goroutines float64 }
	var first, last [2]sample
	posted, late := 2000, 0
	began := time.Now()
	for n := 0; time.Since(began) < *soak; n++ {
		db.Exec(t, `CALL post(200)`)
		posted += 200
		time.Sleep(200 * time.Millisecond)
		if n%50 != 49 {
			continue
		}
		for i, d := range daemons {
			last[i] = sample{d.gauge("process_resident_memory_bytes"), d.gauge("go_goroutines")}
			if n < 150 { // warmed up by then
				first[i] = last[i]
			}
			if code, body := d.get("/health"); code != 200 {
				t.Errorf("unhealthy after %s: %s", time.Since(began).Round(time.Second), body)
			}
		}
		// Posted rows are at least a day overdue; only new ones may remain.
		if left := db.Int(t, `SELECT count(*) FROM letters`); left > 20_000 {
			late++
		}
		t.Logf("%s: %d posted, %d there, %s", time.Since(began).Round(time.Second), posted, db.Int(t, `SELECT count(*) FROM letters`), fmt.Sprint(last))
	}
	if late > 0 {
		t.Errorf("the backlog was above 20000 rows %d times", late)
	}
	for i := range daemons {
		if last[i].memory > 1.3*first[i].memory+8<<20 {
			t.Errorf("memory of daemon %d grew from %.0f to %.0f bytes", i, first[i].memory, last[i].memory)
		}
		if last[i].goroutines > first[i].goroutines+10 {
			t.Errorf("goroutines of daemon %d grew from %.0f to %.0f", i, first[i].goroutines, last[i].goroutines)
		}
	}
	daemons[0].await("everything due is gone", time.Minute, func() bool { return db.Int(t, `SELECT count(*) FROM letters`) == 0 })
	for _, d := range daemons {
		d.ends()
	}
	holds(t, db, posted)
}
