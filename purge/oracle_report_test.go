package purge_test

import (
	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/purge"
)

// checkEnd checks the report's status.
func (x *trial) checkEnd(got *purge.PolicyReport, want *oracle, kept int64) {
	x.t.Helper()
	status := purge.Complete
	if want.count("skipped") > 0 {
		status = purge.Incomplete
	}
	if got.Status != status {
		x.fail("status is %s (%s), want %s", got.Status, got.Reason, status)
	}
	if got.BacklogRows == nil {
		x.fail("backlog_rows is not known: what is due could not be counted in time")
	}
	x.same("kept_rows, backlog_rows", []int64{kept, 0}, []int64{got.KeptRows, *got.BacklogRows})
	counts := purge.TenantCounts{Held: want.count("held"), Forever: want.count("forever"), Skipped: want.count("skipped")}
	x.same("tenants", counts, purge.TenantCounts{Held: got.Tenants.Held, Forever: got.Tenants.Forever, Skipped: got.Tenants.Skipped, Failed: got.Tenants.Failed})
}

// checkSums compares the sum of all reports with what has changed.
func (x *trial) checkSums(want *oracle) {
	x.t.Helper()
	deleted, nullified := map[string]int64{}, int64(0)
	for _, report := range x.reports {
		got := report.Policies[0]
		for table, n := range got.Rows {
			deleted[table] += n
		}
		if got.RowsTotal != total(got.Rows) {
			x.fail("rows_total is %d, rows are %v", got.RowsTotal, got.Rows)
		}
		nullified += got.RowsNullified
	}
	x.same("deleted rows of the report", want.gone(), withoutZeros(deleted))
	if nullified < int64(want.nullified[0]) || nullified > int64(want.nullified[1]) {
		x.fail("rows_nullified is %d; %d rows were emptied, by %d references", nullified, want.nullified[0], want.nullified[1])
	}
}

func (x *trial) checkLedger() {
	x.t.Helper()
	for _, report := range x.reports {
		rows, err := x.own.Query(x.ctx, `SELECT table_name, sum(rows)::bigint, sum(rows_nullified)::bigint FROM reaper.deletions WHERE run_id = $1::uuid GROUP BY 1`, report.RunID)
		if err != nil {
			x.fail("reading the ledger: %v", err)
		}
		deleted, nullified := map[string]int64{}, int64(0)
		var table string
		var n, empty int64
		if _, err := pgx.ForEachRow(rows, []any{&table, &n, &empty}, func() error {
			deleted[table] = n
			nullified += empty
			return nil
		}); err != nil {
			x.fail("reading the ledger: %v", err)
		}
		x.same("deleted rows of the ledger", withoutZeros(report.Policies[0].Rows), withoutZeros(deleted))
		x.same("emptied rows of the ledger", report.Policies[0].RowsNullified, nullified)
	}
}
