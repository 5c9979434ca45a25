//go:build chromium

package web_test

import (
	"fmt"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/reaperdb/reaper/web"
)

// many is a snapshot with so many policies, of which some are in trouble.
func many(n, bad int) web.Status {
	s := fine()
	s.Policies = nil
	for i := range n {
		p := detailed()
		p.Name = fmt.Sprintf("policy-%d", i+1)
		p.Table = fmt.Sprintf("public.table_number_%d", i+1)
		if i%7 == 3 {
			p.Name += "-of-abandoned-shopping-carts"
		}
		if i < bad {
			p.Failing, p.FailingSince, p.Reason = true, ago(time.Duration(i+1)*time.Hour), "the last run ended failed: permission denied for schema public (SQLSTATE 42501)"
			p.LastSuccessAt = ago(26 * time.Hour)
		}
		s.Policies = append(s.Policies, p)
	}
	return s
}

// broken is a snapshot with everything broken at once.
func broken() web.Status {
	s := bad()
	s.Policies = append(many(40, 36).Policies, s.Policies...)
	s.LedgerError = "the ledger's schema reaper belongs to intruder: it is not trusted"
	return s
}

// The pages with 1, 12 and 200 policies, and with everything broken at once; and the page of a policy.
func TestLookInChromium(t *testing.T) {
	t.Parallel()
	b := newBrowser(t)
	for _, c := range []struct {
		name, path string
		picture    web.Status
	}{
		{"one", "/", many(1, 0)},
		{"twelve", "/", many(12, 3)},
		{"crowd", "/", many(200, 36)},
		{"crowd-fine", "/", many(200, 0)},
		{"broken", "/", broken()},
		{"policy-fine", "/policy/policy-1", many(12, 0)},
		{"policy-bad", "/policy/emails", badPolicy()},
		{"policy-down", "/policy/emails", down()},
		{"policy-new", "/policy/new", web.Status{At: now, Policies: []web.Policy{{Name: "new", Table: "public.new"}}, Config: web.Config{File: "x", LoadedAt: now}, Database: web.Database{Up: true}}},
	} {
		server := httptest.NewServer(handler(still(c.picture)))
		t.Cleanup(server.Close)
		for width, scheme := range map[int]string{1200: "light", 390: "dark"} { // TestInChromium looks at the others
			b.setViewport(width, scheme)
			b.open(server.URL + c.path)
			b.screenshot(fmt.Sprintf("%s-%d-%s", c.name, width, scheme))
			b.checkPage(t, fmt.Sprintf("%s, %d px, %s", c.name, width, scheme))
		}
	}
}
