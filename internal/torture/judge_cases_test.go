package torture

import (
	"fmt"
	"strings"
	"testing"
)

// world is the start of every case: a mail of 2025 and one of today, each with a row in every
// table below.
const world = `
INSERT tenants id[integer]:1 hold[boolean]:false days[integer]:null
INSERT domains id[integer]:1 tenant_id[integer]:1
INSERT mails shard[integer]:0 id[bigint]:1 domain_id[integer]:1 at[timestamp with time zone]:'2025-01-01 00:00:00+00' status[text]:'sent'
INSERT mails shard[integer]:0 id[bigint]:2 domain_id[integer]:1 at[timestamp with time zone]:'2026-01-09 00:00:00+00' status[text]:'sent'
INSERT parts id[bigint]:11 mail_shard[integer]:0 mail_id[bigint]:1
INSERT parts id[bigint]:21 mail_shard[integer]:0 mail_id[bigint]:2
INSERT clicks id[bigint]:111 part_id[bigint]:11
INSERT clicks id[bigint]:211 part_id[bigint]:21
INSERT notes id[bigint]:1 mail_shard[integer]:0 mail_id[bigint]:1
INSERT notes id[bigint]:2 mail_shard[integer]:0 mail_id[bigint]:2`

const (
	deleteMail = `
DELETE mails shard[integer]:0 id[bigint]:1 domain_id[integer]:1 at[timestamp with time zone]:'2025-01-01 00:00:00+00' status[text]:'sent'`
	deletePart = `
DELETE parts id[bigint]:11 mail_shard[integer]:0 mail_id[bigint]:1`
	deleteClick = `
DELETE clicks id[bigint]:111 part_id[bigint]:11`
	emptyNote = `
UPDATE notes old-key: id[bigint]:1 mail_shard[integer]:0 mail_id[bigint]:1 new-tuple: id[bigint]:1 mail_shard[integer]:null mail_id[bigint]:null`
	deleteAll  = emptyNote + deleteClick + deletePart + deleteMail
	holdTenant = `
UPDATE tenants old-key: id[integer]:1 hold[boolean]:false new-tuple: id[integer]:1 hold[boolean]:true days[integer]:null`
)

// reading feeds transactions to a judge, one per minute.
type reading struct {
	t *testing.T
	lines
	n int
}

// feed passes a transaction, with the lines that precede those of the rows.
func (r *reading) feed(head, rows string) {
	r.t.Helper()
	r.n++
	text := []string{fmt.Sprintf("BEGIN %d", r.n)}
	if head != "" {
		text = append(text, strings.Split(head, "\n")...)
	}
	for _, row := range strings.Split(strings.TrimSpace(rows), "\n") {
		op, rest, _ := strings.Cut(row, " ")
		table, rest, _ := strings.Cut(rest, " ")
		text = append(text, fmt.Sprintf("table public.%s: %s: %s", table, op, rest))
	}
	text = append(text, fmt.Sprintf("COMMIT %d (at 2026-01-10 00:%02d:00+00)", r.n, r.n))
	for i, line := range text {
		if _, err := r.line(uint64(100*r.n+i), line); err != nil {
			r.t.Fatal(err)
		}
	}
}

func (r *reading) writer(rows string) {
	r.t.Helper()
	r.feed("message: transactional: 1 prefix: writer, sz: 4 content:test", rows)
}

// batch passes a batch of the policy mails with a correct ledger row.
func (r *reading) batch(rows string) {
	r.t.Helper()
	counts := map[string]map[string]int{"DELETE": {}, "UPDATE": {}}
	for _, row := range strings.Split(strings.TrimSpace(rows), "\n") {
		fields := strings.Fields(row)
		if counts[fields[0]] != nil {
			counts[fields[0]]["public."+fields[1]]++
		}
	}
	list := func(counts map[string]int) string {
		var pairs []string
		for table, n := range counts {
			pairs = append(pairs, fmt.Sprintf(`"%s": %d`, table, n))
		}
		return "{" + strings.Join(pairs, ", ") + "}"
	}
	r.recorded(rows, list(counts["DELETE"]), list(counts["UPDATE"]))
}

func (r *reading) recorded(rows, deleted, nullified string) {
	r.t.Helper()
	r.feed(fmt.Sprintf("table reaper.batch: INSERT: run_id[uuid]:'r' policy[text]:'mails' seq[bigint]:1 tenant[text]:'1' rows[jsonb]:'%s' nullified[jsonb]:'%s'", deleted, nullified), rows)
}

func newReading(t *testing.T) *reading {
	l := layouts()[2]
	r := &reading{t: t, lines: lines{judge: newJudge(l)}}
	r.writer(world)
	r.feed("message: transactional: 1 prefix: writer, sz: 4 content:test\n"+
		"table reaper.run: INSERT: run_id[uuid]:'r' policy[text]:'mails' cutoff_base[timestamp with time zone]:'2026-01-10 00:00:00+00'", holdTenant)
	r.writer(strings.NewReplacer("hold[boolean]:false", "hold[boolean]:true", "hold[boolean]:true", "hold[boolean]:false").Replace(holdTenant))
	return r
}

// The judge can tell right from wrong: otherwise a torture test that finds nothing would mean
// nothing.
func TestJudge(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		before string // by a writer, a minute before the batch
		batch  string
		wrong  []string // a part of each story; empty if the batch was right
	}{
		"an expired root with all that hangs on it":        {"", deleteAll, nil},
		"dependents of an expired root, which is drained":  {"", deleteClick, nil},
		"a reference is emptied while the root is drained": {"", emptyNote, nil},
		"a young root": {
			"", `DELETE mails shard[integer]:0 id[bigint]:2 domain_id[integer]:1 at[timestamp with time zone]:'2026-01-09 00:00:00+00' status[text]:'sent'`,
			[]string{"mails 0,2: it is a root that was not expired", "parts 21: it is left", "notes 2: it is left"},
		},
		"a dependent of a young root": {
			"", "DELETE clicks id[bigint]:211 part_id[bigint]:21", []string{"clicks 211: it hung neither"},
		},
		"a dependent stays": {"", emptyNote + deletePart + deleteMail, []string{"clicks 111: it is left, and references parts 11"}},
		"a dependent moved away, and what hangs on it went": {
			"UPDATE parts old-key: id[bigint]:11 mail_shard[integer]:0 mail_id[bigint]:1 new-tuple: id[bigint]:11 mail_shard[integer]:0 mail_id[bigint]:2",
			emptyNote + deleteClick + deleteMail,
			[]string{"clicks 111: it hung neither"},
		},
		"a held tenant": {holdTenant, deleteClick + deletePart + emptyNote + deleteMail, []string{"clicks 111", "parts 11", "mails 0,1: it is a root that was not expired"}},
		"a queued root": {
			strings.NewReplacer("DELETE mails", "UPDATE mails old-key:").Replace(deleteMail) + " new-tuple: shard[integer]:0 id[bigint]:1 domain_id[integer]:1 at[timestamp with time zone]:'2025-01-01 00:00:00+00' status[text]:'queued'",
			emptyNote + deleteClick + deletePart + strings.Replace(deleteMail, "'sent'", "'queued'", 1),
			[]string{"clicks 111: it hung", "parts 11: it hung", "mails 0,1: it is a root"},
		},
		"drained although something keeps it": {
			"INSERT invoices id[bigint]:1 mail_shard[integer]:0 mail_id[bigint]:1", deleteClick, []string{"it was drained from mails 0,1, which invoices 1 keeps"},
		},
		"a reference to a row that stays is emptied": {
			"", `UPDATE notes old-key: id[bigint]:2 mail_shard[integer]:0 mail_id[bigint]:2 new-tuple: id[bigint]:2 mail_shard[integer]:null mail_id[bigint]:null`,
			[]string{"notes 2: a batch emptied its mail_shard, mail_id"},
		},
		"a match that was there is left": {
			"INSERT files id[bigint]:1 record_type[text]:'Click' record_id[bigint]:111", deleteAll, []string{"files 1: it is left"},
		},
		"a match of another kind is left": {"INSERT files id[bigint]:1 record_type[text]:'Other' record_id[bigint]:111", deleteAll, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newReading(t)
			if c.before != "" {
				r.writer(c.before)
			}
			// One more minute, so that everything before has been in effect for long enough.
			r.writer("INSERT tenants id[integer]:9 hold[boolean]:false days[integer]:null")
			r.batch(c.batch)
			r.told(c.wrong)
		})
	}
}

// told expects one story for each part, in any order.
func (r *reading) told(want []string) {
	r.t.Helper()
	stories := strings.Join(r.judge.wrong, "\n")
	if len(r.judge.wrong) != len(want) {
		r.t.Errorf("%d are wrong, want %d:\n%s", len(r.judge.wrong), len(want), stories)
	}
	for _, w := range want {
		if !strings.Contains(stories, w) {
			r.t.Errorf("nothing says %q:\n%s", w, stories)
		}
	}
}

// A hold committed during the batch's statement may be missed; a cutoff fixed at the run's start
// must not be exceeded.
func TestJudge_Time(t *testing.T) {
	t.Parallel()
	t.Run("a hold of this moment", func(t *testing.T) {
		t.Parallel()
		r := newReading(t)
		r.writer(holdTenant)
		r.batch(deleteAll)
		r.told(nil)
	})
	t.Run("a cutoff settled before", func(t *testing.T) {
		t.Parallel()
		r := newReading(t)
		r.judge.model.settled["r mails 1"] = mustTime("2024-12-31 00:00:00+00")
		r.batch(deleteMail)
		r.told([]string{"mails 0,1: it is a root that was not expired", "parts 11: it is left", "notes 1: it is left"})
	})
}

// Deletions without a ledger row, or different from it, are found too.
func TestJudge_Ledger(t *testing.T) {
	t.Parallel()
	t.Run("no row", func(t *testing.T) {
		t.Parallel()
		r := newReading(t)
		r.feed("", deleteClick)
		r.told([]string{"neither a writer's nor in the ledger"})
	})
	t.Run("another count", func(t *testing.T) {
		t.Parallel()
		r := newReading(t)
		r.recorded(deleteAll, `{"public.mails": 1, "public.parts": 1, "public.clicks": 2}`, `{"public.notes": 1}`)
		r.told([]string{"as deleted, less those that were: map[public.clicks:1]"})
	})
}

// An old row that the model does not have means that the observer is wrong.
func TestModel_Unknown(t *testing.T) {
	t.Parallel()
	m := newModel(layouts()[2])
	c, err := decodeChange("table public.parts: DELETE: id[bigint]:1 mail_shard[integer]:0 mail_id[bigint]:1")
	if err != nil {
		t.Fatal(err)
	}
	if err := m.apply(&transaction{changes: []change{c}}); err == nil {
		t.Error("a row was deleted that was never there, and the model took it")
	}
}

func TestDecodeChange(t *testing.T) {
	t.Parallel()
	c, err := decodeChange(`table public.x: UPDATE: old-key: id[integer]:1 text[text]:'it''s new-tuple: a' new-tuple: id[integer]:1 text[text]:null at[timestamp with time zone]:'2026-01-01 00:00:00+00'`)
	if err != nil {
		t.Fatal(err)
	}
	if c.table != "x" || c.op != "UPDATE" || fmt.Sprint(c.old) != "map[id:1 text:it's new-tuple: a]" || fmt.Sprint(c.new) != "map[at:2026-01-01 00:00:00+00 id:1]" {
		t.Errorf("got %+v", c)
	}
	for _, line := range []string{"", "table public.x", "table public.x: TRUNCATE: (no-flags)", "table public.x: INSERT: id[integer]:'1", "table public.x: INSERT: id:1"} {
		if c, err := decodeChange(line); err == nil {
			t.Errorf("%q gave %+v", line, c)
		}
	}
}
