package explain_test

import (
	"os"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/expiry"
	"github.com/reaperdb/reaper/internal/dbtest"
)

func TestMain(m *testing.M) { os.Exit(dbtest.Main(m)) }

// From the instant that DueBy gives, and not a microsecond before, a row is older than its retention,
// as PostgreSQL takes the retention from the time: at the ends of all months, too.
func TestDueBy(t *testing.T) {
	t.Parallel()
	pool := dbtest.New(t).Pool(t, func(c *pgxpool.Config) { c.ConnConfig.RuntimeParams["timezone"] = "UTC" })
	var tried, wrong int
	err := pool.QueryRow(t.Context(), `SELECT count(*), count(*) FILTER (WHERE (b + interval '1 us' - l > t AND b - interval '1 us' - l <= t) IS NOT TRUE)
		FROM (SELECT t, l, `+expiry.DueBy("x.t", "x.l")+` AS b
		        FROM (SELECT t, l FROM generate_series(timestamptz '2023-12-25', timestamptz '2025-03-05', interval '7 hours') t,
		              unnest('{30 days,1 mon,1 year 6 mons,36:00:00,1 mon -29 days,14 mons 3 days 04:05:06,5 years,1 mon 1 day,2 mons}'::interval[]) l) x) y`).Scan(&tried, &wrong)
	if err != nil || wrong > 0 || tried < 10_000 {
		t.Errorf("%d of %d are wrong: %v", wrong, tried, err)
	}
}
