package purge

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/reaperdb/reaper/internal/pg"
)

// settings are made local to every transaction in its first statement. One expression,
// whose result says nothing.
func settings(s *statement, path string, statementTimeout, lockTimeout time.Duration) string {
	ms := func(d time.Duration) string { return s.cast(fmt.Sprintf("%dms", d.Milliseconds()), textType) }
	return pg.Settings(path, ms(statementTimeout), ms(lockTimeout))
}

// writing settles whether the commit of a batch waits for the disk, and that rows
// are fetched by their place or by an index: the planner's usual price for that is
// one of cold disks, and makes it read whole tables for the few rows of a batch.
func writing(synchronous bool) string {
	commit := "'off'"
	if synchronous {
		commit = "pg_catalog.replace(pg_catalog.current_setting('synchronous_commit'), 'off', 'on')"
	}
	return "pg_catalog.num_nonnulls(" + pg.SetConfig("synchronous_commit", commit) + ", " + pg.SetConfig("random_page_cost", "'0.1'") + ")"
}

// lockTimeout bounds a wait for a lock.
func (p *Plan) lockTimeout() time.Duration { return min(p.Policy.Limits.Time, 500*time.Millisecond) }

// beginSQL is the first statement of a batch's transaction: the advisory lock of its
// tenant, the settings, whether a person has paused the policy (pausedSQL is the
// ledger's, for a placeholder with the policy's name), and the counters.
func (p *Plan) beginSQL(lockKey int64, timeout time.Duration, pausedSQL func(string) string, m *mode) *statement {
	s := &statement{}
	return s.add("SELECT pg_catalog.pg_try_advisory_xact_lock(", s.cast(strconv.FormatInt(lockKey, 10), "pg_catalog.int8"), "), ",
		settings(s, p.writingPath(), timeout, p.lockTimeout()), ", ", writing(p.safety.SynchronousCommit), ", ",
		pausedSQL(s.cast(p.Policy.Name, textType)), ", ", strings.Join(p.counters(s, m), ", "))
}

// countersSQL reads the counters alone.
func (p *Plan) countersSQL(m *mode) *statement {
	s := &statement{}
	return s.add("SELECT ", strings.Join(p.counters(s, m), ", "))
}

// counters is how many numbers the counters of this mode are: the WAL position
// first.
func (m *mode) counters() int { return 1 + len(m.counted) + len(m.countedUp) }

// counters are expressions for the WAL position in bytes and for what this
// session has deleted from and updated in tables, by the statistics of their
// leaves.
func (p *Plan) counters(s *statement, m *mode) []string {
	parts := []string{pg.WALPosition}
	sum := func(function string, nodes []*Node) {
		for _, n := range nodes {
			parts = append(parts, fmt.Sprintf("(SELECT coalesce(pg_catalog.sum(pg_catalog.%s(o)), 0)::pg_catalog.int8 FROM pg_catalog.unnest(%s) o)", function, s.cast(p.leaves(n), "pg_catalog.oid[]")))
		}
	}
	sum("pg_stat_get_xact_tuples_deleted", m.counted)
	sum("pg_stat_get_xact_tuples_updated", m.countedUp)
	return parts
}
