package tracing

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/reaperdb/reaper/guard"
	"github.com/reaperdb/reaper/purge"
)

// told counts what an observer is told.
type told struct{ due, batches, retries, advice int }

func (o *told) Due(string, int64)            { o.due++ }
func (o *told) Batch(purge.BatchEvent)       { o.batches++ }
func (o *told) Retry(string, string)         { o.retries++ }
func (o *told) Advised(string, guard.Advice) { o.advice++ }

// tell tells an observer everything once, with texts that must not leave the process.
func tell(o purge.Observer) {
	o.Due("emails", 7)
	o.Due("emails", -1)
	o.Batch(purge.BatchEvent{Policy: "emails", Tenant: new("secret-tenant"), Tenants: 1, Roots: 3, Rows: 5, Duration: time.Second})
	o.Batch(purge.BatchEvent{Policy: "unknown"})
	o.Retry("emails", "deadlock")
	o.Advised("emails", guard.Advice{State: guard.Pause, Guard: "storage", Reason: "secret reason"})
}

func inMemory(t *testing.T) (*Tracer, *tracetest.SpanRecorder) {
	t.Helper()
	recorder := tracetest.NewSpanRecorder()
	provider := sdk.NewTracerProvider(sdk.WithSpanProcessor(recorder))
	return &Tracer{provider: provider, tracer: provider.Tracer("test")}, recorder
}

// Whoever watched the run before still hears of everything, with traces and without.
func TestBegin_TellsNext(t *testing.T) {
	t.Parallel()
	traced, _ := inMemory(t)
	for _, tracer := range []*Tracer{traced, nil} {
		next := &told{}
		observer, end := tracer.Begin(Run{Policies: []string{"emails"}}, next)
		tell(observer)
		end(nil)
		if want := (told{2, 2, 1, 1}); *next != want {
			t.Errorf("told %+v, want %+v", *next, want)
		}
	}
}

func TestBegin_Spans(t *testing.T) {
	t.Parallel()
	tracer, recorder := inMemory(t)
	observer, end := tracer.Begin(Run{ID: "x", Trigger: "schedule", Policies: []string{"emails", "logs"}}, purge.Silent{})
	tell(observer)
	end(&purge.Report{RunID: "x", Status: purge.Incomplete, Policies: []*purge.PolicyReport{
		{Name: "emails", Status: purge.Incomplete, Reason: "1 tenant failed: secret-tenant: secret reason", RowsTotal: 5},
		{Name: "logs", Status: purge.Failed, Reason: "secret"},
	}})
	end(nil) // only the first counts
	var got []string
	for _, s := range recorder.Ended() {
		line := s.Name() + " " + s.Status().Code.String()
		for _, a := range s.Attributes() {
			line += " " + string(a.Key) + "=" + a.Value.String()
		}
		for _, e := range s.Events() {
			line += " [" + e.Name
			for _, a := range e.Attributes {
				line += " " + a.Value.String()
			}
			line += "]"
		}
		got = append(got, line)
	}
	all := strings.Join(got, "\n")
	for _, want := range []string{
		"reaper.batch Unset reaper.policy=emails reaper.tenants=1 reaper.roots=3 reaper.rows=5 reaper.wal_bytes=0",
		"reaper.policy Unset reaper.policy=emails reaper.due=7 reaper.rows=5",
		"reaper.status=incomplete [batch retried deadlock] [guard state changed storage pause]",
		"reaper.policy Error reaper.policy=logs",
		"reaper.run Unset reaper.run_id=x reaper.trigger=schedule reaper.wal_bytes=0 reaper.status=incomplete",
	} {
		if !strings.Contains(all, want) {
			t.Errorf("missing: %s", want)
		}
	}
	if strings.Contains(all, "secret") {
		t.Error("a span tells what it must not")
	}
	if t.Failed() {
		t.Log(all)
	}
}

// A collector that is away for hours is logged every five minutes, and not for each batch of spans.
func TestFailures(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	now := time.Unix(0, 0)
	f := &failures{log: slog.New(slog.NewTextHandler(&log, nil)), now: func() time.Time { return now }}
	for range 60 { // ten minutes
		f.Handle(errors.New("connection refused"))
		now = now.Add(10 * time.Second)
	}
	if n := strings.Count(log.String(), "traces not sent"); n != 2 {
		t.Errorf("logged %d times, want 2:\n%s", n, &log)
	}
}
