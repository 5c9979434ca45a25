package starter

import (
	"context"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/reaperdb/reaper/schema"
)

// Keys may say when a row was made. What a key is shows in a sample of its values: all of them have to
// be times of the last years.

// leastTime is from when on identifiers count as such, in milliseconds since 1970: 2010.
const leastTime = 1_262_304_000_000

// reading is a way to read a key as a time.
type reading struct {
	unit  string // as in the policy file
	epoch string // of snowflakes, as in the policy file
	types []string
	rows  int                    // fewer could be times by chance
	time  func(key string) int64 // milliseconds since 1970; 0: it has none
}

var readings = []reading{
	{unit: "uuidv7", types: []string{"uuid"}, time: func(key string) int64 {
		if len(key) != 36 || key[14] != '7' || !strings.ContainsRune("89ab", rune(key[19])) {
			return 0
		}
		return uuidTime(key)
	}},
	{unit: "ulid", types: []string{"uuid"}, rows: 10, time: uuidTime},
	{unit: "ulid", types: []string{"text", "varchar", "bpchar"}, time: ulidTime},
	{unit: "snowflake", epoch: "discord", types: []string{"int8"}, time: func(key string) int64 { return snowflakeTime(key, 1_420_070_400_000) }},
	{unit: "snowflake", epoch: "twitter", types: []string{"int8"}, time: func(key string) int64 { return snowflakeTime(key, 1_288_834_974_657) }},
}

func uuidTime(key string) int64 {
	raw, err := hex.DecodeString(strings.ReplaceAll(key, "-", ""))
	if err != nil || len(raw) != 16 {
		return 0
	}
	ms := int64(0)
	for _, b := range raw[:6] {
		ms = ms<<8 | int64(b)
	}
	return ms
}

func ulidTime(key string) (ms int64) {
	if len(key) != 26 {
		return 0
	}
	for i, r := range strings.ToUpper(key) {
		d := strings.IndexRune("0123456789ABCDEFGHJKMNPQRSTVWXYZ", r)
		if d < 0 {
			return 0
		}
		if i < 10 {
			ms = ms<<5 | int64(d)
		}
	}
	return ms
}

// snowflakeTime leaves the first hour out: such small numbers are serial numbers.
func snowflakeTime(key string, epoch int64) int64 {
	n, err := strconv.ParseInt(key, 10, 64)
	if err != nil || n>>22 < time.Hour.Milliseconds() {
		return 0
	}
	return n>>22 + epoch
}

// agedKey is the column of the primary key, and how it tells when a row was made; false if it does not.
func (r *reader) agedKey(ctx context.Context, t *schema.Table) (column schema.Column, how reading, ok bool, err error) {
	key := primaryKey(t)
	if len(key) != 1 {
		return column, how, false, nil
	}
	column, _ = t.Column(key[0])
	var values []string
	var now time.Time
	err = r.q.QueryRow(ctx, fmt.Sprintf("SELECT coalesce(array_agg(x), '{}'), now() FROM (SELECT %s::text AS x FROM %s LIMIT %d) s", quoted(column.Name), t.Name.SQL(), sampled)).Scan(&values, &now)
	if err != nil && unreadable(err) || err == nil && len(values) == 0 {
		return column, how, false, nil
	}
	if err != nil {
		return column, how, false, err
	}
	for _, x := range readings {
		if x.reads(column.TypeName, values, now) {
			return column, x, true, nil
		}
	}
	return column, how, false, nil
}

// reads reports whether all values are times of the last years.
func (x reading) reads(typ string, values []string, now time.Time) bool {
	fits := slices.Contains(x.types, typ) && len(values) >= x.rows
	for _, v := range values {
		ms := x.time(v)
		fits = fits && ms >= leastTime && ms <= now.Add(24*time.Hour).UnixMilli()
	}
	return fits
}
