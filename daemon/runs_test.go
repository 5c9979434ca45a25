package daemon

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reaperdb/reaper/heartbeat"
	"github.com/reaperdb/reaper/web"
)

// A process that is asked to end lets batches finish, then rolls them back, and then
// leaves them to the server: in this time.
func TestRuns_Await(t *testing.T) {
	t.Parallel()
	const grace = 20 * time.Second
	for _, c := range []struct {
		name string
		run  func(r *runs, cut <-chan struct{})
		took time.Duration
		logs string
	}{
		{"no run", nil, 0, ""},
		{"a batch finishes", func(r *runs, _ <-chan struct{}) {
			<-r.stopping.Done()
			time.Sleep(3 * time.Second)
		}, 3 * time.Second, ""},
		{"a batch has to be rolled back", func(r *runs, _ <-chan struct{}) { <-r.lifetime().Done() }, 12 * time.Second, "rolling it back"},
		{"a server does not answer", func(_ *runs, cut <-chan struct{}) { <-cut }, 14 * time.Second, "closing its connections"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				log := &logbook{}
				r := newRuns(log.logger(), nil)
				defer r.kill()
				cut := make(chan struct{})
				if c.run != nil {
					r.start(func() { c.run(r, cut) })
				}
				began := time.Now()
				r.await(grace)
				if took := time.Since(began); took != c.took {
					t.Errorf("it took %s, want %s", took, c.took)
				}
				if c.logs != "" {
					log.says(t, c.logs, 1)
				}
				close(cut)
			})
		})
	}
}

const twoPolicies = text + `  - {name: b, table: other, age: at, tenant: org}
`

// A reload ends the runs of the policies that it changes, or that it no longer has, and
// no other.
func TestRuns_Adopt(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, old, new string
		ends, again    string // policies
	}{
		{"nothing", "", "", "", ""},
		{"a schedule", "0 * * * *", "5 * * * *", "", ""},
		{"what one of them deletes", "table: letters", "table: mails", "a", "a"},
		{"tenants of both", "retention: days", "retention: months", "ab", "ab"},
		{"one is gone", twoPolicies[strings.Index(twoPolicies, "  - {name: b"):], "", "b", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			table := newTimetable(time.Now, nil)
			r := newRuns(nil, table.inForce)
			defer r.kill()
			before := entriesOf(t, Config{}, twoPolicies)
			table.adopt(before)
			r.adopt(before)
			ended := map[string]func() bool{}
			for _, e := range before {
				_, stopping, _ := r.begin(e, web.Progress{}, nil)
				ended[e.name()] = func() bool { return stopping.Err() != nil }
			}
			after := entriesOf(t, Config{}, strings.Replace(twoPolicies, c.old, c.new, 1))
			table.adopt(after)
			again := r.adopt(after)
			for name, isEnded := range ended {
				if isEnded() != strings.Contains(c.ends, name) {
					t.Errorf("%s ends: %t", name, isEnded())
				}
				if strings.Contains(strings.Join(again, ""), name) != strings.Contains(c.again, name) {
					t.Errorf("%s begins again: %v", name, again)
				}
			}
		})
	}
}

// A file that is taken while a time of the schedule is being claimed: the run that begins
// is that of the new file, or none.
func TestRuns_BeginDuringReload(t *testing.T) {
	t.Parallel()
	table := newTimetable(time.Now, nil)
	r := newRuns(nil, table.inForce)
	defer r.kill()
	claimed := entriesOf(t, Config{}, text)[0]
	now := entriesOf(t, Config{}, strings.Replace(text, `"42"`, `"43"`, 1))
	table.adopt(now)
	r.adopt(now)
	if e, stopping, _ := r.begin(claimed, web.Progress{}, nil); e.differs(now[0]) || stopping.Err() != nil {
		t.Errorf("it runs what the file no longer says, and is stopping: %v", stopping.Err())
	}
	table.adopt(nil)
	r.adopt(nil)
	if _, stopping, _ := r.begin(claimed, web.Progress{}, nil); stopping.Err() == nil || r.running("a") != nil {
		t.Error("a policy that is gone from the file runs")
	}
}

// Progress that is in a picture does not change any more.
func TestRuns_Progress(t *testing.T) {
	t.Parallel()
	table := newTimetable(time.Now, nil)
	r := newRuns(nil, table.inForce)
	defer r.kill()
	entries := entriesOf(t, Config{}, text)
	table.adopt(entries)
	r.adopt(entries)
	add := func() { r.progress("a", func(p *web.Progress) { p.Rows++ }) }
	if add(); r.running("a") != nil {
		t.Error("there is progress without a run")
	}
	r.begin(entries[0], web.Progress{RunID: "x"}, nil)
	add()
	shown := r.running("a")
	add()
	if now := r.running("a"); shown.Rows != 1 || now.Rows != 2 || now.RunID != "x" {
		t.Errorf("shown is %+v, now it is %+v", shown, now)
	}
	r.end("a")
	if add(); r.running("a") != nil {
		t.Error("there is progress after the run")
	}
}

// A monitor that policies share hears of no success while one of them fails.
func TestRuns_Verdict(t *testing.T) {
	t.Parallel()
	table := newTimetable(time.Now, nil)
	r := newRuns(nil, table.inForce)
	defer r.kill()
	all := entriesOf(t, Config{}, text+`  - {name: b, table: other, age: at, tenant: org, heartbeat: "https://example.com/b"}
  - {name: c, table: third, age: at, tenant: org, heartbeat: "https://example.com/b"}
`)
	table.adopt(all)
	r.adopt(all)
	success, failure := heartbeat.Ping{Event: heartbeat.Success}, heartbeat.Ping{Event: heartbeat.Fail}
	tells := func(e entry, ping heartbeat.Ping, want heartbeat.Event, reason string) {
		t.Helper()
		if got := r.verdict(e, ping); got.Event != want || !strings.Contains(got.Reason, reason) {
			t.Errorf("%s: told %+v, want %s", e.name(), got, want)
		}
	}
	tells(all[1], success, heartbeat.Success, "")
	tells(all[2], failure, heartbeat.Fail, "")
	tells(all[1], success, heartbeat.Log, "policy c")
	tells(all[0], success, heartbeat.Success, "") // another monitor
	table.adopt(all)
	r.adopt(all)
	tells(all[1], success, heartbeat.Log, "policy c") // a reload mends nothing
	tells(all[2], success, heartbeat.Success, "")
	tells(all[1], success, heartbeat.Success, "")
}
