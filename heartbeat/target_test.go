package heartbeat_test

import (
	"strings"
	"testing"

	"github.com/reaperdb/reaper/heartbeat"
)

func TestRefusals(t *testing.T) {
	t.Parallel()
	own := &heartbeat.Request{URL: "https://a/" + token}
	for name, c := range map[string]struct {
		target heartbeat.Target
		want   string
	}{
		"nothing":              {heartbeat.Target{}, "URL is missing"},
		"blank":                {heartbeat.Target{URL: " https://hc-ping.com/" + token}, "not a URL"},
		"a line more":          {heartbeat.Target{URL: hcURL + "\n"}, "not a URL"},
		"bad escapes":          {heartbeat.Target{URL: "https://hc-ping.com/%zz" + token}, "not a URL"},
		"bad port":             {heartbeat.Target{URL: "https://hc-ping.com:" + token}, "not a URL"},
		"no scheme":            {heartbeat.Target{URL: "hc-ping.com/" + token}, "https://"},
		"a file":               {heartbeat.Target{URL: "file:///" + token}, "https://"},
		"no host":              {heartbeat.Target{URL: "https:///" + token}, "no host"},
		"a port and no host":   {heartbeat.Target{URL: "https://:80/" + token}, "no host"},
		"opaque":               {heartbeat.Target{URL: "https:" + token}, "no host"},
		"a fragment":           {heartbeat.Target{URL: hcURL + "#x"}, "holds a #"},
		"unknown kind":         {heartbeat.Target{URL: hcURL, Kind: token}, "kind is not known: write one of"},
		"an event below it":    {heartbeat.Target{URL: hcURL + "/start"}, "leave that part out"},
		"an exit below it":     {heartbeat.Target{URL: hcURL + "/0/"}, "leave that part out"},
		"a fail below it":      {heartbeat.Target{URL: "https://betteruptime.com/api/v1/heartbeat/" + token + "/fail"}, "leave that part out"},
		"only the host":        {heartbeat.Target{URL: "https://hc-ping.com/"}, "UUID or slug"},
		"only the host, too":   {heartbeat.Target{URL: "https://betteruptime.com", Kind: heartbeat.BetterStack}, "copy the one of its page"},
		"requests of its own":  {heartbeat.Target{URL: hcURL, Fail: own}, "only kind: generic"},
		"generic, and nothing": {heartbeat.Target{Kind: heartbeat.Generic}, "neither a URL nor requests"},
		"no success":           {heartbeat.Target{Kind: heartbeat.Generic, Fail: own}, "no request for success"},
		"no URL":               {heartbeat.Target{Kind: heartbeat.Generic, Success: &heartbeat.Request{}}, "request for success: the URL is missing"},
		"bad URL":              {heartbeat.Target{Kind: heartbeat.Generic, Success: &heartbeat.Request{URL: "x:" + token}}, "request for success: the URL must begin"},
		"method":               {generic(heartbeat.Request{Method: token}), "method is not known"},
		"name of a header":     {generic(heartbeat.Request{Headers: map[string]string{"X: " + token: ""}}), "header's name is not valid"},
		"value of a header":    {generic(heartbeat.Request{Headers: map[string]string{"X": token + "\n"}}), "the header X holds a control character"},
		"our own header":       {generic(heartbeat.Request{Headers: map[string]string{"content-length": token}}), "written by reaper itself"},
		"no template":          {generic(heartbeat.Request{Body: "a\n{{" + token + "}}"}), "not a valid template in line 2"},
		"no such field":        {generic(heartbeat.Request{Body: "a\n{{.Token5bf66975}}" + token}), "cannot be written in line 2: it may use Event"},
		"no end of it":         {generic(heartbeat.Request{Body: "{{range 100000}}" + token + "{{end}}"}), "64000 bytes long"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := c.target.Monitor()
			if err == nil {
				t.Fatal("no error")
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %q, want %q in it", err, c.want)
			}
			notIn(t, "the error", err.Error())
		})
	}
}

// generic has a URL, and a request of its own.
func generic(success heartbeat.Request) heartbeat.Target {
	return heartbeat.Target{Kind: heartbeat.Generic, URL: "https://example.com/" + token, Success: &success}
}

// notIn fails if a text holds part of a secret.
func notIn(t *testing.T, what, text string) {
	t.Helper()
	for _, part := range []string{token, token[:8], "hunter2"} {
		if strings.Contains(text, part) {
			t.Errorf("%s leaks %s: %s", what, part, text)
		}
	}
}

// An explicit kind wins over what the URL looks like.
func TestKindByName(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		url, kind, want string
	}{
		{"https://mine.example/deep/" + token, "healthchecks", "POST https://mine.example/deep/" + token + "/start\nstarted\n"},
		{hcURL, "cronitor", "GET " + hcURL + "?message=started&state=run\n"},
		{"https://user:hunter2@mine.example/api/push/x", "healthchecks", "POST https://user:hunter2@mine.example/api/push/x/start\nstarted\n"},
	} {
		m, err := heartbeat.Parse(c.url, c.kind)
		if err != nil {
			t.Fatal(err)
		}
		if got := sent(t, m, heartbeat.Ping{Event: heartbeat.Start}); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

func TestGeneric(t *testing.T) {
	t.Parallel()
	headers := map[string]string{"Authorization": "Bearer hunter2", "Content-Type": "application/json"}
	m, err := heartbeat.Target{
		Kind: heartbeat.Generic, URL: "https://example.com/" + token,
		Success: &heartbeat.Request{Headers: headers, Body: `{"run":{{json .RunID}},"rows":{{.Rows}},"t":{{json .Tables}},"s":{{.Seconds}}}`},
		Fail:    &heartbeat.Request{URL: "https://other.example/x?a=b;c", Method: "PUT", Body: `{{.Policy}} {{.Status}} {{.Reason}} {{.Duration}} {{.Summary}}`},
		Start:   &heartbeat.Request{Method: "HEAD"},
	}.Monitor()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		ping heartbeat.Ping
		want string
	}{
		{pingStart, "HEAD https://example.com/" + token + "\n"},
		{
			pingSuccess, "POST https://example.com/" + token + "\n" +
				`{"run":"` + runID + `","rows":12,"t":{"public.attachments":2,"public.emails":10},"s":90.5}`,
		},
		{pingFail, "PUT https://other.example/x?a=b;c\nemails incomplete no & time? 0s emails: incomplete: no & time? (1 rows, 1 batches)"},
		{pingLog, ""},
	} {
		if got := sent(t, m, c.ping); got != c.want {
			t.Errorf("%s: got %q, want %q", c.ping.Event, got, c.want)
		}
	}
	w := &wire{}
	client := start(t, heartbeat.Config{Transport: w, Version: "1.2.3"})
	client.Send(m, pingSuccess)
	flush(t, client)
	got := w.requests()[0].header
	for name, want := range map[string]string{"Authorization": "Bearer hunter2", "Content-Type": "application/json", "User-Agent": "reaper/1.2.3"} {
		if got.Get(name) != want {
			t.Errorf("%s is %q, want %q", name, got.Get(name), want)
		}
	}
}

// Only a URL: a sign of life, and nothing else.
func TestGenericBeat(t *testing.T) {
	t.Parallel()
	m, err := heartbeat.Parse("https://example.com/"+token, "generic")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []heartbeat.Ping{pingStart, pingFail, pingLog} {
		if got := sent(t, m, p); got != "" {
			t.Errorf("%s: %q", p.Event, got)
		}
	}
	if got, want := sent(t, m, pingSuccess), "GET https://example.com/"+token+"\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
