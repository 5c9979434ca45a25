package torture

import (
	"fmt"
	"maps"
	"time"
)

// ref names a row.
type ref struct{ table, key string }

func (r ref) String() string { return r.table + " " + r.key }

// stored is a row as the last transaction that wrote it has left it.
type stored struct {
	tuple  tuple
	before tuple // before that transaction; nil: it was inserted
	xid    string
	at     time.Time // of that transaction's commit
	by     string    // the writer
}

// version is a row that was in force until another one replaced it.
type version struct {
	tuple tuple
	until time.Time // zero: still in force
}

// model is the database as it is after a transaction, in commit order.
type model struct {
	layout *layout
	rows   map[ref]*stored
	// behind has, by edge and parent's key, the keys of the children.
	behind map[*edge]map[string]map[string]bool
	// versions of the rows that a batch may see late, tenants and domains.
	versions map[ref][]version
	bases    map[string]time.Time // the cutoff base of each run and policy
	settled  map[string]time.Time // the cutoff of each run, policy and tenant
	commits  []commit
}

// commit tells when a position of the WAL was reached.
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

// transaction is what the slot has told of one.
type transaction struct {
	xid     string
	first   uint64 // position of its first record
	end     uint64 // and of its end
	at      time.Time
	writer  string // who says so by a message; empty: reaper, or nobody
	changes []change
	batch   *batchRow // of the ledger; nil: no batch
}

// batchRow is what the ledger says of a batch.
type batchRow struct {
	run, policy     string
	rows, nullified map[string]int
}

// apply makes the transaction's changes. An old row that is not the one the
// model has is an error of the observer.
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

// index keeps behind true.
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

// remembered is for how long old versions are kept: far longer than any batch
// lasts.
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

// inForce is the versions of a row that were in force at some time since.
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

// reached is the time of the last commit before a position; zero: none.
func (m *model) reached(lsn uint64) (at time.Time) {
	for i := len(m.commits) - 1; i >= 0; i-- {
		if m.commits[i].lsn <= lsn {
			return m.commits[i].at
		}
	}
	return at
}

// keeper finds a row that keeps a row, or one of those that hang on it, and is
// not among those that go.
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

// due is the roots of a policy that are expired by a base, as holds and
// retentions are now, and that nothing keeps; kept is how many something does.
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
