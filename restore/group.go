package restore

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/archive"
	"github.com/reaperdb/reaper/internal/pg"
)

// groups are rows that come back together: roots that share no row are in different groups.
type groups struct {
	of    []int32 // by the row's id; -1: it does not come back
	sizes []int64
	roots [][][]string // by group, the keys of its roots
	rows  int64
}

func (g *groups) all() []int32 {
	all := make([]int32, len(g.sizes))
	for i := range all {
		all[i] = int32(i)
	}
	return all
}

// parts parts the groups into runs of at most so many rows, or one group.
func (g *groups) parts(most int64) (parts [][]int32) {
	var n int64
	for i, size := range g.sizes {
		if len(parts) == 0 || n+size > most {
			parts, n = append(parts, nil), 0
		}
		parts[len(parts)-1] = append(parts[len(parts)-1], int32(i))
		n += size
	}
	return parts
}

// left are the roots of groups that do not come back.
func (g *groups) left(segment string, which []int32, reason string) (left []Left) {
	for _, i := range which {
		if len(g.roots[i]) == 0 {
			left = append(left, Left{Segment: segment, Reason: reason})
		}
		for _, root := range g.roots[i] {
			left = append(left, Left{segment, root, reason})
		}
	}
	return left
}

// pair is a row that went with another.
type pair struct{ parent, child int32 }

// group finds out which rows belong to the roots that were chosen, and which of them together.
func (l *loaded) group(ctx context.Context, c *Chosen) (*groups, error) {
	var pairs []pair
	for i := range l.from.Edges {
		found, err := l.pairs(ctx, &l.from.Edges[i])
		if err != nil {
			return nil, fmt.Errorf("finding rows of %s that went with those of %s: %w", l.from.Edges[i].Child.Name, l.from.Edges[i].Parent.Name, err)
		}
		pairs = append(pairs, found...)
	}
	n := l.count()
	starts, keys, err := l.starts(ctx, c, n)
	if err != nil {
		return nil, err
	}
	reached := reach(n, starts, pairs)
	sets := newSets(n)
	for _, p := range pairs {
		if reached[p.parent] && reached[p.child] {
			sets.join(p.parent, p.child)
		}
	}
	if l.from.Piece != nil {
		for id := int32(1); id < n; id++ {
			sets.join(0, id)
		}
	}
	g := sets.groups(reached)
	for i, id := range starts {
		if keys[i] != nil && g.of[id] >= 0 {
			at := g.of[id]
			g.roots[at] = append(g.roots[at], keys[i])
		}
	}
	return g, nil
}

// count is the number of rows that the segment has.
func (l *loaded) count() (n int32) {
	for _, t := range l.tables {
		n += int32(t.File.Rows)
	}
	return n
}

// file is the table of a file; -1: the segment has none.
func (l *loaded) file(name archive.Name, kind archive.Kind, emptied []string) int {
	return slices.IndexFunc(l.tables, func(t *table) bool {
		return t.File.Table.Name == name && t.Kind == kind && slices.EqualFunc(t.Emptied, emptied, func(a archive.Left, b string) bool { return a.Column == b })
	})
}

// pairs reads which rows went with which others along an edge.
func (l *loaded) pairs(ctx context.Context, e *archive.Edge) ([]pair, error) {
	p, c := l.file(e.Parent, archive.Deleted, nil), l.file(e.Child, e.Kind, e.Emptied)
	if p < 0 || c < 0 || len(e.Compare) == 0 {
		return nil, nil
	}
	parent, child := l.tables[p], l.tables[c]
	if err := checkCompare(e); err != nil {
		return nil, err
	}
	of := child.temp
	if e.Where != "" && e.Kind == archive.Deleted {
		condition, err := l.condition(e)
		if err != nil {
			return nil, err
		}
		of = fmt.Sprintf("(SELECT * FROM %s AS %s WHERE (%s\n))", child.temp, pg.Ident(e.Child.Name), condition.SQL)
		defer l.path(ctx, condition.Path)()
	}
	sql := fmt.Sprintf("SELECT p.%s, c.%s FROM %s p JOIN %s c ON %s", pg.Ident(parent.ord), pg.Ident(child.ord), parent.temp, of, strings.Join(e.Compare, " AND "))
	rows, err := l.tx.Query(ctx, sql)
	if err != nil {
		return nil, err
	}
	var found []pair
	var a, b int32
	_, err = pgx.ForEachRow(rows, []any{&a, &b}, func() error {
		found = append(found, pair{l.first[p] + a, l.first[c] + b})
		return nil
	})
	return found, err
}

// path sets the search_path; what it returns sets it back.
func (l *loaded) path(ctx context.Context, path string) (back func()) {
	const set = "SELECT pg_catalog.set_config('search_path', $1, true)"
	// An error aborts the transaction, and so comes back from the next statement.
	_, _ = l.tx.Exec(ctx, set, path)
	return func() { _, _ = l.tx.Exec(ctx, set, "pg_catalog") }
}

// starts are the rows of the roots that were chosen, with their keys; nil: not known as a root.
func (l *loaded) starts(ctx context.Context, c *Chosen, n int32) (ids []int32, keys [][]string, err error) {
	if l.from.Piece != nil || c.all() {
		ids, keys = make([]int32, n), make([][]string, n)
		for i := range n {
			ids[i] = i
		}
		at := l.file(l.from.Root, archive.Deleted, nil)
		switch {
		case l.from.Piece != nil && n > 0:
			keys[0] = l.from.Piece
		case at >= 0:
			err = l.readKeys(ctx, at, keys)
		}
		return ids, keys, err
	}
	at := l.file(l.from.Root, archive.Deleted, nil)
	if at < 0 {
		return nil, nil, nil
	}
	var roots [][]string
	for i := range c.Lists {
		for _, r := range c.Lists[i].Roots {
			if len(r.Key) != len(l.from.RootKey) {
				return nil, nil, fmt.Errorf("the list of batch %d has a key of %d columns, and the policy's table one of %d", c.Lists[i].Seq, len(r.Key), len(l.from.RootKey))
			}
			roots = append(roots, r.Key)
		}
	}
	ids, keys, err = l.find(ctx, at, roots)
	if err == nil && len(ids) < len(roots) {
		err = fmt.Errorf("the lists name %d roots of which %d are in the segment", len(roots), len(ids))
	}
	return ids, keys, err
}

// readKeys reads the keys of all rows of the policy's table.
func (l *loaded) readKeys(ctx context.Context, at int, keys [][]string) error {
	t := l.tables[at]
	rows, err := l.tx.Query(ctx, fmt.Sprintf("SELECT r.%s, ARRAY[%s] FROM %s r", pg.Ident(t.ord), pg.List(len(l.from.RootKey), func(i int) string { return "r." + pg.Ident(l.from.RootKey[i]) + "::text" }), t.temp))
	if err != nil {
		return err
	}
	var row int32
	var key []string
	_, err = pgx.ForEachRow(rows, []any{&row, &key}, func() error {
		keys[l.first[at]+row] = slices.Clone(key)
		return nil
	})
	return err
}

// find finds rows of the policy's table by their keys' text.
func (l *loaded) find(ctx context.Context, at int, roots [][]string) (ids []int32, keys [][]string, err error) {
	t := l.tables[at]
	s := &pg.Statement{}
	key := make([]column, len(l.from.RootKey))
	var arrays, cast []string
	for i, name := range l.from.RootKey {
		j := slices.IndexFunc(t.columns, func(c column) bool { return c.name == name })
		if j < 0 {
			return nil, nil, fmt.Errorf("the segment has no column %s of its key", pg.Ident(name))
		}
		key[i] = t.columns[j]
		typ, err := t.typeOf(ctx, l.tx, j)
		if err != nil {
			return nil, nil, err
		}
		texts := make([]string, len(roots))
		for n, r := range roots {
			texts[n] = r[i]
		}
		arrays = append(arrays, s.Cast(texts, "text[]"))
		cast = append(cast, fmt.Sprintf("u.k%d::%s", i, typ))
	}
	s.Add("SELECT r.", pg.Ident(t.ord), ", u.n::int FROM ROWS FROM (", pg.List(len(arrays), func(i int) string { return "pg_catalog.unnest(" + arrays[i] + ")" }),
		") WITH ORDINALITY u(", pg.List(len(arrays), func(i int) string { return fmt.Sprintf("k%d", i) }), ", n) JOIN ", t.temp, " r ON ",
		rowText("r.", key), " = (ROW(", strings.Join(cast, ", "), ")::text COLLATE pg_catalog.\"C\")")
	rows, err := l.tx.Query(ctx, s.String(), s.Args...)
	if err != nil {
		return nil, nil, err
	}
	var row, n int32
	_, err = pgx.ForEachRow(rows, []any{&row, &n}, func() error {
		ids, keys = append(ids, l.first[at]+row), append(keys, roots[n-1])
		return nil
	})
	return ids, keys, err
}

// reach marks the rows that starts lead to, from parents to children.
func reach(n int32, starts []int32, pairs []pair) []bool {
	begin := make([]int32, n+1) // of each parent's children
	for _, p := range pairs {
		begin[p.parent+1]++
	}
	for i := range n {
		begin[i+1] += begin[i]
	}
	children, at := make([]int32, len(pairs)), slices.Clone(begin)
	for _, p := range pairs {
		children[at[p.parent]] = p.child
		at[p.parent]++
	}
	reached := make([]bool, n)
	var queue []int32
	visit := func(id int32) {
		if !reached[id] {
			reached[id] = true
			queue = append(queue, id)
		}
	}
	for _, id := range starts {
		visit(id)
	}
	for len(queue) > 0 {
		id := queue[len(queue)-1]
		queue = queue[:len(queue)-1]
		for _, child := range children[begin[id]:begin[id+1]] {
			visit(child)
		}
	}
	return reached
}

// sets are disjoint sets of rows.
type sets []int32

func newSets(n int32) sets {
	s := make(sets, n)
	for i := range s {
		s[i] = int32(i)
	}
	return s
}

func (s sets) top(id int32) int32 {
	for s[id] != id {
		s[id] = s[s[id]]
		id = s[id]
	}
	return id
}

func (s sets) join(a, b int32) { s[s.top(a)] = s.top(b) }

// groups numbers the sets of the rows that were reached.
func (s sets) groups(reached []bool) *groups {
	g := &groups{of: make([]int32, len(s))}
	number := map[int32]int32{}
	for id := range s {
		g.of[id] = -1
		if !reached[id] {
			continue
		}
		top := s.top(int32(id))
		n, known := number[top]
		if !known {
			n = int32(len(g.sizes))
			number[top] = n
			g.sizes, g.roots = append(g.sizes, 0), append(g.roots, nil)
		}
		g.of[id] = n
		g.sizes[n]++
		g.rows++
	}
	return g
}
