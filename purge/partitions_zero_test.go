package purge_test

import (
	"fmt"
	"testing"

	"github.com/reaperdb/reaper/purge"
)

// Rows with a value that means "no time" never expire and keep their partition, even if every
// tenant's rows of that age are expired, so that no row would be checked. A partition without
// such rows is dropped.
func TestPartitionDrop_ZeroTimes(t *testing.T) {
	t.Parallel()
	ground := ground(t)
	for _, c := range []struct {
		name, typ, spec string
		from            string // start of the old partition
		zero            string // empty: none
		dropped         bool
	}{
		{"before 1900", "timestamptz", "at", "MINVALUE", "'0001-01-01 00:00:00+00'", false},
		{"before 1900, in a range that begins", "timestamptz", "at", "'0001-01-01 00:00:00+00'", "'0001-01-01 00:00:00+00'", false},
		{"1970", "timestamptz", "at", "'1970-01-01 00:00:00+00'", "'1970-01-01 00:00:00+00'", false},
		{"1970, from 1900 on", "timestamptz", "at", "'1900-01-01 00:00:00+00'", "'1970-01-01 00:00:00+00'", false},
		{"a timestamp of 1970 in Honolulu", "timestamp", "{column: at, time_zone: Pacific/Honolulu}", "'1969-12-31'", "'1969-12-31 14:00:00'", false},
		{"a date of 1970", "date", "at", "'1970-01-01'", "'1970-01-01'", false},
		{"a date before 1900", "date", "at", "'1899-12-30'", "'1899-12-30'", false},
		{"an integer of 0", "bigint", "{column: at, unit: s}", "0", "0", false},
		{"an integer below 0", "bigint", "{column: at, unit: s}", "MINVALUE", "-1", false},
		{"none", "timestamptz", "at", "MINVALUE", "", true},
		{"none, from 1900 on", "timestamptz", "at", "'1900-01-01 00:00:00+00'", "", true},
		{"none, integers", "bigint", "{column: at, unit: s}", "0", "", true},
		{"none can be", "timestamptz", "at", "'1971-01-01 00:00:00+00'", "", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			end, old := "'2020-01-01 00:00:00+00'", "'2019-06-01'"
			if c.typ == "bigint" {
				end, old = "1577836800", "1559347200"
			}
			b := ground.on(t, fmt.Sprintf(`
				SET TIME ZONE 'UTC';
				CREATE TABLE orgs (id int PRIMARY KEY, days int); INSERT INTO orgs VALUES (1, 30), (2, 60);
				CREATE TABLE events (id int, org_id int NOT NULL REFERENCES orgs, at %[1]s, PRIMARY KEY (at, id)) PARTITION BY RANGE (at);
				CREATE TABLE p1 PARTITION OF events FOR VALUES FROM (%[2]s) TO (%[3]s);
				CREATE TABLE p0 PARTITION OF events FOR VALUES FROM (%[3]s) TO (MAXVALUE);
				INSERT INTO events SELECT n, 1 + n %% 2, %[4]s FROM generate_series(1, 10) n`, c.typ, c.from, end, old),
				fmt.Sprintf("tenants: {table: orgs, key: id, retention: days}\npolicies: [{name: events, table: events, age: %s, tenant: org_id}]", c.spec))
			if c.zero != "" {
				b.Exec(t, `INSERT INTO events VALUES (99, 1, `+c.zero+`)`)
			}
			shape, detached := b.shape(), false
			b.connect(b.DSN(), before("DETACH PARTITION", func() { detached = true }))
			o := b.purge().is(purge.Complete).rows(map[string]int64{"public.events": 10})
			if !c.dropped {
				o.dropped()
				b.sameShape(shape)
				if detached {
					t.Error("the partition was detached")
				}
				b.left(`SELECT id FROM events`, "99")
				return
			}
			o.dropped("public.p1")
		})
	}
}
