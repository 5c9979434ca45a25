package daemon

import (
	"testing"
	"time"

	"github.com/reaperdb/reaper/ledger"
)

// A pause is told when it begins and when it is over; until when what was due waited is
// remembered.
func TestPauses(t *testing.T) {
	t.Parallel()
	now, log := noon, &logbook{}
	p := newPauses(func() time.Time { return now }, log.logger(), noMetrics())
	p.adopt([]string{"a", "b"})
	see := func(pauses ...ledger.Pause) {
		now = now.Add(time.Minute)
		p.see(pauses)
	}
	one := ledger.Pause{Policy: new("a"), Until: noon.Add(time.Hour), Reason: "an audit"}
	all := ledger.Pause{Until: noon.Add(2 * time.Hour), Reason: "a move"}

	see()
	see(one)
	see(one)
	log.says(t, "paused by hand\" policy=a", 1)
	if a, b := p.of("a"), p.of("b"); a.pause == nil || a.pause.Reason != "an audit" || b.pause != nil {
		t.Errorf("a: %+v, b: %+v", a.pause, b.pause)
	}
	see(one, all)
	if a, b := p.of("a"), p.of("b"); a.pause.Reason != "a move" || b.pause.Reason != "a move" || len(p.all()) != 2 {
		t.Errorf("a: %+v, b: %+v", a.pause, b.pause)
	}
	p.adopt([]string{"a", "c"}) // a reload, by which a stays paused
	see()
	log.says(t, "pause by hand ended\" policy=a", 1)
	log.says(t, "pause by hand ended", 1)
	if a, c := p.of("a"), p.of("c"); a.pause != nil || !a.resumed.Equal(now) || !c.resumed.IsZero() {
		t.Errorf("a: %+v, c: %+v", a, c)
	}
}
