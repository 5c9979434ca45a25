package heartbeat_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/reaperdb/reaper/heartbeat"
)

// A run's pings, one of each event.
var (
	pingStart   = heartbeat.Ping{Event: heartbeat.Start, RunID: runID, Policy: "emails"}
	pingSuccess = heartbeat.Ping{
		Event: heartbeat.Success, RunID: runID, Policy: "emails", Status: "complete", Rows: 12, Batches: 3,
		Tables: map[string]int64{"public.emails": 10, "public.attachments": 2}, Duration: 90500 * time.Millisecond,
	}
	pingFail = heartbeat.Ping{Event: heartbeat.Fail, RunID: runID, Policy: "emails", Status: "incomplete", Reason: "no & time?", ExitStatus: 3, Rows: 1, Batches: 1}
	pingLog  = heartbeat.Ping{Event: heartbeat.Log, RunID: runID, Policy: "emails", Reason: "paused"}
)

// What each service is sent: "METHOD URL", and the body below it; empty: the
// event is withheld.
func TestServices(t *testing.T) {
	t.Parallel()
	const (
		rid      = "?rid=" + runID
		failText = "emails: incomplete: no & time? (1 rows, 1 batches)\nrun " + runID + "\n"
		failURL  = "emails%3A+incomplete%3A+no+%26+time%3F+%281+rows%2C+1+batches%29"
		doneText = "emails: complete (12 rows, 3 batches, 1m30.5s)\nrun " + runID + "\npublic.attachments: 2 rows\npublic.emails: 10 rows\n"
		doneURL  = "emails%3A+complete+%2812+rows%2C+3+batches%2C+1m30.5s%29"
	)
	hc := func(base, query string) [4]string {
		return [4]string{
			"POST " + base + "/start" + query + "\nemails: started\nrun " + runID + "\n",
			"POST " + base + query + "\n" + doneText,
			"POST " + base + "/3" + query + "\n" + failText,
			"POST " + base + "/log" + query + "\nemails: running: paused\nrun " + runID + "\n",
		}
	}
	for _, c := range []struct {
		url  string
		kind heartbeat.Kind
		want [4]string // start, success, fail, log
	}{
		{hcURL, heartbeat.Healthchecks, hc(hcURL, rid)},
		{hcURL + "/", heartbeat.Healthchecks, hc(hcURL, rid)},
		{"https://hc-ping.com/fqOOd6-F4MMNuCEnzTU01w/mail", heartbeat.Healthchecks, hc("https://hc-ping.com/fqOOd6-F4MMNuCEnzTU01w/mail", rid)},
		{
			"https://hc-ping.com/fqOOd6-F4MMNuCEnzTU01w/mail?create=1", heartbeat.Healthchecks,
			hc("https://hc-ping.com/fqOOd6-F4MMNuCEnzTU01w/mail", "?create=1&rid="+runID),
		},
		{"http://hc.lan:8000/ping/" + token, heartbeat.Healthchecks, hc("http://hc.lan:8000/ping/"+token, rid)},
		{"http://lan/hc/ping/fqOOd6-F4MMNuCEnzTU01w/mail", heartbeat.Healthchecks, hc("http://lan/hc/ping/fqOOd6-F4MMNuCEnzTU01w/mail", rid)},
		{"https://cronitor.link/p/" + token + "/mail?env=prod", heartbeat.Cronitor, [4]string{
			"GET https://cronitor.link/p/" + token + "/mail?env=prod&message=emails%3A+started&series=" + runID + "&state=run\n",
			"GET https://cronitor.link/p/" + token + "/mail?env=prod&message=" + doneURL + "&metric=count%3A12&series=" + runID + "&state=complete\n",
			"GET https://cronitor.link/p/" + token + "/mail?env=prod&message=" + failURL + "&metric=count%3A1&series=" + runID + "&state=fail&status_code=3\n",
			"",
		}},
		{"https://o0.ingest.sentry.io/api/1/cron/mail/" + token + "/?environment=dev", heartbeat.Sentry, [4]string{
			"GET https://o0.ingest.sentry.io/api/1/cron/mail/" + token + "/?check_in_id=" + runID + "&environment=dev&status=in_progress\n",
			"GET https://o0.ingest.sentry.io/api/1/cron/mail/" + token + "/?check_in_id=" + runID + "&duration=90.500&environment=dev&status=ok\n",
			"GET https://o0.ingest.sentry.io/api/1/cron/mail/" + token + "/?check_in_id=" + runID + "&environment=dev&status=error\n",
			"",
		}},
		{"https://uptime.betterstack.com/api/v1/heartbeat/" + token, heartbeat.BetterStack, [4]string{
			"",
			"GET https://uptime.betterstack.com/api/v1/heartbeat/" + token + "\n",
			"POST https://uptime.betterstack.com/api/v1/heartbeat/" + token + "/3\n" + failText,
			"",
		}},
		{"https://nosnch.in/" + token + "?s=0", heartbeat.DeadMansSnitch, [4]string{
			"", "GET https://nosnch.in/" + token + "?m=" + doneURL + "\n", "", "",
		}},
		{"http://kuma.lan:3001/api/push/" + token + "?status=up&msg=OK&ping=", heartbeat.UptimeKuma, [4]string{
			"",
			"GET http://kuma.lan:3001/api/push/" + token + "?msg=" + doneURL + "&ping=90500&status=up\n",
			"GET http://kuma.lan:3001/api/push/" + token + "?msg=" + failURL + "&status=down\n",
			"",
		}},
		{"https://example.com/" + token, heartbeat.Generic, [4]string{"", "GET https://example.com/" + token + "\n", "", ""}},
	} {
		t.Run(c.url, func(t *testing.T) {
			t.Parallel()
			m := monitor(t, c.url)
			if m.Kind() != c.kind {
				t.Fatalf("kind %q, want %q", m.Kind(), c.kind)
			}
			for i, p := range []heartbeat.Ping{pingStart, pingSuccess, pingFail, pingLog} {
				if diff := cmp.Diff(c.want[i], sent(t, m, p)); diff != "" {
					t.Errorf("%s (-want +got):\n%s", p.Event, diff)
				}
			}
		})
	}
}

// sent is the one request for a ping; empty: it was withheld, and told so.
func sent(t *testing.T, m heartbeat.Monitor, p heartbeat.Ping) string {
	t.Helper()
	w, told := &wire{}, &results{}
	c := start(t, heartbeat.Config{Transport: w, Observe: told.observe})
	c.Send(m, p)
	flush(t, c)
	outcome := told.last(t).Outcome
	if len(w.requests()) == 0 {
		if outcome != heartbeat.Withheld {
			t.Errorf("no request, and told %s", outcome)
		}
		return ""
	}
	if outcome != heartbeat.Sent {
		t.Errorf("a request, and told %s", outcome)
	}
	r := w.requests()[0]
	return r.method + " " + r.url + "\n" + r.body
}

// Where the service demands a UUID, another id is left out and not refused there;
// a fail never goes out as the exit status 0, which is a success.
func TestIDsAndExits(t *testing.T) {
	t.Parallel()
	cases := []struct {
		url  string
		ping heartbeat.Ping
		want string
	}{
		{hcURL, heartbeat.Ping{Event: heartbeat.Start, RunID: "7"}, "/" + token + "/start\n"},
		{hcURL, heartbeat.Ping{Event: heartbeat.Success}, "/" + token + "\n"},
		{hcURL, heartbeat.Ping{Event: heartbeat.Fail}, "/" + token + "/fail\n"},
		{hcURL, heartbeat.Ping{Event: heartbeat.Fail, ExitStatus: -1}, "/" + token + "/fail\n"},
		{hcURL, heartbeat.Ping{Event: heartbeat.Fail, ExitStatus: 256}, "/" + token + "/fail\n"},
		{hcURL, heartbeat.Ping{Event: heartbeat.Fail, ExitStatus: 255}, "/" + token + "/255\n"},
		{"https://s.io/api/1/cron/m/k/", heartbeat.Ping{Event: heartbeat.Start, RunID: "7"}, "k/?status=in_progress\n"},
		{"https://cronitor.link/p/k/m", heartbeat.Ping{Event: heartbeat.Start, RunID: "7"}, "&series=7&state=run\n"},
		{"http://k/api/push/x", heartbeat.Ping{Event: heartbeat.Success, Duration: 25 * time.Hour}, "25h0m0s%29&status=up\n"},
	}
	for _, c := range cases {
		if got := sent(t, monitor(t, c.url), c.ping); !strings.Contains(got, c.want) {
			t.Errorf("%s %s %q: got %q, want %q in it", c.url, c.ping.Event, c.ping.RunID, got, c.want)
		}
	}
	if got := sent(t, monitor(t, hcURL), heartbeat.Ping{Event: "surprise"}); got != "" {
		t.Errorf("an event that nobody knows went out: %s", got)
	}
}

// healthchecks.io says 200 to what it does not take.
func TestHealthchecksRefusals(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]heartbeat.Outcome{
		"OK": heartbeat.Sent, "": heartbeat.Sent, "OK (not found)": heartbeat.Failed, "OK (rate limited)": heartbeat.Failed,
	} {
		w, told := &wire{answer: always(200, body)}, &results{}
		c := start(t, heartbeat.Config{Transport: w, Observe: told.observe})
		c.Send(monitor(t, hcURL), pingSuccess)
		flush(t, c)
		if got := told.last(t); got.Outcome != want || len(w.requests()) != 1 {
			t.Errorf("answer %q: %s after %d requests, want %s after 1", body, got.Outcome, len(w.requests()), want)
		}
	}
}
