package purge_test

import (
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/explain"
)

// explainedRoots is how many roots of a case are explained.
const explainedRoots = 1

// explain asks about some roots, and returns the answers by number of the row.
func (x *trial) explain() map[string]*explain.Row {
	names := make([]string, len(x.plan.Key))
	for i, k := range x.plan.Key {
		names[i] = pgx.Identifier{k.Name}.Sanitize() + "::text"
	}
	answers := map[string]*explain.Row{}
	rows := x.before[x.c.root]
	for i := range min(explainedRoots, len(rows)) {
		number := rows[draw{x.t}.upTo(0, len(rows)-1, "explained")].number()
		var key []string
		if err := x.own.QueryRow(x.ctx, "SELECT ARRAY["+strings.Join(names, ", ")+"] FROM "+x.c.root.sql()+" WHERE rid = $1", number).Scan(&key); err != nil {
			x.fail("reading a key: %v", err)
		}
		answers[number] = x.explained(key, time.Time{})
		if i == 0 {
			x.expires(key, answers[number])
		}
	}
	return answers
}

// explained asks about one root, by an instant; zero: now.
func (x *trial) explained(key []string, at time.Time) *explain.Row {
	row, err := explain.Explain(x.ctx, x.pool, explain.Question{Plan: x.plan, Ledger: x.ledger, At: at}, key)
	if err != nil {
		x.fail("explaining %v: %v", key, err)
	}
	for _, line := range row.Lines() {
		if strings.Contains(line, "%!") {
			x.fail("explaining %v: %s", key, line)
		}
	}
	return row
}

// expires checks from both sides the instant at which an answer says that the row comes due.
func (x *trial) expires(key []string, row *explain.Row) {
	if row.ExpiresAt == nil {
		return
	}
	has := func(row *explain.Row, kind explain.Kind) bool {
		return slices.ContainsFunc(row.Reasons, func(r explain.Reason) bool { return r.Kind == kind })
	}
	if before := x.explained(key, row.ExpiresAt.Add(-time.Millisecond)); has(before, explain.Expired) || before.Verdict == explain.Stays && !has(before, explain.NotExpired) {
		x.fail("it expires at %s, but before: %q", row.ExpiresAt, before.Lines())
	}
	if after := x.explained(key, row.ExpiresAt.Add(time.Millisecond)); has(after, explain.NotExpired) {
		x.fail("it expires at %s, but after it: %q", row.ExpiresAt, after.Lines())
	}
}

// checkExplained compares the answers with what a purge has deleted. It can delete more: references
// that it clears on the way may have kept a row.
func (x *trial) checkExplained(answers map[string]*explain.Row, want *oracle) {
	x.t.Helper()
	for number, row := range answers {
		r := want.at[x.c.root][number]
		if slices.ContainsFunc(row.Reasons, func(r explain.Reason) bool { return r.Kind == explain.Other }) {
			x.fail("explain gives no reason: %q", row.Lines())
		}
		if goes := row.Verdict == explain.Goes; goes != r.gone && r.gone == want.ahead[r] {
			x.fail("explain: %q; but it is deleted: %v", row.Lines(), r.gone)
		}
	}
}
