package daemon

import (
	"slices"
	"sync"

	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/preview"
	"github.com/reaperdb/reaper/web"
)

// targets are the tables that policies delete from, as far as they are known: a policy
// has to be planned for it.
type targets struct {
	mu       sync.Mutex
	policies perPolicy[target]
}

// target is what one policy deletes from.
type target struct {
	tables []string
	oids   []uint32 // of these; nil: they are not known
	root   uint32   // the OID of the policy's own
	tree   []preview.TablePreview
	advice []web.Advice // what plan found that could be better, each with its fix
}

func (t *targets) adopt(names []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.policies.adopt(names)
}

// note takes over the tables of a policy, and reports whether they were not known
// before.
func (t *targets) note(name string, to target) (news bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.policies.of(name)
	news = now.oids == nil
	*now = to
	return news
}

// of are the tables of a policy.
func (t *targets) of(name string) target {
	t.mu.Lock()
	defer t.mu.Unlock()
	return *t.policies.of(name)
}

// oids are those of the tables of all policies.
func (t *targets) oids() []uint32 {
	t.mu.Lock()
	defer t.mu.Unlock()
	var all []uint32
	for _, name := range t.policies.names {
		all = slices.Concat(all, t.policies.of(name).oids)
	}
	return all
}

// targetOf are the tables that a plan deletes from, the root among them.
func targetOf(p *plan.Plan) target {
	t := target{root: p.Root.Table.OID, tree: preview.Tree(p)}
	for _, x := range p.Problems {
		t.advice = append(t.advice, web.Advice{Text: x.Text, Fix: x.Fix})
	}
	for _, n := range p.Nodes {
		if n.Deleted {
			t.tables, t.oids = append(t.tables, n.Table.Name.String()), append(t.oids, n.Table.OID)
		}
	}
	return t
}
