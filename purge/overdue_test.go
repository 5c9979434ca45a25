package purge_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/reaperdb/reaper/preview"
)

// Lag and backlog are the same whether measured by the oldest rows of an index or by reading
// all rows.
func TestMeasure(t *testing.T) {
	t.Parallel()
	const schema = `
		CREATE TABLE orgs (id int PRIMARY KEY, days int, held bool);
		INSERT INTO orgs VALUES (1, 30, NULL), (2, 10, false), (3, 10, true), (4, 1000, false);
		CREATE TABLE letters (id int PRIMARY KEY, org int REFERENCES orgs, at timestamptz);
		INSERT INTO letters SELECT n, 1 + n % 4, date_trunc('hour', now()) - n * interval '1 day' FROM generate_series(1, 80) n;
		INSERT INTO letters VALUES (100, NULL, '2020-01-01'), (101, 1, '-infinity');`
	const policy = `
tenants: {table: orgs, key: id, retention: days, hold: held}
policies: [{name: letters, table: letters, age: at, tenant: org%s}]`
	ground := ground(t)
	for _, c := range []struct{ name, index, more string }{
		{"tenant keyset", `CREATE INDEX ON letters (org, at, id)`, ""},
		{"age sweep", `CREATE INDEX ON letters (at)`, ""},
		{"key sweep", ``, ""},
		{"kept", `CREATE INDEX ON letters (org, at, id); CREATE TABLE seals (letter int REFERENCES letters); CREATE INDEX ON seals (letter)`, ", dependents: [{table: seals, action: keep}]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := ground.on(t, schema+c.index, fmt.Sprintf(policy, c.more))
			o, err := preview.Measure(t.Context(), b.pool, b.plans()[0], time.Minute, time.Minute)
			if err != nil {
				t.Fatal(err)
			}
			if o.Oldest == nil {
				t.Fatal("no oldest row")
			}
			// Tenant 1 has every fourth day from day 4, tenant 2 from day 1.
			type numbers struct {
				Tenants, Rows int64
				Lag, Oldest   time.Duration
				Worst         []string
			}
			day := 24 * time.Hour
			got := numbers{Tenants: o.Tenants, Rows: *o.Rows, Lag: time.Duration(o.Lag * float64(time.Second)).Truncate(day), Oldest: o.At.Sub(*o.Oldest).Truncate(day)}
			for _, w := range o.Worst {
				got.Worst = append(got.Worst, *w.Key)
			}
			want := numbers{
				Tenants: 2, Rows: int64(b.Int(t, `SELECT count(*) FROM letters WHERE at > '-infinity' AND (org = 1 AND at < now() - interval '30 days' OR org = 2 AND at < now() - interval '10 days')`)),
				Lag: 67 * day, Oldest: 80 * day, Worst: []string{"2", "1"},
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			b.purge().complete()
			if o, err = preview.Measure(t.Context(), b.pool, b.plans()[0], time.Minute, time.Minute); err != nil || o.Lag != 0 || o.Oldest != nil || o.Tenants != 0 || *o.Rows != 0 || len(o.Worst) > 0 {
				t.Errorf("after a purge: %+v (%v)", o, err)
			}
		})
	}
}
