package web_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/reaperdb/reaper/preview"
	"github.com/reaperdb/reaper/web"
)

// detailed is the policy emails with all that its page shows.
func detailed() web.Policy {
	p := emails()
	for i := range 40 {
		status, reason := "complete", ""
		if i%9 == 4 {
			status, reason = "incomplete", "stopped by --max-duration"
		}
		r := run(status, reason, time.Duration(6*i+4)*time.Hour, 11*time.Minute, nil)
		r.RunID += strings.Repeat("x", i)
		r.RowsTotal = int64(1_000_000 - 20_000*((i*7)%40))
		p.Past = append(p.Past, r)
	}
	for i := range 120 {
		p.Lags = append(p.Lags, web.Lag{At: now.Add(-time.Duration(119-i) * 10 * time.Minute), Seconds: float64((i % 36) * 600)})
	}
	p.Tree = []preview.TablePreview{
		{Table: "public.outgoing_emails", Columns: []string{"id"}, Action: "delete", Index: "outgoing_emails_tenant_created_at_id_idx"},
		{Table: "public.attachments", Parent: "public.outgoing_emails", Columns: []string{"email_id"}, OnDelete: "CASCADE", Action: "cascade", Index: "attachments_email_id_idx"},
		{Table: "public.replies", Parent: "public.outgoing_emails", Columns: []string{"parent_id"}, OnDelete: "SET NULL", Action: "set null"},
	}
	p.Advice = []web.Advice{{Text: "no index serves the search for replies of public.outgoing_emails by parent_id", Fix: "CREATE INDEX CONCURRENTLY ON public.replies (parent_id);"}}
	return p
}

// badPolicy is a bad night with all that the page of emails shows.
func badPolicy() web.Status {
	s := bad()
	d, p := detailed(), &s.Policies[0]
	p.Past, p.Lags, p.Tree, p.Advice = d.Past, d.Lags, d.Tree, d.Advice
	for i := range p.Lags {
		p.Lags[i].Seconds += float64(i) * 600
	}
	p.Advice = append(p.Advice, web.Advice{Text: hostile[0], Fix: hostile[1]})
	p.Tree = append(p.Tree, preview.TablePreview{Table: hostile[0], Parent: "public.replies", Columns: []string{hostile[2]}, Action: "keep", Index: hostile[1]})
	return s
}

func readPolicy(t *testing.T, s web.Status) (text, source string) {
	t.Helper()
	w := ask(t, http.MethodGet, "/policy/emails", s)
	if w.Code != http.StatusOK {
		t.Fatalf("%d: %s", w.Code, w.Body)
	}
	source = w.Body.String()
	return spaces.ReplaceAllString(tag.ReplaceAllString(strings.ReplaceAll(source, "<wbr>", ""), " "), " "), source
}

func TestPolicyPage(t *testing.T) {
	t.Parallel()
	s := fine()
	s.Policies[0] = detailed()
	text, source := readPolicy(t, s)
	says(
		t, text, "emails is on time", "3 h of 12 h allowed measured 40 s ago", "18,204 rows of 41 tenants", "at most 5 h 50 min", "at most 1,000,000 rows",
		"public.outgoing_emails delete what is expired id outgoing_emails_tenant_created_at_id_idx", "└\u00a0public.replies set to NULL (SET NULL) parent_id none",
		"CREATE INDEX CONCURRENTLY ON public.replies (parent_id);", "All policies",
	)
	if n := strings.Count(source, "<rect class="); n < 40 {
		t.Errorf("%d bars, want 40", n)
	}
	if strings.Contains(source, "style=") || strings.Contains(text, "audit-log") {
		t.Errorf("what does not belong on the page of emails is there:\n%s", text)
	}
	text, _ = readPolicy(t, badPolicy())
	says(t, text, "is failing and late by 18 h 30 min", "Next: reaper check --policy emails", "runbook: ReaperRunsFailing", "dashed: what is allowed", "The policy file is not valid")
	if strings.Contains(text, "sessions") {
		t.Errorf("another policy's troubles are on the page:\n%s", text)
	}
	text, _ = readPolicy(t, down())
	says(t, text, "emails was on time")
	// Nothing is known but the name, and the database is down.
	text, _ = readPolicy(t, web.Status{At: now, Policies: []web.Policy{{Name: "emails"}}})
	says(t, text, "The database does not answer", "Not known yet", "No run has ended yet")
	if w := ask(t, http.MethodGet, "/policy/nope", s); w.Code != http.StatusNotFound {
		t.Errorf("a policy that there is not: %d", w.Code)
	}
}

// What is the same of several policies is said once, and what says nothing folds.
func TestPageCrowd(t *testing.T) {
	t.Parallel()
	s := fine()
	s.Policies = nil
	for i := range 40 {
		p := emails()
		p.Name = "p" + strings.Repeat("x", i+1)
		p.Balance = &web.Balance{Reason: "it takes 6 hours of samples"}
		if i >= 4 {
			p.Failing, p.FailingSince, p.Reason = true, ago(time.Duration(i)*time.Hour), "the last run ended failed: no privilege"
		}
		s.Policies = append(s.Policies, p)
	}
	text, _ := read(t, s)
	says(
		t, text, "36 policies are failing , since 28 Feb 13:12 UTC (39 h ago) . the last run ended failed: no privilege", " and 30 more", "Next: reaper check ·", "runbook: ReaperRunsFailing",
		"4 policies are on time", "Keeping up Not known yet: it takes 6 hours of samples.", "Guards all 4 say go, 1 is off",
	)
	if n := strings.Count(text, "no privilege"); n != 1 {
		t.Errorf("the reason is said %d times", n)
	}
}

// A limit that the file does not have is shown as what it is.
func TestPageAssumedLimit(t *testing.T) {
	t.Parallel()
	s := fine()
	s.Policies[0].MaxLagAssumed, s.Policies[0].LagSeconds, s.Policies[0].Late = true, new(407*24*3600.0), true
	text, _ := read(t, s)
	says(t, text, "emails is late", "407 d of 12 h allowed", "runbook: ReaperLagCritical", "Next: reaper plan --policy emails")
	text, _ = readPolicy(t, s)
	says(t, text, "two cycles of the schedule and the longest of the last runs, since the policy has no max_lag")
}
