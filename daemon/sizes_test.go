package daemon

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/reaperdb/reaper/ledger"
)

// keptSizes are sizes in a ledger, and what was done with them.
type keptSizes struct {
	due   bool
	kept  []ledger.Size
	did   []string
	fails error
}

func (k *keptSizes) SizeDue(context.Context) (bool, error) {
	k.did = append(k.did, "due")
	return k.due, k.fails
}

func (k *keptSizes) SaveSize(_ context.Context, s ledger.Size) error {
	k.did, k.kept = append(k.did, "save"), append(k.kept, s)
	return k.fails
}

func (k *keptSizes) Sizes(context.Context, time.Duration) ([]ledger.Size, error) {
	k.did = append(k.did, "read")
	return slices.Clone(k.kept), k.fails
}

// Only the process that measures keeps a size, and only where the last is old enough;
// each process shows what it has found itself, whatever becomes of the ledger.
func TestSizes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		of     sizing
		due    bool
		fails  error
		does   []string
		points int // of the plot
		logs   int
	}{
		{"no ledger yet", sizing{}, false, nil, nil, 1, 0},
		{"another process keeps it", sizing{readable: true}, true, nil, []string{"read"}, 2, 0},
		{"it keeps it", sizing{readable: true, keep: true}, true, nil, []string{"due", "save", "read"}, 2, 0},
		{"it was kept a moment ago", sizing{readable: true, keep: true}, false, nil, []string{"due", "read"}, 2, 0},
		{"the ledger does not answer", sizing{readable: true, keep: true}, true, errors.New("no answer"), []string{"due", "read"}, 1, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			k := &keptSizes{due: c.due, fails: c.fails, kept: []ledger.Size{{At: noon.Add(-time.Hour), Database: new(int64(6))}}}
			if c.fails != nil {
				k.kept = nil
			}
			log := &logbook{}
			s := newSizes(func(_ context.Context, oids []uint32) (sample, error) {
				return sample{at: noon, name: "shop", database: new(int64(7)), tables: []tableSample{{oid: oids[0], name: "public.t", bytes: new(int64(5)), dead: new(int64(2))}}}, nil
			}, k, noMetrics(), log.complain)
			c.of.oids, c.of.cycles = []uint32{1}, map[string]time.Duration{"a": time.Hour}
			s.round(t.Context(), c.of)
			g := s.latest()
			if !slices.Equal(k.did, c.does) || len(g.sizes) != c.points {
				t.Errorf("it does %v, and plots %+v; want %v and %d points", k.did, g.sizes, c.does, c.points)
			}
			if g.name != "shop" || *g.bytes != 7 || len(g.tables) != 1 || *g.tables[0].SizeBytes != 5 || g.balances["a"] == nil {
				t.Errorf("it shows %+v", g)
			}
			log.says(t, "still failing", c.logs)
		})
	}
}

// A sample that fails leaves what is shown.
func TestSizes_NoSample(t *testing.T) {
	t.Parallel()
	log, fails := &logbook{}, error(nil)
	s := newSizes(func(context.Context, []uint32) (sample, error) {
		return sample{at: noon, name: "shop", database: new(int64(7))}, fails
	}, &keptSizes{}, noMetrics(), log.complain)
	s.round(t.Context(), sizing{})
	fails = errors.New("no answer")
	s.round(t.Context(), sizing{})
	if g := s.latest(); g.name != "shop" || *g.bytes != 7 {
		t.Errorf("it shows %+v", g)
	}
	log.says(t, "no answer", 1)
}

// What a policy deletes from is news once; a policy that is gone from the file is not
// looked at any more.
func TestTargets(t *testing.T) {
	t.Parallel()
	to := &targets{}
	to.adopt([]string{"a", "b"})
	if !to.note("a", target{oids: []uint32{1, 2}}) || to.note("a", target{oids: []uint32{1, 3}}) || !to.note("b", target{oids: []uint32{4}}) {
		t.Error("what is news is not, or the other way round")
	}
	if got := to.oids(); !slices.Equal(got, []uint32{1, 3, 4}) {
		t.Errorf("tables %v", got)
	}
	to.adopt([]string{"b"})
	to.note("a", target{oids: []uint32{1}})
	if got := to.oids(); !slices.Equal(got, []uint32{4}) || to.of("a").oids != nil {
		t.Errorf("tables %v", got)
	}
}
