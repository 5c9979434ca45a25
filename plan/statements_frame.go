package plan

import (
	"fmt"
	"strings"
	"time"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/schema"
)

// writing sets whether commits of batches wait for the disk, and makes the planner fetch rows by
// location or index: the default random_page_cost assumes cold disks and would read whole tables
// for the few rows of a batch.
func writing(synchronous bool) string {
	commit := "'off'"
	if synchronous {
		commit = "pg_catalog.replace(pg_catalog.current_setting('synchronous_commit'), 'off', 'on')"
	}
	return "pg_catalog.num_nonnulls(" + pg.SetConfig("synchronous_commit", commit) + ", " + pg.SetConfig("random_page_cost", "'0.1'") + ")"
}

// LockTimeout limits how long a statement waits for a lock.
func (p *Plan) LockTimeout() time.Duration { return min(p.Policy.Limits.Time, 500*time.Millisecond) }

// BeginSQL is the first statement of a batch's transaction: the advisory locks of its
// tenants, of which it returns those that it got; the settings; whether a person has paused
// the policy (pausedSQL is the ledger's, for a placeholder with the policy's name); and the
// counters.
func (p *Plan) BeginSQL(locks []int64, timeout time.Duration, pausedSQL func(string) string, m *Traversal) *pg.Statement {
	s := &pg.Statement{}
	return s.Add("SELECT ARRAY(SELECT l FROM pg_catalog.unnest(", s.Cast(locks, "pg_catalog.int8[]"), ") l WHERE pg_catalog.pg_try_advisory_xact_lock(l)), ",
		pg.LocalSettings(s, p.writingPath(), timeout, p.LockTimeout()), ", ", writing(p.File.Safety.SynchronousCommit), ", ",
		pausedSQL(s.Cast(p.Policy.Name, pg.TextType)), ", ", strings.Join(p.counters(s, m), ", "))
}

// CountersSQL reads the counters alone.
func (p *Plan) CountersSQL(m *Traversal) *pg.Statement {
	s := &pg.Statement{}
	return s.Add("SELECT ", p.Counters(s, m))
}

// Counters is the list of their expressions.
func (p *Plan) Counters(s *pg.Statement, m *Traversal) string {
	return strings.Join(p.counters(s, m), ", ")
}

// Counters is the number of counters of this traversal, the WAL position included.
func (m *Traversal) Counters() int { return 1 + len(m.Counted) + len(m.CountedUp) }

// counters are expressions for the WAL position in bytes, and for the tuples that this transaction
// has deleted and updated, from the statistics of the tables' leaves.
func (p *Plan) counters(s *pg.Statement, m *Traversal) []string {
	parts := []string{pg.WALPosition}
	sum := func(function string, nodes []*Node) {
		for _, n := range nodes {
			leaves := p.Leaves(n)
			if len(leaves) == 1 { // then it is an expression without a query, which PL/pgSQL evaluates ten times as fast
				parts = append(parts, "pg_catalog."+function+"("+s.Cast(leaves[0], "pg_catalog.oid")+")")
				continue
			}
			parts = append(parts, fmt.Sprintf("(SELECT coalesce(pg_catalog.sum(pg_catalog.%s(o)), 0)::pg_catalog.int8 FROM pg_catalog.unnest(%s) o)", function, s.Cast(leaves, "pg_catalog.oid[]")))
		}
	}
	sum("pg_stat_get_xact_tuples_deleted", m.Counted)
	sum("pg_stat_get_xact_tuples_updated", m.CountedUp)
	return parts
}

// Leaves are the tables that store a node's rows.
func (p *Plan) Leaves(n *Node) []uint32 {
	if n.Table.Kind == schema.Partitioned {
		return p.graph.Family(n.Table.OID)
	}
	return []uint32{n.Table.OID}
}
