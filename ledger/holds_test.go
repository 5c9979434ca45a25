package ledger_test

import (
	"errors"
	"strconv"
	"strings"
	"testing"

	"github.com/reaperdb/reaper/ledger"
)

// held lists the holds in force, and which of some tenants (0: there is none) of two policies are
// held.
func (b *fixture) held() string {
	b.t.Helper()
	holds, err := b.Holds(b.t.Context(), b.pool)
	b.do(err)
	var all []string
	for _, h := range holds {
		all = append(all, strconv.FormatInt(h.ID, 10))
	}
	for _, policy := range []string{"mails", "o'logs"} {
		for _, key := range []string{"'a'", "'b'", "NULL::text"} {
			var held bool
			b.do(b.pool.QueryRow(b.t.Context(), `SELECT `+b.HeldSQL(policy)(key, nil)).Scan(&held))
			if held {
				all = append(all, policy+" "+key)
			}
		}
	}
	return strings.Join(all, ", ")
}

func TestHolds(t *testing.T) {
	t.Parallel()
	b := open(t, 0)
	hold := func(policies, tenants []string, end ledger.HoldEnd) ledger.Hold {
		t.Helper()
		holds, err := b.Hold(t.Context(), b.pool, policies, tenants, end, "why", "ann")
		b.do(err)
		if len(holds) == 0 || holds[0].Reason != "why" || holds[0].By != "ann" || holds[0].At.IsZero() {
			t.Fatalf("holds %+v", holds)
		}
		return holds[0]
	}
	is := func(want string) {
		t.Helper()
		if got := b.held(); got != want {
			t.Errorf("held: %s, want %s", got, want)
		}
	}
	end := func(id int64, want bool) {
		t.Helper()
		if got, err := b.EndHold(t.Context(), b.pool, id, "bob"); got != want || err != nil {
			t.Errorf("ending hold %d: %t, %v", id, got, err)
		}
	}
	is("")
	end(1, false)
	if h := hold(nil, []string{"a"}, ledger.HoldEnd{After: "1 mon"}); h.Until == nil || h.Policy != nil || *h.Tenant != "a" {
		t.Errorf("hold %+v", h)
	}
	is("1, mails 'a', o'logs 'a'")
	if h := hold([]string{"o'logs"}, nil, ledger.HoldEnd{}); h.Until != nil || *h.Policy != "o'logs" || h.Tenant != nil {
		t.Errorf("hold %+v", h)
	}
	is("1, 2, mails 'a', o'logs 'a', o'logs 'b', o'logs NULL::text")
	end(1, true)
	end(1, false)
	is("2, o'logs 'a', o'logs 'b', o'logs NULL::text")
	end(2, true)
	hold([]string{"mails", "o'logs"}, []string{"a", "b"}, ledger.HoldEnd{At: "2999-01-01T00:00:00Z"})
	is("3, 4, 5, 6, mails 'a', mails 'b', o'logs 'a', o'logs 'b'")
	if _, err := b.Hold(t.Context(), b.pool, nil, nil, ledger.HoldEnd{At: "2020-01-01T00:00:00Z"}, "why", "ann"); !errors.Is(err, ledger.ErrHoldEnded) {
		t.Errorf("a hold that has ended: %v", err)
	}
	_, err := b.pool.Exec(t.Context(), `UPDATE reaper.hold SET created_at = created_at - interval '1 day', ends_at = now() WHERE ends_at < 'infinity'`)
	b.do(err)
	is("")
}

// TestHoldsOfAnyName: the expressions of a key name the user's table, whatever it is called.
func TestHoldsOfAnyName(t *testing.T) {
	t.Parallel()
	b := open(t, 0)
	if _, err := b.HoldRootsDurably(t.Context(), b.pool, "mails", [][]string{{"500"}}, ledger.HoldEnd{}, "why", "ann"); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Hold(t.Context(), b.pool, nil, []string{"500"}, ledger.HoldEnd{}, "why", "ann"); err != nil {
		t.Fatal(err)
	}
	for name := 'a'; name <= 'z'; name++ {
		for _, column := range []string{"id", "hold", "key", "tenant", "roots"} {
			key := string(name) + "." + column
			tenant := key + "::text"
			var root, ids, of, holds, erased bool
			b.do(b.pool.QueryRow(t.Context(), `SELECT `+b.HeldRootSQL("mails", "")([]string{key})+`, `+b.RootHoldsSQL("mails", "")([]string{key})+` <> '{}', `+
				b.HeldSQL("mails")(tenant, nil)+`, `+b.HoldsSQL("mails")(tenant, nil)+` <> '{}', `+b.TenantHeldSQL(tenant)+
				` FROM (VALUES (500)) `+string(name)+` (`+column+`)`).Scan(&root, &ids, &of, &holds, &erased))
			if !root || !ids || !of || !holds || !erased {
				t.Errorf("%s is held: root %t, %t, tenant %t, %t, %t", key, root, ids, of, holds, erased)
			}
		}
	}
}
