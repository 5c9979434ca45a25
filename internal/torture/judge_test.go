package torture

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// slack is how long before its first write a batch's statement may have begun: it may have missed
// what others committed to other tables in that time. Lock waits and statements are bounded to
// less than a second.
const slack = 5 * time.Second

// tally counts what was judged.
type tally struct {
	batches, deleted, drained, emptied int
	// kept are the expired roots that are kept in the end.
	kept int
	// late are rows left behind by a match because they were inserted at that very moment.
	late int
	// moved are rows deleted soon after a writer changed them, which shows that the writers work
	// where the batches are.
	moved int
}

// judge checks batches against the contract.
type judge struct {
	model *model
	tally tally
	wrong []string // the stories
	// gone and emptied are the rows of batches by table, for the final comparison with the
	// ledger.
	gone, emptied map[string]int
}

func newJudge(l *layout) *judge {
	return &judge{model: newModel(l), gone: map[string]int{}, emptied: map[string]int{}}
}

// see judges a transaction and applies its changes.
func (j *judge) see(tx *transaction) error {
	var c *courtCase
	if tx.batch != nil {
		c = newCase(j, tx)
		c.rule()
	} else if tx.writer == "" && len(tx.changes) > 0 {
		j.wrong = append(j.wrong, fmt.Sprintf("transaction %s changed %d rows, and is neither a writer's nor in the ledger; the first: %v", tx.xid, len(tx.changes), tx.changes[0]))
	}
	if err := j.model.apply(tx); err != nil {
		return err
	}
	if c != nil {
		c.judgeRemaining()
	}
	return nil
}

// isExpired reports whether a root is expired by any hold, retention and path that lookup
// returns. settled are the cutoffs from the run's start by tenant, which apply if earlier.
func (m *model) isExpired(t tuple, root string, base time.Time, lookup func(ref) []tuple, settled func(tenant string) (time.Time, bool)) bool {
	at := mustTime(t["at"])
	owners := []string{t["tenant_id"]}
	if root == "mails" {
		if t["status"] == "queued" {
			return false
		}
		owners = nil
		for _, domain := range lookup(ref{"domains", t["domain_id"]}) {
			owners = append(owners, domain["tenant_id"])
		}
	}
	for _, owner := range owners {
		if owner == foreverTenant {
			continue
		}
		for _, tenant := range lookup(ref{"tenants", owner}) {
			cutoff := base.AddDate(0, 0, -retention(tenant))
			if settled != nil {
				if first, ok := settled(owner); ok && first.Before(cutoff) {
					cutoff = first
				}
			}
			if tenant["hold"] != "true" && at.Before(cutoff) {
				return true
			}
		}
	}
	return false
}

func retention(tenant tuple) int {
	days, err := strconv.Atoi(tenant["days"])
	if err != nil {
		return defaultDays // NULL
	}
	return days
}

// courtCase is the judgment of one batch.
type courtCase struct {
	*judge
	tx      *transaction
	since   time.Time         // what was in effect since then counts
	deleted map[ref]tuple     // as they were at the commit
	written map[ref]time.Time // when they were last written
	roots   map[ref]bool      // verdicts on roots
}

func newCase(j *judge, tx *transaction) *courtCase {
	c := &courtCase{judge: j, tx: tx, since: j.model.reached(tx.first).Add(-slack), deleted: map[ref]tuple{}, written: map[ref]time.Time{}, roots: map[ref]bool{}}
	for _, ch := range tx.changes {
		if ch.op == "DELETE" {
			r := rowRef(ch.table, ch.old)
			c.deleted[r] = ch.old
			if s := j.model.rows[r]; s != nil {
				c.written[r] = s.at
			}
		}
	}
	return c
}

func (c *courtCase) run() string { return c.tx.batch.run + " " + c.tx.batch.policy }

// rule judges every change before it is applied.
func (c *courtCase) rule() {
	c.tally.batches++
	rows, nullified := map[string]int{}, map[string]int{}
	for _, ch := range c.tx.changes {
		switch ch.op {
		case "DELETE":
			rows["public."+ch.table]++
			c.judgeDeleted(rowRef(ch.table, ch.old))
		case "UPDATE":
			nullified["public."+ch.table]++
			c.judgeEmptied(ch)
		default:
			c.blame(rowRef(ch.table, ch.new), "a batch inserted it")
		}
	}
	for what, pair := range map[string][2]map[string]int{"deleted": {c.tx.batch.rows, rows}, "emptied": {c.tx.batch.nullified, nullified}} {
		if d := difference(pair[0], pair[1]); d != "" {
			c.wrong = append(c.wrong, fmt.Sprintf("batch %s of %d changes: rows that the ledger has as %s, less those that were: %s", c.tx.xid, len(c.tx.changes), what, d))
		}
	}
	for table, n := range rows {
		c.gone[table] += n
	}
	for table, n := range nullified {
		c.judge.emptied[table] += n
	}
}

// difference returns by how much one count exceeds another, by table; empty if it does not.
func difference(one, other map[string]int) string {
	more := maps.Clone(one)
	for table, n := range other {
		more[table] -= n
	}
	maps.DeleteFunc(more, func(_ string, n int) bool { return n == 0 })
	if len(more) == 0 {
		return ""
	}
	return fmt.Sprint(more)
}

func (c *courtCase) judgeDeleted(r ref) {
	c.tally.deleted++
	was := c.model.rows[r]
	if was == nil {
		c.blame(r, "the observer does not know it")
		return
	}
	if was.before != nil && c.since.Before(was.at) {
		c.tally.moved++
	}
	if c.hangsOn(r, nil) {
		return
	}
	if r.table == c.tx.batch.policy {
		c.blame(r, "it is a root that was not expired")
		return
	}
	root, ok := c.remainingRoot(r, nil)
	if !ok {
		c.blame(r, "it hung neither on an expired root that went with it nor on one that is being drained")
		return
	}
	c.tally.drained++
	if keeper, kept := c.model.keeper(root, c.deleted, map[ref]bool{}); kept {
		c.blame(r, fmt.Sprintf("it was drained from %s, which %s keeps", root, keeper))
	}
}

// hangsOn reports whether a row is a deleted expired root, or depended on one through rows that
// were all deleted.
func (c *courtCase) hangsOn(r ref, seen []ref) bool {
	if _, deleted := c.deleted[r]; !deleted || slices.Contains(seen, r) {
		return false
	}
	if r.table == c.tx.batch.policy && c.isExpiredRoot(r) {
		return true
	}
	for _, parent := range c.parents(r, deletes) {
		if c.hangsOn(parent, append(seen, r)) {
			return true
		}
	}
	return false
}

// remainingRoot finds an expired root that stays and on which a row depended, as when a root is
// drained.
func (c *courtCase) remainingRoot(r ref, seen []ref) (ref, bool) {
	if slices.Contains(seen, r) {
		return ref{}, false
	}
	if _, deleted := c.deleted[r]; !deleted && r.table == c.tx.batch.policy && c.isExpiredRoot(r) {
		return r, true
	}
	for _, parent := range c.parents(r, deletes) {
		if root, ok := c.remainingRoot(parent, append(seen, r)); ok {
			return root, true
		}
	}
	return ref{}, false
}

// parents returns the rows that a row references along edges of an action.
func (c *courtCase) parents(r ref, act action) []ref {
	s := c.model.rows[r]
	if s == nil {
		return nil
	}
	var found []ref
	for _, e := range c.model.layout.edges {
		if e.child != r.table || e.action != act {
			continue
		}
		if key, ok := e.target(s.tuple); ok {
			found = append(found, ref{e.parent, key})
		}
	}
	return found
}

func (c *courtCase) isExpiredRoot(r ref) bool {
	if verdict, known := c.roots[r]; known {
		return verdict
	}
	base, ok := c.model.bases[c.run()]
	s := c.model.rows[r]
	if !ok {
		c.blame(r, "the ledger's run is not known")
	}
	c.roots[r] = ok && s != nil && c.model.isExpired(s.tuple, r.table, base,
		func(r ref) []tuple { return c.model.inForce(r, c.since) },
		func(tenant string) (time.Time, bool) {
			at, known := c.model.settled[c.run()+" "+tenant]
			return at, known
		})
	return c.roots[r]
}

// judgeEmptied judges an update: it may only nullify references to rows that are deleted or being
// drained.
func (c *courtCase) judgeEmptied(ch change) {
	c.tally.emptied++
	r := rowRef(ch.table, ch.new)
	var changed []string
	for _, column := range c.model.layout.columns(ch.table) {
		if _, stays := ch.new[column]; stays && ch.new[column] != ch.old[column] {
			c.blame(r, "a batch changed its "+column+" to "+ch.new[column])
		} else if _, was := ch.old[column]; was && !stays {
			changed = append(changed, column)
		}
	}
	if len(changed) == 0 {
		c.blame(r, "a batch updated it, and emptied nothing")
	}
	for _, e := range c.model.layout.edges {
		key, ok := e.target(ch.old)
		if e.child != ch.table || e.action != clears || !ok {
			continue
		}
		parent := ref{e.parent, key}
		_, went := c.deleted[parent]
		if !went {
			_, went = c.remainingRoot(parent, nil)
		}
		if went {
			changed = slices.DeleteFunc(changed, func(column string) bool { return slices.Contains(e.columns, column) })
		}
	}
	if len(changed) > 0 {
		c.blame(r, fmt.Sprintf("a batch emptied its %s: what it referenced stays", strings.Join(changed, ", ")))
	}
}

// judgeRemaining looks for references to a deleted row after the changes.
func (c *courtCase) judgeRemaining() {
	for r := range c.deleted {
		for _, e := range c.model.layout.edges {
			if e.parent != r.table {
				continue
			}
			for key := range c.model.behind[e][r.key] {
				c.judgeDangling(e, r, ref{e.child, key})
			}
		}
	}
}

// judgeDangling allows only a match to leave a row behind, and only if the row or the one it
// matches was inserted at that very moment.
func (c *courtCase) judgeDangling(e *edge, parent, child ref) {
	s := c.model.rows[child]
	if e.match() && !(s.at.Before(c.since) && c.written[parent].Before(c.since)) {
		c.tally.late++
		return
	}
	c.blame(child, fmt.Sprintf("it is left, and references %s by %s, which went", parent, e))
}

// blame records a wrong row with the whole story.
func (c *courtCase) blame(r ref, reason string) {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s.\n  batch %s, policy %s, committed at %s, %d changes, cutoff base %s\n", r, reason, c.tx.xid, c.tx.batch.policy,
		c.tx.at.Format(time.TimeOnly+".000"), len(c.tx.changes), c.model.bases[c.run()].Format(time.DateTime))
	c.tell(&b, r, "  ", nil)
	c.wrong = append(c.wrong, b.String())
}

// tell describes a row, what last happened to it, and what it depends on.
func (c *courtCase) tell(b *strings.Builder, r ref, indent string, seen []ref) {
	_, went := c.deleted[r]
	fate := map[bool]string{true: "went", false: "stays"}[went]
	s := c.model.rows[r]
	switch {
	case s != nil:
		fmt.Fprintf(b, "%s%s %s: %v, written by %q in transaction %s, committed at %s", indent, r, fate, s.tuple, s.by, s.xid, s.at.Format(time.TimeOnly+".000"))
		if s.before != nil {
			fmt.Fprintf(b, "; before: %v", s.before)
		}
		b.WriteString("\n")
	case went:
		fmt.Fprintf(b, "%s%s went: %v\n", indent, r, c.deleted[r])
	default:
		fmt.Fprintf(b, "%s%s is not there\n", indent, r)
	}
	if slices.Contains(seen, r) || s == nil {
		return
	}
	c.tellOwner(b, r, s.tuple, indent+"  ")
	for _, act := range []action{deletes, clears, keeps} {
		for _, parent := range c.parents(r, act) {
			fmt.Fprintf(b, "%s  %s along:\n", indent, act)
			c.tell(b, parent, indent+"    ", append(seen, r))
		}
	}
}

func (c *courtCase) tellOwner(b *strings.Builder, r ref, t tuple, indent string) {
	owner := ref{"tenants", t["tenant_id"]}
	switch r.table {
	case "mails":
		domain := ref{"domains", t["domain_id"]}
		for _, v := range c.model.inForce(domain, c.since) {
			owner = ref{"tenants", v["tenant_id"]}
			fmt.Fprintf(b, "%sin %s of %s: %v\n", indent, domain, owner, c.model.inForce(owner, c.since))
		}
	case "events":
		fmt.Fprintf(b, "%sof %s: %v\n", indent, owner, c.model.inForce(owner, c.since))
	}
}
