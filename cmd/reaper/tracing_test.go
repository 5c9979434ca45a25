package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	otlp "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/reaperdb/reaper/internal/dbtest"
)

// receiver is a collector of traces.
type receiver struct {
	url string

	mu    sync.Mutex
	spans []*otlp.Span
	about map[string]string // the resource of the last ones
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{}
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	r.url = server.URL
	return r
}

// ServeHTTP implements http.Handler.
func (r *receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(request.Body)
	var sent collector.ExportTraceServiceRequest
	if err != nil || request.URL.Path != "/v1/traces" || proto.Unmarshal(body, &sent) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range sent.GetResourceSpans() {
		r.about = attributes(s.GetResource().GetAttributes())
		for _, scope := range s.GetScopeSpans() {
			r.spans = append(r.spans, scope.GetSpans()...)
		}
	}
}

// named are the spans of a name that were received.
func (r *receiver) named(name string) []*otlp.Span {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(r.spans), func(s *otlp.Span) bool { return s.GetName() != name })
}

func (r *receiver) service() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.about["service.name"]
}

func attributes(list []*common.KeyValue) map[string]string {
	all := map[string]string{}
	for _, a := range list {
		text, _ := json.Marshal(a.GetValue())
		all[a.GetKey()] = string(text)
		if s, ok := a.GetValue().GetValue().(*common.AnyValue_StringValue); ok {
			all[a.GetKey()] = s.StringValue
		}
	}
	return all
}

// A purge is a span of the run, one of the policy below it, and one of each batch below that;
// they have these attributes and no others, least of all keys of tenants.
func TestTracing_Purge(t *testing.T) {
	t.Parallel()
	db, r := dbtest.New(t, letters), newReceiver(t)
	c := program(t, db.DSN(), "purge", "--yes", "-o", "json")
	c.Env = append(c.Env, "OTEL_EXPORTER_OTLP_ENDPOINT="+r.url)
	write(t, c.Dir, lettersPolicy("@yearly", ""))
	out, err := c.Output()
	if err != nil {
		t.Fatal(err)
	}
	var report struct {
		RunID    string `json:"run_id"`
		Policies []struct{ Batches int }
	}
	if err := json.Unmarshal(out, &report); err != nil {
		t.Fatal(err)
	}
	runs, policies, batches := r.named("reaper.run"), r.named("reaper.policy"), r.named("reaper.batch")
	if len(runs) != 1 || len(policies) != 1 || len(batches) == 0 || len(batches) != report.Policies[0].Batches {
		t.Fatalf("%d runs, %d policies, %d batches; the report: %s", len(runs), len(policies), len(batches), out)
	}
	run, policy := runs[0], policies[0]
	if !bytes.Equal(policy.GetParentSpanId(), run.GetSpanId()) || len(run.GetParentSpanId()) > 0 {
		t.Errorf("the policy is below %s, want %s", hex.EncodeToString(policy.GetParentSpanId()), hex.EncodeToString(run.GetSpanId()))
	}
	for _, b := range batches {
		if !bytes.Equal(b.GetParentSpanId(), policy.GetSpanId()) || b.GetEndTimeUnixNano() <= b.GetStartTimeUnixNano() {
			t.Errorf("a batch is not below its policy, or takes no time: %v", b)
		}
	}
	if got := attributes(run.GetAttributes()); got["reaper.run_id"] != report.RunID || got["reaper.status"] != "complete" || r.service() != "reaper" {
		t.Errorf("the run is %v, of %s", got, r.service())
	}
	for s, want := range map[*otlp.Span]string{
		run:        "reaper.run_id reaper.status reaper.trigger reaper.wal_bytes",
		policy:     "reaper.batches reaper.paused_seconds reaper.policy reaper.rows reaper.status reaper.tenants_done reaper.tenants_failed reaper.tenants_skipped reaper.wal_bytes",
		batches[0]: "reaper.policy reaper.roots reaper.rows reaper.tenants reaper.wal_bytes",
	} {
		if diff := cmp.Diff(want, strings.Join(slices.Sorted(maps.Keys(attributes(s.GetAttributes()))), " ")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", s.GetName(), diff)
		}
	}
}

// A failing policy of a daemon is a span with an error, whose text may hold rows and stays out.
func TestTracing_Daemon(t *testing.T) {
	t.Parallel()
	db, r := dbtest.New(t, letters), newReceiver(t)
	s := serve(t, db.DSN(), lettersPolicy("@every 1s", ", where: no_such_column > 1"),
		"OTEL_EXPORTER_OTLP_ENDPOINT="+r.url, "OTEL_BSP_SCHEDULE_DELAY=50", "OTEL_SERVICE_NAME=purges")
	s.await("a run is traced", 20*time.Second, func() bool { return len(r.named("reaper.run")) > 0 })
	run := r.named("reaper.run")[0]
	if status := run.GetStatus(); status.GetCode() != otlp.Status_STATUS_CODE_ERROR || status.GetMessage() != "" {
		t.Errorf("it ended as %v", status)
	}
	if got := attributes(run.GetAttributes()); got["reaper.status"] != "failed" || got["reaper.trigger"] != "schedule" || got["reaper.run_id"] == "" || r.service() != "purges" {
		t.Errorf("the run is %v, of %s", got, r.service())
	}
}

// A collector that is away costs a line of the log, and is no failure; none is asked where traces
// are off.
func TestTracing_Away(t *testing.T) {
	t.Parallel()
	db, r := dbtest.New(t, letters), newReceiver(t)
	for _, c := range []struct {
		name string
		env  []string
		says int // lines
	}{
		{"unset", nil, 0},
		{"off", []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + r.url, "OTEL_SDK_DISABLED=true"}, 0},
		{"no exporter", []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + r.url, "OTEL_TRACES_EXPORTER=none"}, 0},
		{"away", []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1"}, 1},
	} {
		cmd := program(t, db.DSN(), "purge", "--yes", "-o", "json", "--log-format", "json")
		cmd.Env = append(cmd.Env, c.env...)
		write(t, cmd.Dir, lettersPolicy("@yearly", ""))
		var stderr bytes.Buffer
		cmd.Stderr = &stderr
		if _, err := cmd.Output(); err != nil {
			t.Errorf("%s: %v\n%s", c.name, err, &stderr)
		}
		if n := strings.Count(stderr.String(), `"msg":"traces not sent"`); (n > 0) != (c.says > 0) || n > 2 {
			t.Errorf("%s: %d lines:\n%s", c.name, n, &stderr)
		}
		for line := range strings.Lines(stderr.String()) {
			if !json.Valid([]byte(line)) {
				t.Errorf("%s: not JSON: %s", c.name, line)
			}
		}
	}
	if spans := r.named("reaper.run"); len(spans) > 0 {
		t.Errorf("%d runs are traced, though it is off", len(spans))
	}
}
