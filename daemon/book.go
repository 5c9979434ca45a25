package daemon

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/ledger"
)

// book is the ledger as this process reads and writes it, over the connection for
// questions.
type book struct {
	ledger   *ledger.Ledger
	pool     *pgxpool.Pool
	instance string
}

func (b book) Usable(ctx context.Context) error { return b.ledger.Usable(ctx, b.pool) }

func (b book) Migrate(ctx context.Context) error {
	_, err := b.ledger.Migrate(ctx, b.pool)
	return err
}

func (b book) Lease(ctx context.Context) (holder string, err error) {
	return b.ledger.Lease(ctx, b.pool, leaseName, b.instance, leaseLength)
}

func (b book) Holder(ctx context.Context) (string, error) {
	return b.ledger.Holder(ctx, b.pool, leaseName)
}

func (b book) Release(ctx context.Context) error {
	return b.ledger.Release(ctx, b.pool, leaseName, b.instance)
}

func (b book) Present(ctx context.Context) error {
	return b.ledger.Present(ctx, b.pool, b.instance)
}

func (b book) Leave(ctx context.Context) error { return b.ledger.Leave(ctx, b.pool, b.instance) }

func (b book) LastTick(ctx context.Context, policy string) (time.Time, error) {
	return b.ledger.LastTick(ctx, b.pool, policy)
}

func (b book) Claim(ctx context.Context, policy string, at time.Time, runID, trigger string) (bool, error) {
	return b.ledger.Claim(ctx, b.pool, policy, at, runID, trigger, b.instance)
}

func (b book) TakeOver(ctx context.Context, policy string, at time.Time, runID, trigger string) (bool, error) {
	return b.ledger.TakeOver(ctx, b.pool, policy, at, runID, trigger, b.instance)
}

func (b book) Running(ctx context.Context, policy string, at time.Time) (bool, error) {
	return b.ledger.Running(ctx, b.pool, policy, at)
}

func (b book) Holds(ctx context.Context) ([]ledger.Hold, error) { return b.ledger.Holds(ctx, b.pool) }

// Erasures are all erasures, and the rows that their last sweeps left, by erasure and by table.
func (b book) Erasures(ctx context.Context) (all []ledger.Erasure, left, rows map[string]int64, err error) {
	if all, err = b.ledger.Erasures(ctx, b.pool); err == nil && len(all) > 0 {
		left, rows, err = b.ledger.LeftoverRows(ctx, b.pool)
	}
	return all, left, rows, err
}

func (b book) Pauses(ctx context.Context) ([]ledger.Pause, error) {
	return b.ledger.Pauses(ctx, b.pool)
}

func (b book) CloseDead(ctx context.Context, policies []string) error {
	return b.ledger.CloseDead(ctx, b.pool, policies...)
}

func (b book) Histories(ctx context.Context, policies []string) (map[string]*ledger.History, error) {
	return b.ledger.Histories(ctx, b.pool, policies, keptRuns, byAssist, byHand)
}

func (b book) Totals(ctx context.Context, runID, policy string) (rows map[string]int64, nullified int64, err error) {
	rows, nullified, _, err = b.ledger.Totals(ctx, b.pool, runID, policy)
	return rows, nullified, err
}

func (b book) Scans(ctx context.Context, policies []string) (map[string]*ledger.Scan, error) {
	return b.ledger.Scans(ctx, b.pool, policies)
}

func (b book) SaveScan(ctx context.Context, policy string, s ledger.Scan) error {
	return b.ledger.SaveScan(ctx, b.pool, policy, s)
}

func (b book) SizeDue(ctx context.Context) (bool, error) { return b.ledger.SizeDue(ctx, b.pool) }

func (b book) SaveSize(ctx context.Context, s ledger.Size) error {
	return b.ledger.SaveSize(ctx, b.pool, s)
}

func (b book) Sizes(ctx context.Context, past time.Duration) ([]ledger.Size, error) {
	return b.ledger.Sizes(ctx, b.pool, past)
}

func (b book) MissingLists(ctx context.Context) (map[string]ledger.Missing, error) {
	return b.ledger.MissingLists(ctx, b.pool)
}

func (b book) Verification(ctx context.Context) (*ledger.Verification, error) {
	return b.ledger.Verification(ctx, b.pool)
}

func (b book) SaveVerification(ctx context.Context, found []byte, failed string, well, loaded bool) error {
	return b.ledger.SaveVerification(ctx, b.pool, found, failed, well, loaded)
}

func (b book) KnownSegments(ctx context.Context, since time.Time) (int64, error) {
	return b.ledger.KnownSegments(ctx, b.pool, since)
}
