package torture

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgtype"
)

// writerPrefix marks the messages by which writers identify themselves.
const writerPrefix = "writer"

// lines assembles transactions from the output of test_decoding.
type lines struct {
	judge *judge
	open  *transaction
}

// line takes one line; ended reports whether it was a transaction's last.
func (l *lines) line(lsn uint64, data string) (ended bool, err error) {
	word, rest, _ := strings.Cut(data, " ")
	switch word {
	case "BEGIN":
		l.open = &transaction{xid: rest, first: lsn}
	case "COMMIT":
		_, at, _ := strings.Cut(rest, "(at ")
		if l.open.at, err = timestamp(strings.TrimSuffix(at, ")")); err != nil {
			return false, err
		}
		l.open.end = lsn
		err = l.judge.see(l.open)
		return true, err
	case "message:":
		if _, content, ok := strings.Cut(rest, "content:"); ok && strings.Contains(rest, "prefix: "+writerPrefix+",") {
			l.open.writer = content
		}
	case "table":
		return false, l.row(data)
	default:
		return false, fmt.Errorf("decoding %q: unknown", data)
	}
	return false, nil
}

// addMany adds the counts of a batch of many tenants: arrays, in the order of tenants and
// then of tables.
func (b *batchRow) addMany(row map[string]string) error {
	types := pgtype.NewMap()
	var tables []string
	if err := types.Scan(pgtype.TextArrayOID, pgtype.TextFormatCode, []byte(row["tables"]), &tables); err != nil {
		return err
	}
	for column, counts := range map[string]map[string]int{"deleted": b.rows, "emptied": b.nullified} {
		var numbers []int
		if err := types.Scan(pgtype.Int8ArrayOID, pgtype.TextFormatCode, []byte(row[column]), &numbers); err != nil {
			return err
		}
		for i, n := range numbers {
			if n > 0 {
				counts[tables[i%len(tables)]] += n
			}
		}
	}
	return nil
}

// row takes a line about a row of a table or of the ledger.
func (l *lines) row(data string) error {
	c, err := decodeChange(data)
	if err != nil {
		return err
	}
	name, ledger := strings.CutPrefix(c.table, "reaper.")
	switch {
	case !ledger:
		l.open.changes = append(l.open.changes, c)
	case c.op != "INSERT":
	case name == "run":
		l.judge.model.bases[c.new["run_id"]+" "+c.new["policy"]], err = timestamp(c.new["cutoff_base"])
	case name == "cutoff":
		l.judge.model.settled[c.new["run_id"]+" "+c.new["policy"]+" "+c.new["tenant"]], err = timestamp(c.new["cutoff"])
	case name == "batch":
		b := &batchRow{run: c.new["run_id"], policy: c.new["policy"], rows: map[string]int{}, nullified: map[string]int{}}
		l.open.batch = b
		if err = json.Unmarshal([]byte(c.new["rows"]), &b.rows); err == nil {
			err = json.Unmarshal([]byte(c.new["nullified"]), &b.nullified)
		}
		if c.new["tables"] != "" && err == nil {
			err = b.addMany(c.new)
		}
	}
	if err != nil {
		return fmt.Errorf("decoding %q: %w", data, err)
	}
	return nil
}
