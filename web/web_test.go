package web_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/reaperdb/reaper/preview"
	"github.com/reaperdb/reaper/web"
)

type statusFunc = func() web.Status

// still is a snapshot that does not change.
func still(s web.Status) statusFunc { return func() web.Status { return s } }

func handler(status statusFunc) http.Handler {
	return web.New(web.Options{
		Status: status, Now: func() time.Time { return now },
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "up 1\n") }),
	})
}

func ask(t *testing.T, method, path string, s web.Status) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	handler(still(s)).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, path, http.NoBody))
	return w
}

var paths = []string{"/", "/healthz", "/readyz", "/readyz/process", "/health", "/api/status", "/metrics"}

func TestReadOnly(t *testing.T) {
	t.Parallel()
	for _, path := range paths {
		for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodPatch, http.MethodOptions} {
			if w := ask(t, method, path, fine()); w.Code != http.StatusMethodNotAllowed || w.Header().Get("Allow") != "GET, HEAD" {
				t.Errorf("%s %s: %d, Allow: %s", method, path, w.Code, w.Header().Get("Allow"))
			}
		}
		for _, method := range []string{http.MethodGet, http.MethodHead} {
			if w := ask(t, method, path, fine()); w.Code != http.StatusOK {
				t.Errorf("%s %s: %d", method, path, w.Code)
			}
		}
	}
	if w := ask(t, http.MethodGet, "/index.html", fine()); w.Code != http.StatusNotFound {
		t.Errorf("/index.html: %d", w.Code)
	}
}

func TestHeaders(t *testing.T) {
	t.Parallel()
	for _, path := range append(paths, "/nothing") {
		h := ask(t, http.MethodGet, path, fine()).Header()
		for name, want := range map[string]string{
			"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
		} {
			if got := h.Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q", path, name, got, want)
			}
		}
		policy := h.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "form-action 'none'"} {
			if !strings.Contains(policy, want) || strings.Contains(policy, "unsafe") {
				t.Errorf("%s: the policy %q has no %s, or something unsafe", path, policy, want)
			}
		}
	}
}

var (
	tag    = regexp.MustCompile(`(?s)<(style|script)>.*?</(style|script)>|<[^>]*>`)
	spaces = regexp.MustCompile(`\s+`)
)

// read returns the text of the page, as a reader sees it.
func read(t *testing.T, s web.Status) (text, source string) {
	t.Helper()
	w := ask(t, http.MethodGet, "/", s)
	if w.Code != http.StatusOK || w.Header().Get("Content-Type") != "text/html; charset=utf-8" {
		t.Fatalf("%d, %s: %s", w.Code, w.Header().Get("Content-Type"), w.Body)
	}
	source = w.Body.String()
	return spaces.ReplaceAllString(tag.ReplaceAllString(strings.ReplaceAll(source, "<wbr>", ""), " "), " "), source
}

func says(t *testing.T, text string, want ...string) {
	t.Helper()
	for _, w := range want {
		if !strings.Contains(text, w) {
			t.Errorf("the page does not say %q:\n%s", w, text)
		}
	}
}

func TestPageFine(t *testing.T) {
	t.Parallel()
	text, source := read(t, fine())
	says(
		t, text, "All is well", "Next run: emails in 2 h 2 min, at 06:14 UTC", "emails public.outgoing_emails on time 3 h of 12 h allowed 18,204 41 tenants",
		"1,312,754 public.outgoing_emails 1,204,331 public.attachments 88,310 public.replies 20,113", "412 GiB in the database, which grew by 37 GiB in 29 d 18 h",
		"415 GiB of the limit of 500 GiB are used", "At this rate it is reached in 85 d , at 26 May 04:12 UTC", "It grows by 1.0 GiB a day, over 7 days, one jump left out.", "audit-log 0.5/s 0/s 0.25/s now nothing is due",
		"emails 61/s 55/s 55/s in 5 min 31 s deleting keeps up", "wal_rate go 12 MiB/s 2 s ago slow 50 MiB/s pause 100 MiB/s", "dead_rows emails go 10 %", "connections go 42.5 %", "latency off not read none",
		"reaper-0 (this one)", "healthchecks (hc-ping.com/…3f2a): last accepted 4 h ago 00:12 UTC",
	)
	for _, word := range []string{"Running now", "Held back", "Most overdue", "not known", "http://", "https://"} {
		if strings.Contains(text, word) {
			t.Errorf("the page says %q", word)
		}
	}
	if !strings.Contains(source, `<noscript><meta http-equiv="refresh"`) {
		t.Error("without a script nothing refreshes the page")
	}
	if n := strings.Count(source, "<th"); n != strings.Count(source, "<thead")+strings.Count(source, "scope=") {
		t.Error("a heading of a table has no scope")
	}
	if strings.Contains(source, "style=") || strings.Contains(source, "onload=") {
		t.Error("the page's own policy forbids what it has inline")
	}
}

func TestPageBad(t *testing.T) {
	t.Parallel()
	text, _ := read(t, bad())
	says(
		t, text, "The policy file is not valid, and emails is failing and late",
		"Since 03:37 UTC (35 min ago) . The one loaded at 27 Feb 04:12 UTC stays in effect.", "unknown key max_lags",
		"is failing and late by 18 h 30 min (lag 30 h 30 min, allowed 12 h), since 1 Mar 06:12 UTC (22 h ago)", "3 runs in a row ended incomplete",
		"sessions was never measured", "canceling statement", "The limit of 420 GiB is reached in 5 d", "does not accept pings",
		"Held back sessions is paused by hand until 3 Mar 10:12 UTC (in 30 h), since 1 Mar 10:12 UTC (18 h ago)", "emails is held back by the guard replica_lag, since 04:09 UTC (3 min ago)",
		"reaper resume", "paused by the guard replica_lag , since 04:09 UTC (3 min ago)", "paused by hand, until 3 Mar 10:12 UTC",
		"emails 61/s 55/s below 0.01/s never at this rate: more becomes due than is deleted",
		"replica_lag pause since 04:09 UTC the replica &lt;b&gt;standby-2&lt;/b&gt; is 6 min 52 s behind 6 min 52 s 1 s ago slow 5 s pause 1 min",
		"wal_backlog pause since 04:11 UTC unknown: permission denied for function pg_ls_waldir unknown 1 s ago pause 10 GiB", "lock_waits slow", "1,234,567.89",
		"emails 602,118 of 2,904,331 due", "20 % · 911,402 rows over all tables, 2,170/s · 611 batches · 214 of 1,207 tenants", "on reaper-2",
		"failed connecting to the database: connection refused", "incomplete 1 of 1,207 tenants failed",
	)
}

// A manual pause is shown on top with its end and reason, and is not an alarm.
func TestPagePaused(t *testing.T) {
	t.Parallel()
	text, _ := read(t, paused())
	says(
		t, text, "Every policy is paused by hand As of", "Held back Every policy is paused by hand until 06:00 UTC (in 1 h 48 min), since 04:00 UTC (12 min ago) . moving the archive table, see OPS-1234 (ann@laptop)",
		"public.outgoing_emails paused by hand, until 06:00 UTC",
	)
	if strings.Contains(text, "Next run:") {
		t.Error("a paused policy is said to run next")
	}
	one := paused()
	one.Pauses[0].Policy = new("emails")
	one.Policies[1].Paused = false
	text, _ = read(t, one)
	says(t, text, "emails is paused by hand Next run: audit-log")
	slowed := fine()
	slowed.Policies[0].Running = &web.Progress{StartedAt: *ago(time.Minute), Roots: 10, Due: new(int64(40)), Held: &web.Held{Guard: "wal_rate", State: "slow", Reason: "60 MiB/s", Since: *ago(time.Second)}}
	text, _ = read(t, slowed)
	says(t, text, "All is well", "25 %, about 3 min left", "slowed by the guard wal_rate , since 04:12 UTC (1 s ago) 60 MiB/s")
	slowed.Policies[0].Running.Held.State = "pause"
	text, _ = read(t, slowed)
	says(t, text, "emails is held back by the guard wal_rate Next run")
}

// The page shows how the archive stands: damage and lists that are missing for long are warnings.
func TestPageArchive(t *testing.T) {
	t.Parallel()
	s := fine()
	s.Archive = &web.Archive{
		URL: "s3://bucket/copies", Schedule: "@weekly", VerifiedAt: ago(2 * day), NextAt: ago(-5 * day), MissingLists: 1, OldestMissingAt: ago(time.Minute),
		Verification: &web.Verification{At: *ago(2 * day), Segments: 5, Held: 100, HeldBytes: 1 << 30},
	}
	text, _ := read(t, s)
	says(t, text, "All is well", "Archive Store", "s3://bucket/copies verified 2 d ago 28 Feb 04:12 UTC next in 5 d never 100 segments 1.0 GiB 1 since 04:11 UTC")
	s.Archive.OldestMissingAt = ago(2 * time.Hour)
	s.Archive.Verification.Failures = []web.ArchiveFailure{{Segment: "run/mails/x.tar.zst", Reason: "it has <b>1</b> row"}}
	text, _ = read(t, s)
	says(
		t, text, "Nothing is late, but see below", "1 list of deleted rows missing in the archive; only the ledger has them until the next run, since 02:12 UTC (2 h ago)",
		"Copies in the archive are damaged: 1 of 5 segments that were read back", "run/mails/x.tar.zst: it has &lt;b&gt;1&lt;/b&gt; row", "s3://bucket/copies damaged",
	)
	s.Archive.Verification = &web.Verification{At: *ago(day), Error: "no route"}
	text, _ = read(t, s)
	says(t, text, "The archive could not be verified", "no route", "not verified", "not known")
}

// What is held by hand is shown with who said so and why, and is not an alarm.
func TestPageHolds(t *testing.T) {
	t.Parallel()
	s := fine()
	s.Holds = []web.Hold{
		{ID: 7, Policy: new("emails"), Tenant: new("42"), Until: ago(-30 * 24 * time.Hour), Reason: "a law suit", By: "ann@laptop", At: *ago(time.Hour)},
		{ID: 8, Reason: "an inquiry", By: "bob@laptop", At: *ago(time.Minute)},
	}
	text, _ := read(t, s)
	says(
		t, text, "All is well", "Held by hand tenant 42 of policy emails, until 2026-04-01 04:12:30 UTC a law suit (ann@laptop); end it with reaper release 7",
		"every tenant of every policy, until it is released an inquiry (bob@laptop); end it with reaper release 8",
	)
}

// A majority of rows without a tenant is a warning, and not an alarm.
func TestPageUnowned(t *testing.T) {
	t.Parallel()
	s := fine()
	s.Policies[1].Unowned = &preview.Unowned{SampledRows: 9000, Rows: 8910}
	text, _ := read(t, s)
	says(t, text, "Nothing is late, but see below", "audit-log never deletes most of its rows. 99 % of the rows reach no tenant and are never deleted (8,910 of 9,000 sampled)")
	if w := ask(t, http.MethodGet, "/health", s); w.Code != http.StatusOK {
		t.Errorf("/health: %d", w.Code)
	}
	for _, few := range []*preview.Unowned{{SampledRows: 9000, Rows: 4500}, {SampledRows: 19, Rows: 19}, {Exact: true}} {
		s.Policies[1].Unowned = few
		text, _ = read(t, s)
		says(t, text, "All is well")
	}
}

// A policy is not called on time without current evidence.
func TestPageBlind(t *testing.T) {
	t.Parallel()
	text, _ := read(t, down())
	says(t, text, "The database does not answer", "Since 03:18 UTC (54 min ago)", "connection refused", "emails public.outgoing_emails was on time")
	stuck := fine()
	stuck.At = now.Add(-4 * time.Minute)
	text, _ = read(t, stuck)
	says(t, text, "Reaper is stuck", "Its data is 4 min old", "was on time", "As of 04:08:30 UTC, 4 min ago")
	text, _ = read(t, web.Status{})
	says(t, text, "Reaper has just started and has no data yet")
}

func TestHostileNames(t *testing.T) {
	t.Parallel()
	text, source := read(t, bad())
	says(t, text, `acme\u202egnp.exe\u2066`, `caf\xe9 \xff\xfe`, `line\nbreak\x00nul\ttab`, "(10,240 bytes)", "株式会社サンプル", `&lt;script&gt;document`)
	for _, bad := range []string{"<script>document", "<img", "\u202e", "\u2066", "\x00", strings.Repeat("long", 30), strings.Repeat("\u0301", 4)} {
		if strings.Contains(source, bad) {
			t.Errorf("the page has %.40q", bad)
		}
	}
	if len(source) > 100_000 {
		t.Errorf("the page has %d bytes", len(source))
	}
}

// A style or script other than that of the policy would not be applied.
func TestPolicyNamesWhatIsThere(t *testing.T) {
	t.Parallel()
	w := ask(t, http.MethodGet, "/", bad())
	for _, kind := range []string{"style", "script"} {
		m := regexp.MustCompile(`(?s)<` + kind + `>(.*?)</` + kind + `>`).FindStringSubmatch(w.Body.String())
		if m == nil {
			t.Fatalf("no %s", kind)
		}
		sum := sha256.Sum256([]byte(m[1]))
		if want := kind + "-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "';"; !strings.Contains(w.Header().Get("Content-Security-Policy"), want) {
			t.Errorf("the policy has no %s", want)
		}
	}
}

func TestStatusJSON(t *testing.T) {
	t.Parallel()
	for name, s := range map[string]web.Status{"fine": fine(), "bad": bad(), "empty": {}} {
		w := ask(t, http.MethodGet, "/api/status", s)
		var got struct {
			Policies []map[string]any
			Guards   []any
			Pauses   []any
			Database map[string]any
		}
		if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		if got.Policies == nil || got.Guards == nil || got.Pauses == nil || got.Database == nil || len(got.Policies) != len(s.Policies) || w.Header().Get("Content-Type") != "application/json" {
			t.Errorf("%s: %s", name, w.Body)
		}
		for _, p := range got.Policies {
			for _, key := range []string{"name", "lag_seconds", "backlog_rows", "last_run", "last_success_at", "next_run_at", "paused", "paused_until", "balance"} {
				if _, ok := p[key]; !ok {
					t.Errorf("%s: a policy has no %s", name, key)
				}
			}
		}
	}
}
