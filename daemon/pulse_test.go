package daemon

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// A database that goes away is told once, with the time since when; while it is away,
// nothing else complains.
func TestPulse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := &logbook{}
		var answer error
		p := newPulse(time.Now, log.logger(), noMetrics(), func(context.Context) error { return answer })
		beat := func(err error, up bool, says, since string) {
			t.Helper()
			answer = err
			p.beat(t.Context())
			s := p.state()
			if s.up != up || s.err != says || (s.since != nil) != (since != "") || s.since != nil && clock(*s.since) != since {
				t.Errorf("%+v, want up: %t, %q, since %s", s, up, says, since)
			}
		}
		if s := p.state(); s.up || s.err == "" || s.since != nil {
			t.Errorf("before it was asked: %+v", s)
		}
		beat(errors.New("refused"), false, "refused", "00:00:00")
		until(0, 0, 1)
		beat(errReadOnly, false, errReadOnly.Error(), "00:00:00")
		p.complain("its size", errors.New("vain"))
		until(0, 0, 2)
		beat(nil, true, "", "")
		until(0, 0, 3)
		beat(nil, true, "", "")
		p.complain("its size", errors.New("vain"))
		beat(context.DeadlineExceeded, false, "no answer in time", "00:00:03")
		log.says(t, "database is down", 2)
		log.says(t, "database is up", 1)
		log.says(t, "database query failed", 1)
	})
}

// An answer that the end of the process has cut short says nothing of the database.
func TestPulse_Ending(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	p := newPulse(time.Now, (&logbook{}).logger(), noMetrics(), func(context.Context) error {
		cancel()
		return context.Canceled
	})
	if p.beat(ctx); p.state().since != nil {
		t.Errorf("%+v", p.state())
	}
}
