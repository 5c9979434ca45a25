package purge_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/purge"
)

// orderTree is 40 tenants with 20 orders each, half of them expired, and what hangs off an order: two
// levels of NO ACTION keys, a table reached in two ways, one of two columns, a partitioned one,
// and references that are emptied.
const orderTree = `
CREATE TABLE owners (id text PRIMARY KEY, days int NOT NULL, held bool NOT NULL DEFAULT false);
CREATE TABLE shops (id int PRIMARY KEY, owner text NOT NULL REFERENCES owners);
CREATE TABLE orders (id int PRIMARY KEY, shop int NOT NULL REFERENCES shops, at timestamptz NOT NULL, code uuid NOT NULL DEFAULT gen_random_uuid(), UNIQUE (id, code));
CREATE INDEX ON orders (shop, at, id);
CREATE TABLE items (id int PRIMARY KEY, orders int NOT NULL REFERENCES orders);
CREATE TABLE parts (id int PRIMARY KEY, item int REFERENCES items, orders int REFERENCES orders);
CREATE TABLE labels (id int PRIMARY KEY, orders int NOT NULL, code uuid NOT NULL, FOREIGN KEY (orders, code) REFERENCES orders (id, code));
CREATE TABLE logs (id int, part int NOT NULL REFERENCES parts) PARTITION BY HASH (id);
CREATE TABLE logs_0 PARTITION OF logs FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE logs_1 PARTITION OF logs FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE letters (id int PRIMARY KEY, item int REFERENCES items ON DELETE SET NULL);
CREATE TABLE hints (id int PRIMARY KEY, orders int REFERENCES orders ON DELETE CASCADE);
CREATE INDEX ON items (orders); CREATE INDEX ON parts (item); CREATE INDEX ON parts (orders); CREATE INDEX ON labels (orders, code);
CREATE INDEX ON logs (part); CREATE INDEX ON letters (item); CREATE INDEX ON hints (orders);
INSERT INTO owners SELECT 'o' || n, 30 FROM generate_series(0, 39) n;
INSERT INTO shops SELECT n, 'o' || n % 40 FROM generate_series(0, 79) n;
INSERT INTO orders (id, shop, at) SELECT n, n % 80, now() - (n % 60 + 1) * interval '1 day' FROM generate_series(0, 799) n;
INSERT INTO items SELECT n, n / 2 FROM generate_series(0, 1599) n;
INSERT INTO parts SELECT n, CASE WHEN n % 3 < 2 THEN n END, CASE WHEN n % 3 > 0 THEN n / 2 END FROM generate_series(0, 1599) n;
INSERT INTO labels SELECT row_number() OVER (), id, code FROM orders, generate_series(1, 2);
INSERT INTO logs SELECT n, n % 1600 FROM generate_series(0, 2399) n;
INSERT INTO letters SELECT n, n FROM generate_series(0, 1599) n;
INSERT INTO hints SELECT n, n FROM generate_series(0, 799) n;
`

const treePolicy = `
tenants: {table: owners, key: id, retention: days, hold: held}
policies:
  - name: orders
    table: orders
    age: at
    tenant: [shop, owner]
    undecided: delete`

// treeTables are the tables of the tree, each with the order that a row goes with.
var treeTables = []struct{ name, order, clears string }{
	{"orders", "id", ""},
	{"items", "orders", ""},
	{"parts", "coalesce(orders, (SELECT i.orders FROM copy_of_items i WHERE i.id = item))", ""},
	{"labels", "orders", ""},
	{"logs", "(SELECT coalesce(p.orders, (SELECT i.orders FROM copy_of_items i WHERE i.id = p.item)) FROM copy_of_parts p WHERE p.id = part)", ""},
	{"hints", "orders", ""},
	{"letters", "(SELECT i.orders FROM copy_of_items i WHERE i.id = item)", "item"},
}

func treeCopies() string {
	var b strings.Builder
	for _, x := range treeTables {
		b.WriteString("CREATE TABLE copy_of_" + x.name + " AS TABLE " + x.name + ";")
	}
	return b.String()
}

// treeLedger compares the ledger's rows of each tenant and table with what has become of the tree,
// by plain SQL over copies from before.
func (b *bed) treeLedger() {
	b.t.Helper()
	var parts []string
	for _, x := range treeTables {
		what, changed := "rows", "NOT EXISTS (SELECT FROM "+x.name+" n WHERE n.id = c.id)"
		if x.clears != "" {
			what, changed = "nullified", "c."+x.clears+" IS NOT NULL AND EXISTS (SELECT FROM "+x.name+" n WHERE n.id = c.id AND n."+x.clears+" IS NULL)"
		}
		parts = append(parts, `SELECT s.owner || ' public.`+x.name+` ' || count(*) || ' `+what+`' FROM (SELECT `+x.order+` AS o FROM copy_of_`+x.name+` c WHERE `+changed+`) g
			JOIN copy_of_orders r ON r.id = g.o JOIN shops s ON s.id = r.shop GROUP BY s.owner`)
	}
	want := b.Texts(b.t, strings.Join(parts, " UNION ALL ")+" ORDER BY 1")
	got := b.Texts(b.t, `SELECT tenant || ' ' || table_name || ' ' || CASE WHEN rows > 0 THEN rows || ' rows' ELSE rows_nullified || ' nullified' END FROM reaper.deletions ORDER BY 1`)
	if diff := cmp.Diff(want, got); diff != "" {
		b.t.Errorf("what has become of the rows (-) and the ledger (+) differ:\n%s", diff)
	}
}

// noneDangles verifies that every row of the tree has its order still, or is gone with it.
func (b *bed) noneDangles() {
	b.t.Helper()
	for _, key := range []string{"items (orders) orders", "parts (orders) orders", "parts (item) items", "letters (item) items", "hints (orders) orders", "logs (part) parts", "labels (orders) orders"} {
		table, rest, _ := strings.Cut(key, " (")
		column, parent, _ := strings.Cut(rest, ") ")
		b.count(`SELECT count(*) FROM `+table+` c WHERE `+column+` IS NOT NULL AND NOT EXISTS (SELECT FROM `+parent+` p WHERE p.id = c.`+column+`)`, 0)
	}
}

// watchTogether counts the batches whose statements are those of all their tenants.
func watchTogether(n *atomic.Int64) func(*pgxpool.Config) {
	return beforeEvery("reaper_v(reaper_at", func() { n.Add(1) })
}

// Where a batch locks and collects before it deletes, its tenants share the statements; each has
// its own counts, in every table.
func TestTogether(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, sql, policy string }{
		{"ordinary", "", treePolicy},
		{"proven", "", proven(treePolicy)},
		{"swept", "DROP INDEX orders_shop_at_id_idx;", treePolicy},
		{"swept by age, proven", "DROP INDEX orders_shop_at_id_idx; CREATE INDEX ON orders (at);", proven(treePolicy)},
		{"key of two columns", "ALTER TABLE orders DROP CONSTRAINT orders_pkey CASCADE, ADD PRIMARY KEY (code, id); ALTER TABLE orders ADD UNIQUE (id);" +
			"ALTER TABLE items ADD FOREIGN KEY (orders) REFERENCES orders (id); ALTER TABLE parts ADD FOREIGN KEY (orders) REFERENCES orders (id); ALTER TABLE hints ADD FOREIGN KEY (orders) REFERENCES orders (id) ON DELETE CASCADE;", treePolicy},
		{"tenants of a query", "", strings.Replace(treePolicy, "{table: owners, key: id, retention: days, hold: held}", `{query: "SELECT id, days, held FROM owners"}`, 1)},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var used atomic.Int64
			b := prepare(t, orderTree+c.sql+treeCopies(), c.policy, watchTogether(&used))
			o := b.purge().complete()
			b.count(`SELECT count(*) FROM orders WHERE at < now() - interval '30 days'`, 0)
			b.count(`SELECT count(*) FROM orders`, 397)
			b.noneDangles()
			b.treeLedger()
			if r := o.one(); used.Load() == 0 || r.Tenants.Done != 40 {
				t.Errorf("%d batches for all tenants at once, %+v; want some, and 40 tenants done", used.Load(), r.Tenants)
			}
		})
	}
}

// What changes between the search and the batch counts for each tenant, as it does for one.
func TestTogether_ChangedBetween(t *testing.T) {
	t.Parallel()
	for name, policy := range map[string]string{"ordinary": treePolicy, "proven": proven(treePolicy)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := prepare(t, orderTree+treeCopies(), policy)
			var used atomic.Int64
			b.connect(b.DSN(), func(c *pgxpool.Config) {
				change := (&hook{words: atBatch, call: func() {
					b.Exec(t, `
						UPDATE owners SET held = true WHERE id = 'o1';
						UPDATE owners SET days = 400 WHERE id = 'o2';
						UPDATE orders SET at = now() WHERE shop = 3;
						UPDATE shops SET owner = 'o2' WHERE id = 4;
						INSERT INTO owners VALUES ('new', 400); UPDATE shops SET owner = 'new' WHERE id = 5;
						DELETE FROM owners WHERE id = 'gone'`)
				}}).before
				count := (&hook{words: "reaper_v(reaper_at", call: func() { used.Add(1) }, every: true}).before
				c.ConnConfig.Tracer = argsHook(func(sql string, args []any) { change(sql, args); count(sql, args) })
			})
			b.purge()
			b.count(`SELECT count(*) FROM orders o JOIN copy_of_orders USING (id) WHERE o.shop IN (1, 41, 2, 42, 3, 4, 5)`, 70)
			b.count(`SELECT count(*) FROM orders WHERE at < now() - interval '30 days' AND shop NOT IN (1, 41, 2, 42, 3, 4, 5)`, 0)
			b.noneDangles()
			if used.Load() == 0 {
				t.Error("no batch was deleted for all tenants at once")
			}
		})
	}
}

// A tenant whose rows cannot be deleted is named, and costs the others nothing.
func TestTogether_Poisoned(t *testing.T) {
	t.Parallel()
	for name, policy := range map[string]string{"ordinary": treePolicy, "proven": proven(treePolicy)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := prepare(t, orderTree+treeCopies(), policy)
			// A CHECK that fails when a reference is emptied: no trigger, so nothing to be seen before.
			b.Exec(t, `ALTER TABLE letters ADD CHECK (id <> 111 OR item IS NOT NULL)`)
			b.purge().is(purge.Incomplete, "1 tenant failed: ", "(o15)")
			b.count(`SELECT count(*) FROM orders o WHERE at < now() - interval '30 days' AND EXISTS (SELECT FROM shops s WHERE s.id = o.shop AND s.owner <> 'o15')`, 0)
			b.count(`SELECT count(*) FROM orders WHERE id = 55`, 1)
			b.noneDangles()
		})
	}
}

// Rows that others have locked cost only their own tenant.
func TestTogether_Locked(t *testing.T) {
	t.Parallel()
	for name, policy := range map[string]string{"ordinary": treePolicy, "proven": proven(treePolicy)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := prepare(t, orderTree+treeCopies(), policy)
			s := b.session()
			s.do(`BEGIN; SELECT FROM orders WHERE id = 32 FOR UPDATE; SELECT FROM parts WHERE id = 67 FOR UPDATE`)
			b.purge().is(purge.Incomplete, "locked")
			b.count(`SELECT count(*) FROM orders WHERE at < now() - interval '30 days' AND id NOT IN (32, 33)`, 0)
			b.treeLedger()
			s.do(`ROLLBACK`)
			b.again()
			b.purge().complete()
			b.count(`SELECT count(*) FROM orders WHERE at < now() - interval '30 days'`, 0)
			b.noneDangles()
		})
	}
}

// ordersOfThree is three tenants; itemsAndParts adds an item and a part of each order.
const ordersOfThree = `
CREATE TABLE owners (id text PRIMARY KEY, days int NOT NULL, held bool NOT NULL DEFAULT false);
CREATE TABLE orders (id int PRIMARY KEY, owner text NOT NULL REFERENCES owners, at timestamp NOT NULL);
CREATE INDEX ON orders (owner, at, id);
CREATE TABLE items (id int PRIMARY KEY, orders int NOT NULL REFERENCES orders);
CREATE INDEX ON items (orders);
CREATE TABLE parts (id int PRIMARY KEY, item int NOT NULL REFERENCES items);
CREATE INDEX ON parts (item);
INSERT INTO owners VALUES ('a', 30), ('b', 30), ('c', 30);
`

const itemsAndParts = `INSERT INTO items SELECT id, id FROM orders; INSERT INTO parts SELECT id, id FROM items;`

const threePolicy = `
tenants: {table: owners, key: id, retention: days, hold: held}
policies: [{name: orders, table: orders, age: {column: at, time_zone: Asia/Tokyo}, tenant: owner, undecided: delete}]`

// The oldest ages that are valid in the east are older than 1900 in UTC. Whatever stood for "nothing
// goes" must be older still.
func TestTogether_NothingGoesOfHeld(t *testing.T) {
	t.Parallel()
	for name, policy := range map[string]string{"ordinary": threePolicy, "proven": proven(threePolicy)} {
		for _, index := range []string{"", "DROP INDEX orders_owner_at_id_idx;"} {
			t.Run(name+" "+index, func(t *testing.T) {
				t.Parallel()
				b := prepare(t, ordersOfThree+index+`INSERT INTO orders SELECT n, chr(97 + n % 3), '1900-01-01' FROM generate_series(1, 30) n;`+itemsAndParts, policy)
				b.connect(b.DSN(), before(atBatch, func() {
					b.Exec(t, `UPDATE owners SET held = true WHERE id = 'b'; UPDATE owners SET days = 100000000 WHERE id = 'c'`)
				}))
				b.runner.Connections = 1
				b.purge()
				b.left(`SELECT owner || ' ' || count(*) FROM orders GROUP BY owner ORDER BY owner`, "b 10", "c 10")
			})
		}
	}
}

// Of two tenants, another process works on one: the other's part is held against the limits too.
func TestTogether_LimitsOfOne(t *testing.T) {
	t.Parallel()
	for name, policy := range map[string]string{"ordinary": threePolicy, "proven": proven(threePolicy)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := prepare(t, ordersOfThree+`INSERT INTO orders SELECT n, chr(97 + n % 2), now() - interval '400 days' + n * interval '1 minute' FROM generate_series(1, 8) n;`+itemsAndParts+
				`ANALYZE; INSERT INTO parts SELECT 100 + n, 1 + n % 8 FROM generate_series(1, 8000) n`, strings.Replace(policy, "undecided: delete", "undecided: delete, limits: {total_rows: 500}", 1))
			s, locked, most := b.session(), false, int64(0)
			b.runner.Connections = 1
			b.runner.Observer = watcher{batch: func(e purge.BatchEvent) { most = max(most, e.Rows) }}
			b.connect(b.DSN(), func(c *pgxpool.Config) {
				c.ConnConfig.Tracer = argsHook(func(sql string, args []any) {
					if strings.Contains(sql, atBatch) && !locked {
						keys, two := args[0].([]int64)
						if locked = two && len(keys) == 2; locked {
							s.do(fmt.Sprintf(`SELECT pg_advisory_lock(%d)`, keys[0]))
						}
					}
				})
			})
			b.purge()
			if !locked || most == 0 || most > 500 {
				t.Errorf("the largest batch had %d rows, want some, and at most 500 (a tenant locked: %v)", most, locked)
			}
		})
	}
}

// Windows with the rows of one tenant alone, and keys that nobody has read: each batch deletes.
func TestTogether_OneTenantInWindow(t *testing.T) {
	t.Parallel()
	for name, policy := range map[string]string{"ordinary": threePolicy, "proven": proven(threePolicy)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var begun atomic.Int64
			b := prepare(t, ordersOfThree+`INSERT INTO orders SELECT n * 1000 + m, chr(97 + n), now() - interval '400 days' + n * interval '100 days' + m * interval '1 minute'
				FROM generate_series(0, 2) n, generate_series(0, 999) m;`+itemsAndParts+`ANALYZE`, strings.Replace(policy, "undecided: delete", "undecided: delete, limits: {time: 30s}", 1),
				beforeEvery(atBatch, func() { begun.Add(1) }))
			b.runner.Connections = 1
			r := b.purge().complete().one()
			b.count(`SELECT count(*) FROM orders`, 0)
			if n := begun.Load(); n > 2*r.Batches+10 {
				t.Errorf("%d batches were begun to delete in %d", n, r.Batches)
			}
		})
	}
}

// References are emptied in rows that go in the same batch: no batch has to be tried again.
func TestTogether_ClearsGoing(t *testing.T) {
	t.Parallel()
	for name, policy := range map[string]string{"ordinary": threePolicy, "proven": proven(threePolicy)} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := prepare(t, ordersOfThree+`INSERT INTO orders SELECT n, chr(97 + n % 3), now() - interval '400 days' + n * interval '1 minute' FROM generate_series(1, 300) n;`+itemsAndParts+
				`ALTER TABLE orders ADD last_item int REFERENCES items ON DELETE SET NULL; CREATE INDEX ON orders (last_item); UPDATE orders SET last_item = id; ANALYZE`, policy)
			retries := 0
			b.runner.Observer = watcher{retry: func(string) { retries++ }}
			b.runner.Connections = 1
			b.purge().complete()
			b.count(`SELECT count(*) FROM orders`, 0)
			if retries > 0 {
				t.Errorf("%d batches were retried", retries)
			}
		})
	}
}

// A name is no text to cut: that of the root's table, and of one below it, may have any characters.
func TestTogether_OddNames(t *testing.T) {
	t.Parallel()
	b := prepare(t, `
		CREATE TABLE owners (id text PRIMARY KEY, days int NOT NULL);
		CREATE TABLE "or, ders" (id int PRIMARY KEY, owner text NOT NULL REFERENCES owners, at timestamptz NOT NULL);
		CREATE INDEX ON "or, ders" (owner, at, id);
		CREATE TABLE "it, ems" (id int PRIMARY KEY, "or, der" int NOT NULL REFERENCES "or, ders");
		CREATE INDEX ON "it, ems" ("or, der");
		CREATE TABLE parts (id int PRIMARY KEY, item int NOT NULL REFERENCES "it, ems");
		CREATE INDEX ON parts (item);
		INSERT INTO owners VALUES ('a', 30), ('b', 30);
		INSERT INTO "or, ders" SELECT n, chr(97 + n % 2), now() - interval '60 days' FROM generate_series(1, 20) n;
		INSERT INTO "it, ems" SELECT id, id FROM "or, ders"; INSERT INTO parts SELECT id, id FROM "it, ems"`, `
tenants: {table: owners, key: id, retention: days}
policies: [{name: orders, table: '"or, ders"', age: at, tenant: owner, undecided: delete}]`)
	var used atomic.Int64
	b.connect(b.DSN(), watchTogether(&used))
	b.runner.Connections = 1
	b.purge().complete().rows(map[string]int64{"public.or, ders": 20, "public.it, ems": 20, "public.parts": 20})
	if used.Load() == 0 {
		t.Error("no batch was deleted for all tenants at once")
	}
}
