package daemon

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

// oneLease is the ledger's answer about the lease.
type oneLease struct {
	holder   string
	err      error
	released int
}

func (l *oneLease) Lease(context.Context) (string, error) { return l.holder, l.err }

func (l *oneLease) Release(context.Context) error {
	l.released++
	return l.err
}

// What the ledger said is believed for as long as the lease lasts, and no longer: another
// process may have it then.
func TestLease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log, ledger, changes := &logbook{}, &oneLease{}, 0
		l := newLease("me", ledger, time.Now, log.logger(), noMetrics(), func() { changes++ })
		renew := func(holder string, err error, leader string, changed int) {
			t.Helper()
			ledger.holder, ledger.err = holder, err
			if got := l.renew(t.Context()); !errors.Is(got, err) {
				t.Errorf("%v, want %v", got, err)
			}
			if l.leader() != leader || l.leads() != (leader == "me") || changes != changed {
				t.Errorf("after %s the leader is %q, changed %d times; want %q, %d", clock(time.Now()), l.leader(), changes, leader, changed)
			}
		}
		silent := errors.New("no answer")

		renew("", silent, "", 0)
		renew("other", nil, "other", 1)
		until(0, 0, 5)
		renew("me", nil, "me", 2)
		until(0, 0, 25)
		renew("", silent, "me", 2)
		until(0, 0, 26)
		renew("", silent, "", 3)
		renew("me", nil, "me", 4)
		log.says(t, "measurement leader changed", 4)

		l.release(t.Context())
		renew("other", nil, "other", 5)
		if l.release(t.Context()); ledger.released != 1 {
			t.Errorf("released %d times, want once: it is another's now", ledger.released)
		}
	})
}
