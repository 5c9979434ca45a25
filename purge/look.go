package purge

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/reaperdb/reaper/schema"
)

// A trigger may return NULL and keep a row, a rule may do something else instead, and
// both may change other rows. So in a plan where any can fire, a batch looks at its rows
// before it commits: what was to go is gone, what was emptied is empty, and what was
// due is gone or due still. Else nothing of it is committed, and the triggers are named.

// look looks at the rows of a batch that has deleted them. keys: also the roots.
func (b *batcher) look(ctx context.Context, tx *batchTx, m *mode, known map[*Node]*rowsOf, keys values) error {
	if !b.plan.watched() {
		return nil
	}
	if err := b.fireDeferred(ctx, tx); err != nil {
		return err
	}
	if err := b.lookDue(ctx, tx); err != nil {
		return err
	}
	s := &statement{}
	tests, texts := b.plan.lookSQL(s, m, known, keys, tx.lockDependents)
	return b.passes(ctx, tx, s, tests, texts)
}

// fireDeferred has deferred triggers fire now: at COMMIT nobody looks any more.
func (b *batcher) fireDeferred(ctx context.Context, tx *batchTx) error {
	if _, err := tx.conn.Exec(ctx, "SET CONSTRAINTS ALL IMMEDIATE"); err != nil {
		return fmt.Errorf("firing deferred triggers: %w", err)
	}
	return nil
}

// lookDue looks at the rows that were due when a reference in them was emptied.
func (b *batcher) lookDue(ctx context.Context, tx *batchTx) error {
	s := &statement{}
	var tests, texts []string
	for _, d := range tx.due {
		tests, texts = append(tests, d.youngSQL(s)), append(texts, d.text())
	}
	return b.passes(ctx, tx, s, tests, texts)
}

// passes runs tests, each of which is true where something is wrong.
func (b *batcher) passes(ctx context.Context, tx *batchTx, s *statement, tests, texts []string) error {
	if len(tests) == 0 {
		return nil
	}
	s.add("SELECT ", strings.Join(tests, ",\n       "))
	found := make([]bool, len(tests))
	if err := tx.row(ctx, s).Scan(pointers(found)...); err != nil {
		return fmt.Errorf("looking at what became of the rows: %w", err)
	}
	if i := slices.Index(found, true); i >= 0 {
		return fmt.Errorf("%w: %s", errInterfered, texts[i])
	}
	return nil
}

// lookSQL gives tests, each true where something is wrong, and what that is. Rows that
// a trigger has put in the place of others count as well.
func (p *Plan) lookSQL(s *statement, m *mode, known map[*Node]*rowsOf, keys values, locked bool) (tests, texts []string) {
	add := func(n *Node, condition, text string) {
		tests = append(tests, "EXISTS (SELECT FROM "+from(n.Table)+" WHERE "+condition+")")
		texts = append(texts, text)
	}
	if keys != nil {
		add(p.Root, p.keyed(s, keys), p.Root.stays())
	}
	for _, n := range p.Nodes {
		r := known[n]
		if n == p.Root && r != nil {
			r = r.slice(keys.len(), r.len())
		}
		if r != nil && r.len() > 0 {
			add(n, s.at(n.Table, r)+s.stillBehind(n, m, known, locked), n.stays())
		}
	}
	for _, e := range p.Edges {
		r := known[e.Parent]
		if r == nil || r.len() == 0 || e.Action == ByKeep || !m.walks(e) {
			continue
		}
		text := e.Child.stays()
		if e.Action.clears() {
			text = fmt.Sprintf("rows of %s still reference (%s) what goes, after their reference was emptied: %s", e.Child.Table.Name, e.Label(), e.Child.fires())
		}
		add(e.Child, s.behind(e, r), text)
	}
	return tests, texts
}

func (n *Node) stays() string {
	return fmt.Sprintf("rows of %s are still there after they were deleted: %s", n.Table.Name, n.fires())
}

// lookBehind says why nothing behind an edge was deleted or emptied: something keeps
// the rows that are there. nil: there are none.
func (b *batcher) lookBehind(ctx context.Context, tx *batchTx, e *Edge, r *rowsOf) error {
	if !b.plan.watched() {
		return nil
	}
	s := &statement{}
	condition := ""
	if e.Action.clears() {
		condition = s.clearing(e, nil, map[*Node]*rowsOf{e.Parent: r})
	} else {
		condition = s.behind(e, r)
	}
	return b.passes(ctx, tx, s, []string{"EXISTS (SELECT FROM " + from(e.Child.Table) + " WHERE " + condition + ")"},
		[]string{fmt.Sprintf("rows of %s stay as they are: %s", e.Child.Table.Name, e.Child.fires())})
}

// stillOld looks whether locked roots are still old enough, and meant: nobody but a
// trigger can have changed that.
func (b *batcher) stillOld(ctx context.Context, tx *batchTx, t *who, keys values) error {
	p, s := b.plan, &statement{}
	a := col(p.Root.Table, p.age.column.Name)
	s.add("SELECT EXISTS (SELECT FROM ", from(p.Root.Table), " WHERE ", p.keyed(s, keys),
		" AND (", p.age.expired(a, s.cast(t.Cutoff, "timestamptz")), p.meant(s, b.scope(), keys), ") IS NOT TRUE)")
	var young bool
	if err := tx.row(ctx, s).Scan(&young); err != nil {
		return fmt.Errorf("looking at what became of the rows: %w", err)
	}
	if young {
		return fmt.Errorf("%w: deleting what depends on rows of %s, which are expired, makes them young again: %s", errInterfered, p.Root.Table.Name, strings.Join(p.firing(), ", "))
	}
	return nil
}

// rootAge is an age by which a policy of the file finds rows of a table that this plan
// empties references of.
type rootAge struct {
	policy string
	age    age
	// latest is the latest cutoff of its tenants, as SQL over the run's start; empty: this
	// plan's own, which is that of the batch.
	latest func(base string) string
}

// dueRows are rows behind an edge that are due under a policy, before the edge is
// emptied.
type dueRows struct {
	edge   *Edge
	age    rootAge
	cutoff string // timestamptz as text
	key    values
}

// noteDue locks and notes the rows behind an edge that are due, where a trigger could
// make them young when their reference is emptied.
func (b *batcher) noteDue(ctx context.Context, tx *batchTx, t *who, e *Edge, known map[*Node]*rowsOf) error {
	n := e.Child
	if len(n.ages) == 0 || !slices.ContainsFunc(n.Table.Triggers, func(x schema.Trigger) bool { return x.FiresOnUpdateOf(e.SetColumns) }) {
		return nil
	}
	for _, a := range n.ages {
		d := dueRows{edge: e, age: a, cutoff: t.Cutoff, key: newValues(len(n.key))}
		if a.latest != nil {
			d.cutoff = b.run.base
		}
		s := &statement{}
		selected, names := numbered(cols(n.Table, columnNames(n.key)))
		inner := "SELECT " + strings.Join(selected, ", ") + " FROM " + from(n.Table) + " WHERE " + s.behind(e, known[e.Parent]) +
			" AND " + d.expired(s) + " FOR UPDATE OF " + ident(n.Table.Name.Name)
		s.add(gathered(inner, names))
		if err := tx.read(ctx, s, scanColumns(d.key)); err != nil {
			return fmt.Errorf("noting what is due of %s: %w", n.Table.Name, err)
		}
		if d.key.len() > 0 {
			tx.due = append(tx.due, d)
		}
	}
	return nil
}

func (d dueRows) expired(s *statement) string {
	cutoff := s.cast(d.cutoff, "timestamptz")
	if d.age.latest != nil {
		cutoff = d.age.latest(cutoff)
	}
	return d.age.age.expired(col(d.edge.Child.Table, d.age.age.column.Name), cutoff)
}

// youngSQL is the test whether any of the rows is there and not due any more.
func (d dueRows) youngSQL(s *statement) string {
	n := d.edge.Child
	return "EXISTS (SELECT FROM " + from(n.Table) + " WHERE " + s.among(withThemselves(n.key, n.keyOrders), cols(n.Table, columnNames(n.key)), d.key, true) + " AND (" + d.expired(s) + ") IS NOT TRUE)"
}

func (d dueRows) text() string {
	return fmt.Sprintf("rows of %s that are due (policy %s) are made young when their reference (%s) is emptied: %s", d.edge.Child.Table.Name, d.age.policy, d.edge.Label(), d.edge.Child.fires())
}
