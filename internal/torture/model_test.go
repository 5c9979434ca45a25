package torture

import (
	"fmt"
	"maps"
	"time"
)

// ref identifies a row.
type ref struct{ table, key string }

func (r ref) String() string { return r.table + " " + r.key }

// stored is a row as its last transaction left it.
type stored struct {
	tuple  tuple
	before tuple // before that transaction; nil if it was inserted
	xid    string
	at     time.Time // that transaction's commit time
	by     string    // the writer
}

// version is a row that was in effect until another replaced it.
type version struct {
	tuple tuple
	until time.Time // zero if still in effect
}

// model is the state of the database after a transaction, in commit order.
type model struct {
	layout *layout
	rows   map[ref]*stored
	// behind maps edge and parent's key to the keys of the children.
	behind map[*edge]map[string]map[string]bool
	// versions of the rows whose changes a batch may miss: tenants and domains.
	versions map[ref][]version
	bases    map[string]time.Time // the cutoff base of each run and policy
	settled  map[string]time.Time // the cutoff of each run, policy and tenant
	commits  []commit
}

// commit says when a WAL position was reached.
type commit struct {
	lsn uint64
	at  time.Time
}

func newModel(l *layout) *model {
	m := &model{
		layout: l, rows: map[ref]*stored{}, behind: map[*edge]map[string]map[string]bool{},
		versions: map[ref][]version{}, bases: map[string]time.Time{}, settled: map[string]time.Time{},
	}
	for _, e := range l.edges {
		m.behind[e] = map[string]map[string]bool{}
	}
	return m
}

// transaction is what the slot reported about one.
type transaction struct {
	xid     string
	first   uint64 // position of the first record
	end     uint64 // position of the end
	at      time.Time
	writer  string // identified by a message; empty for reaper or nobody
	changes []change
	batch   *batchRow // from the ledger; nil if not a batch
}

// batchRow is a batch according to the ledger.
type batchRow struct {
	run, policy     string
	rows, nullified map[string]int
}

// apply applies the transaction's changes. An old row that differs from the model's is an error
// of the observer.
func (m *model) apply(tx *transaction) error {
	before := map[ref]tuple{}
	for _, c := range tx.changes {
		if err := m.change(tx, c, before); err != nil {
			return fmt.Errorf("transaction %s: %w", tx.xid, err)
		}
	}
	m.commits = append(m.commits, commit{tx.end, tx.at})
	return nil
}

func (m *model) change(tx *transaction, c change, before map[ref]tuple) error {
	if c.old != nil {
		r := rowRef(c.table, c.old)
		was := m.rows[r]
		if was == nil || !maps.Equal(was.tuple, c.old) {
			return fmt.Errorf("%s of %s: the model has %v, the server had %v", c.op, r, was, c.old)
		}
		if _, known := before[r]; !known {
			before[r] = was.tuple
		}
		m.index(r, was.tuple, false)
		delete(m.rows, r)
		m.replaced(r, was.tuple, tx.at)
	}
	if c.new != nil {
		r := rowRef(c.table, c.new)
		m.rows[r] = &stored{tuple: c.new, before: before[r], xid: tx.xid, at: tx.at, by: tx.writer}
		m.index(r, c.new, true)
	}
	return nil
}

func rowRef(table string, t tuple) ref {
	key, _ := joined(t, keyOf(table))
	return ref{table, key}
}

// index keeps behind up to date.
func (m *model) index(r ref, t tuple, there bool) {
	for _, e := range m.layout.edges {
		if e.child != r.table {
			continue
		}
		parent, ok := e.target(t)
		if !ok {
			continue
		}
		children := m.behind[e][parent]
		switch {
		case !there:
			if delete(children, r.key); len(children) == 0 {
				delete(m.behind[e], parent)
			}
		case children == nil:
			m.behind[e][parent] = map[string]bool{r.key: true}
		default:
			children[r.key] = true
		}
	}
}

// remembered is how long old versions are kept: far longer than any batch lasts.
const remembered = 10 * time.Minute

func (m *model) replaced(r ref, was tuple, at time.Time) {
	if r.table != "tenants" && r.table != "domains" {
		return
	}
	list := m.versions[r]
	for len(list) > 0 && at.Sub(list[0].until) > remembered {
		list = list[1:]
	}
	m.versions[r] = append(list, version{was, at})
}

// inForce returns the versions of a row that were in effect at some time since then.
func (m *model) inForce(r ref, since time.Time) []tuple {
	var found []tuple
	for _, v := range m.versions[r] {
		if !v.until.Before(since) {
			found = append(found, v.tuple)
		}
	}
	if now := m.rows[r]; now != nil {
		found = append(found, now.tuple)
	}
	return found
}

// reached returns the time of the last commit before a position, or zero.
func (m *model) reached(lsn uint64) (at time.Time) {
	for i := len(m.commits) - 1; i >= 0; i-- {
		if m.commits[i].lsn <= lsn {
			return m.commits[i].at
		}
	}
	return at
}

// keeper finds a row that keeps a row, or one of its dependents, and is not itself deleted.
func (m *model) keeper(r ref, gone map[ref]tuple, seen map[ref]bool) (ref, bool) {
	if seen[r] {
		return ref{}, false
	}
	seen[r] = true
	for _, e := range m.layout.edges {
		if e.parent != r.table || e.action == clears {
			continue
		}
		for key := range m.behind[e][r.key] {
			child := ref{e.child, key}
			if _, goes := gone[child]; e.action == keeps && !goes {
				return child, true
			}
			if e.action == keeps {
				continue
			}
			if found, ok := m.keeper(child, gone, seen); ok {
				return found, true
			}
		}
	}
	return ref{}, false
}

// due returns the roots of a policy that are expired by a base, by the present holds and
// retentions, and that nothing keeps; kept is how many are kept.
func (m *model) due(policy string, base time.Time) (found []ref, kept int) {
	current := func(r ref) []tuple {
		if s := m.rows[r]; s != nil {
			return []tuple{s.tuple}
		}
		return nil
	}
	for r, s := range m.rows {
		if r.table != policy || !m.isExpired(s.tuple, r.table, base, current, nil) {
			continue
		}
		if _, ok := m.keeper(r, nil, map[ref]bool{}); ok {
			kept++
		} else {
			found = append(found, r)
		}
	}
	return found, kept
}
