package daemon

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/reaperdb/reaper/ledger"
	"github.com/reaperdb/reaper/web"
)

const day = 24 * time.Hour

// cadences are schedules, and the length of their cycle. A bubble's clock begins at
// midnight, on a Saturday.
var cadences = []struct {
	schedule string
	cycle    time.Duration
}{
	{"@every 10s", 10 * time.Second},
	{"*/7 * * * *", 7 * time.Minute},
	{"0 */6 * * *", 6 * time.Hour},
	{"@daily", day},
	{"@weekly", 7 * day},
}

// healthy reports what /health says of a policy, and why it is not well.
func healthy(s *state) (ok bool, why string) {
	now := time.Now()
	v := web.Status{At: now, Database: web.Database{Up: true}, Policies: []web.Policy{s.shown(now, time.Minute)}}.Judge(now, time.Hour)
	for _, f := range v.Problems() {
		why += f.String()
	}
	return v.Healthy(), why
}

// over looks again and again until so much time has passed.
func over(length, step time.Duration, look func()) {
	for end := time.Now().Add(length); time.Now().Before(end); time.Sleep(step) {
		look()
	}
	look()
}

// A run that was due and does not begin is seen until one does, over all the times at
// which the next ones are due.
func TestMissed(t *testing.T) {
	t.Parallel()
	for _, c := range cadences {
		bubble(t, c.schedule, func(t *testing.T, claims *claimed) {
			p := newProcess(claims, entriesOf(t, Config{Jitter: time.Minute}, strings.Replace(text, "0 * * * *", c.schedule, 1)))
			later := p.table.all()[0].later
			step := max(c.cycle/40, tickEvery)
			look := func() (bool, string) {
				p.scheduler.due(t.Context())
				return healthy(&state{scheduled: p.table.all()[0], running: p.runs.running("a")})
			}
			begins := func() {
				if p.runs.running("a") != nil {
					p.end(claims)
				}
			}
			over(2*c.cycle, step, func() {
				if ok, why := look(); !ok {
					t.Fatalf("runs begin, and at %s: %s", time.Now(), why)
				}
				begins()
			})
			if len(p.look()) == 0 {
				t.Fatal("nothing has begun")
			}

			claims.set(func(c *claimed) { c.err = errors.New("no ledger") })
			missed := p.table.all()[0].schedule.Next(p.table.all()[0].handled).Add(later)
			over(time.Until(missed.Add(overdue)), step, func() {
				if ok, why := look(); !ok && !time.Now().After(missed.Add(overdue)) {
					t.Fatalf("at %s it was due five minutes ago at most: %s", time.Now(), why)
				}
			})
			time.Sleep(step)
			over(3*c.cycle+overdue, step, func() {
				ok, why := look()
				if want := "is failing, since " + missed.UTC().Format(time.RFC3339) + ": it was due and has not begun: no ledger"; ok || !strings.Contains(why, want) {
					t.Fatalf("at %s: %q, want %q", time.Now(), why, want)
				}
			})
			p.began(t)

			claims.set(func(c *claimed) { c.err = nil })
			time.Sleep(controlEvery)
			if ok, why := look(); !ok || len(p.look()) != 1 {
				t.Errorf("a run begins: %s", why)
			}
		})
	}
}

// The same beside a CronJob, of which an observer knows from the ledger alone: one that
// never starts, and one that stops.
func TestMissed_Observed(t *testing.T) {
	t.Parallel()
	for _, c := range cadences {
		bubble(t, c.schedule, func(t *testing.T, _ *claimed) {
			s := &state{scheduled: scheduled{entry: entriesOf(t, Config{Observe: true, Schedule: c.schedule}, text)[0]}}
			s.loaded = time.Now()
			step := max(c.cycle/40, tickEvery)
			misses := func(since time.Time) {
				t.Helper()
				missed := s.schedule.Next(since)
				over(time.Until(missed.Add(overdue)), step, func() {
					if ok, why := healthy(s); !ok && !time.Now().After(missed.Add(overdue)) {
						t.Fatalf("at %s it was due five minutes ago at most: %s", time.Now(), why)
					}
				})
				time.Sleep(step)
				over(3*c.cycle+overdue, step, func() {
					if ok, why := healthy(s); ok || !strings.Contains(why, "since "+missed.Format(time.RFC3339)+": it was due and has not begun") {
						t.Fatalf("at %s, missed since %s: %q", time.Now(), missed, why)
					}
				})
			}
			misses(s.loaded)

			for range 3 {
				time.Sleep(time.Until(s.schedule.Next(time.Now()).Add(time.Second)))
				at := time.Now()
				s.ended = []ledger.Ended{{LastRun: ledger.LastRun{Trigger: "once", Status: "complete", StartedAt: at, FinishedAt: &at}, Success: true}}
				if ok, why := healthy(s); !ok {
					t.Fatalf("it has run, and at %s: %s", time.Now(), why)
				}
			}
			misses(s.ended[0].StartedAt.Add(early))
		})
	}
}
