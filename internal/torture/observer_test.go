//go:build torture

package torture

import (
	"context"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"
)

const (
	slot = "torture"
	// portion is how many changes to request at once; a transaction that crosses it is
	// returned whole.
	portion = 20_000
)

// observer reads the slot and has every transaction judged.
type observer struct {
	lines
	conn *pgx.Conn
}

func newObserver(ctx context.Context, dsn string, l *layout) (*observer, error) {
	conn, err := connect(ctx, dsn, "observer")
	if err != nil {
		return nil, err
	}
	if _, err := conn.Exec(ctx, "SELECT pg_create_logical_replication_slot($1, 'test_decoding')", slot); err != nil {
		return nil, fmt.Errorf("creating the slot: %w", err)
	}
	return &observer{conn: conn, lines: lines{judge: newJudge(l)}}, nil
}

// read judges up to a portion of the slot's changes and returns the number of transactions.
func (o *observer) read(ctx context.Context) (n int, err error) {
	rows, err := o.conn.Query(ctx, "SELECT (lsn - '0/0')::bigint, data FROM pg_logical_slot_get_changes($1, NULL, $2, 'include-timestamp', '1')", slot, portion)
	if err != nil {
		return 0, fmt.Errorf("reading the slot: %w", err)
	}
	var lsn int64
	var data string
	_, err = pgx.ForEachRow(rows, []any{&lsn, &data}, func() error {
		ended, err := o.line(uint64(lsn), data)
		if ended {
			n++
		}
		return err
	})
	if err != nil {
		return n, fmt.Errorf("reading the slot: %w", err)
	}
	return n, nil
}

// readAll reads until nothing is left.
func (o *observer) readAll(ctx context.Context) error {
	for {
		if n, err := o.read(ctx); n == 0 || err != nil {
			return err
		}
	}
}

// compare compares the model with the tables: if the observer missed something, its findings
// prove nothing.
func (o *observer) compare(ctx context.Context) error {
	there := map[string]int{}
	for r := range o.judge.model.rows {
		there[r.table]++
	}
	for _, table := range o.judge.model.layout.tables() {
		rows, err := o.conn.Query(ctx, "SELECT row_to_json(t) FROM "+table+" t")
		if err != nil {
			return fmt.Errorf("reading %s: %w", table, err)
		}
		n := 0
		var text map[string]any
		_, err = pgx.ForEachRow(rows, []any{&text}, func() error {
			n++
			return o.same(table, text)
		})
		if err != nil {
			return fmt.Errorf("comparing %s: %w", table, err)
		}
		if n != there[table] {
			return fmt.Errorf("comparing %s: the table has %d rows, the observer %d", table, n, there[table])
		}
	}
	return nil
}

// same compares the keys and references of one row.
func (o *observer) same(table string, row map[string]any) error {
	t := tuple{}
	for name, value := range row {
		switch v := value.(type) {
		case float64:
			t[name] = strconv.FormatInt(int64(v), 10)
		case string:
			t[name] = v
		}
	}
	r := rowRef(table, t)
	known := o.judge.model.rows[r]
	if known == nil {
		return fmt.Errorf("the observer does not know %s", r)
	}
	for name, value := range known.tuple {
		if name != "at" && name != "hold" && t[name] != value {
			return fmt.Errorf("%s has the %s %s, the observer %s", r, name, t[name], value)
		}
	}
	return nil
}

// connect opens a session that prints values in the form the observer parses.
func connect(ctx context.Context, dsn, name string) (*pgx.Conn, error) {
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, fmt.Errorf("connecting as %s: %w", name, err)
	}
	config.RuntimeParams["application_name"] = name
	config.RuntimeParams["TimeZone"] = "UTC"
	config.RuntimeParams["DateStyle"] = "ISO"
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("connecting as %s: %w", name, err)
	}
	return conn, nil
}
