package erasing

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/internal/visible"
	"github.com/reaperdb/reaper/ledger"
	"github.com/reaperdb/reaper/policy"
)

// Certificate says what became of the rows of a tenant, as `reaper erasures --certificate` prints it.
// It names the tenant by a keyed hash alone.
type Certificate struct {
	ID          string            `json:"id"`
	TenantHash  string            `json:"tenant_hash"` // HMAC-SHA256 of the key, in hex
	State       string            `json:"state"`
	Origin      string            `json:"origin"` // command or when
	By          string            `json:"by"`
	Reason      string            `json:"reason"`
	RequestedAt time.Time         `json:"requested_at"`
	DueAt       time.Time         `json:"due_at"`
	BegunAt     *time.Time        `json:"begun_at"`
	FinishedAt  *time.Time        `json:"finished_at"`
	RunID       *string           `json:"run_id"`
	Tables      []CertifiedTable  `json:"tables"`
	PlanPrint   *string           `json:"plan_print"`     // the digest of what decided which rows go
	RecheckedAt *time.Time        `json:"rechecked_at"`   // when its rows were counted again; null: not yet
	Remaining   *int64            `json:"remaining_rows"` // what that found besides the kept ones
	Sweeps      int               `json:"sweeps"`         // that have looked for what arrived since
	NextSweepAt *time.Time        `json:"next_sweep_at"`  // null: none is to come
	Leftovers   []ledger.Leftover `json:"leftovers"`      // what they found
	NotCovered  []string          `json:"not_covered"`    // where the rows may still be
}

// CertifiedTable is what became of the rows of one table.
type CertifiedTable struct {
	Table      string     `json:"table"`
	Deleted    int64      `json:"deleted"`
	Redacted   int64      `json:"redacted"`
	Nullified  int64      `json:"nullified"` // references that were emptied
	Kept       int64      `json:"kept"`
	KeptUntil  *time.Time `json:"kept_until"`            // null: none are kept, or without an end
	KeptReason string     `json:"kept_reason,omitempty"` // from the policy file
}

// Certify makes the certificate of an erasure. file is nil where it cannot be read.
func Certify(ctx context.Context, l *ledger.Ledger, db *pgxpool.Pool, e *ledger.Erasure, file *policy.File) (*Certificate, error) {
	counts, err := l.Erased(ctx, db, e.ID)
	if err != nil {
		return nil, err
	}
	c := &Certificate{
		ID: e.ID, TenantHash: e.Hash, State: e.State, Origin: e.Origin, By: e.By, Reason: e.Reason, RequestedAt: e.RequestedAt, DueAt: e.DueAt, BegunAt: e.BegunAt, FinishedAt: e.FinishedAt,
		RunID: e.RunID, Tables: certified(counts, e.Kept), PlanPrint: e.Print, RecheckedAt: e.RecheckedAt, Remaining: e.Remaining, Sweeps: e.Sweeps, NextSweepAt: e.SweepAt, NotCovered: notCovered(e, file),
	}
	c.Leftovers, err = l.Leftovers(ctx, db, e.ID)
	if c.Leftovers == nil {
		c.Leftovers = []ledger.Leftover{}
	}
	return c, err
}

// certified joins what was done and what is kept, by table.
func certified(counts []ledger.ErasedRows, kept []ledger.Kept) []CertifiedTable {
	tables := map[string]*CertifiedTable{}
	of := func(name string) *CertifiedTable {
		if tables[name] == nil {
			tables[name] = &CertifiedTable{Table: name}
		}
		return tables[name]
	}
	for _, c := range counts {
		switch t := of(c.Table); c.Action {
		case "redact":
			t.Redacted = c.Rows
		case "nullify":
			t.Nullified = c.Rows
		default:
			t.Deleted = c.Rows
		}
	}
	for _, k := range kept {
		t := of(k.Table)
		t.Kept, t.KeptUntil, t.KeptReason = k.Rows, k.Until, k.Reason
	}
	all := make([]CertifiedTable, 0, len(tables))
	for _, t := range tables {
		all = append(all, *t)
	}
	slices.SortFunc(all, func(a, b CertifiedTable) int { return strings.Compare(a.Table, b.Table) })
	return all
}

// notCovered says where rows of the tenant may still be, in plain words.
func notCovered(e *ledger.Erasure, file *policy.File) []string {
	texts := []string{
		"backups and base backups of the database made before the erasure ended, until they are deleted",
		"write-ahead log (WAL) that is archived or not yet recycled",
		"replicas and subscribers that have not yet replayed the erasure",
		"dead row versions in the tables' files, until vacuum has removed them and their space is used again",
		"logs of the database, of applications and of reaper",
		"anything outside of this database: files, search indexes, caches, analytics, other services",
	}
	if file == nil || file.Archive == nil {
		return texts
	}
	text := "copies in reaper's archive of rows that policies had deleted before"
	switch {
	case file.Archive.Keep.Forever:
		text += ", which are kept forever"
	case e.FinishedAt != nil:
		text += ", until " + e.FinishedAt.Add(file.Archive.Keep.Approximately()).UTC().Format(time.DateOnly)
	default:
		text += ", for " + file.Archive.Keep.String()
	}
	return append(texts, text)
}

// Text is the certificate for people.
func (c *Certificate) Text() string {
	var b strings.Builder
	line := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-12s %s\n", name, visible.Text(fmt.Sprintf(format, args...)))
	}
	line("erasure", "%s, %s", c.ID, c.State)
	line("tenant", "HMAC-SHA256 %s", c.TenantHash)
	line("requested", "%s by %s: %s", at(&c.RequestedAt), c.By, c.Reason)
	line("begun", "%s", at(c.BegunAt))
	line("ended", "%s", at(c.FinishedAt))
	for _, t := range c.Tables {
		text := fmt.Sprintf("%d deleted", t.Deleted)
		if t.Redacted > 0 {
			text += fmt.Sprintf(", %d redacted", t.Redacted)
		}
		if t.Kept > 0 {
			text += fmt.Sprintf(", %d kept until %s", t.Kept, at(t.KeptUntil))
		}
		if t.KeptReason != "" {
			text += ": " + t.KeptReason
		}
		line("table", "%s: %s", t.Table, text)
	}
	if c.PlanPrint != nil {
		line("plan", "%s", *c.PlanPrint)
	}
	if c.Remaining != nil {
		line("recheck", "%d rows at %s", *c.Remaining, at(c.RecheckedAt))
	}
	for _, l := range c.Leftovers {
		line("sweep", "%d, %s: %d arrived, %d deleted %s", l.Sweep, l.Table, l.Found, l.Deleted, l.Note)
	}
	for _, text := range c.NotCovered {
		line("not covered", "%s", text)
	}
	return b.String()
}

// at is a time for people.
func at(t *time.Time) string {
	if t == nil {
		return "–"
	}
	return t.UTC().Format(time.DateTime) + " UTC"
}
