//go:build ops

package ops_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"
)

// situation is what may be the case with reaper, and the alerts that it brings. An alert is named
// without "Reaper", and with the policy or the guard that it names.
type situation struct {
	name string
	// well makes and starts a daemon with which nothing is wrong; nil: something is wrong from the
	// beginning.
	well    func(b *bed)
	provoke func(b *bed)
	firing  []string
	sent    []string     // of these, what a person gets; nil: all of them
	mend    func(b *bed) // after which nothing fires; nil: nobody mends it
}

// TestOps provokes the situations, each with a database, a daemon and a namespace of its own. No
// other alert than the expected ones may so much as begin.
func TestOps(t *testing.T) {
	t.Parallel()
	shared := newMonitoring(t)
	t.Run("situations", func(t *testing.T) { // ends when all of them have
		for _, s := range situations {
			t.Run(s.name, func(t *testing.T) {
				t.Parallel()
				s.happens(newBed(t, shared))
			})
		}
	})
}

// The last reaper process is gone. The alert has no namespace, so nobody else may be watched.
func TestOps_Absent(t *testing.T) {
	t.Parallel()
	t.Run("nobody runs reaper", func(t *testing.T) {
		situation{
			well:    runsOften,
			provoke: func(b *bed) { b.kill() },
			firing:  []string{"Absent"},
			mend:    func(b *bed) { b.starts() },
		}.happens(newBed(t, newMonitoring(t)))
	})
}

func (s situation) happens(b *bed) {
	b.t.Helper()
	if s.well != nil {
		s.well(b)
		b.settles("before", picture{})
	}
	if s.provoke != nil {
		s.provoke(b)
	}
	want := picture{firing: s.firing, sent: s.sent}
	if s.sent == nil {
		want.sent = s.firing
	}
	b.settles("provoked", want)
	if s.mend != nil {
		s.mend(b)
		b.settles("mended", picture{})
	}
}

// steady is for how many evaluations of the rules a picture has to stay: for longer than an alert
// waits, so that no other can be about to fire.
const steady = 6

// settles waits until a picture stays.
func (b *bed) settles(when string, want picture) {
	b.t.Helper()
	began := time.Now()
	var got picture
	var last time.Time
	n := 0
	await(b.t, when+", these alerts and no others:\n"+want.String(), func() bool {
		at := b.evaluated(b.t)
		if !at.After(last) {
			return false
		}
		last = at
		if got = b.alerts(b.t, b.namespace); got.equal(want) {
			n++
		} else {
			n = 0
		}
		return n >= steady
	}, func() string { return "at the end:\n" + got.String() })
	b.t.Logf("%s: %s, for %d evaluations after %s", when, strings.ReplaceAll(got.String(), "\n", "; "), steady, time.Since(began).Round(time.Second))
}

// Every alert that there is is provoked.
func TestOps_Every(t *testing.T) {
	t.Parallel()
	fires := []string{"Absent"}
	for _, s := range situations {
		for _, alert := range s.firing {
			name, _, _ := strings.Cut(alert, "/")
			fires = append(fires, name)
		}
		if !slices.IsSorted(s.firing) || !slices.IsSorted(s.sent) {
			t.Errorf("%s: %v and %v are not sorted", s.name, s.firing, s.sent)
		}
	}
	var file struct {
		Groups []struct{ Rules []struct{ Alert string } }
	}
	if err := yaml.Unmarshal([]byte(read(t, repository+"/deploy/alerts/reaper.yaml")), &file); err != nil {
		t.Fatal(err)
	}
	for _, r := range file.Groups[0].Rules {
		if !slices.Contains(fires, strings.TrimPrefix(r.Alert, "Reaper")) {
			t.Errorf("nothing provokes %s", r.Alert)
		}
	}
}
