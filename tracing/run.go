package tracing

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/reaperdb/reaper/guard"
	"github.com/reaperdb/reaper/purge"
)

// Run is what is known of a run when it begins.
type Run struct {
	ID       string // empty: the report says it
	Trigger  string
	Policies []string
}

// Begin begins the spans of a run. The observer makes those of its batches, and tells next
// everything. end ends them, with the run's report; nil: it has failed before there was one. Only
// the first end counts.
func (t *Tracer) Begin(r Run, next purge.Observer) (observer purge.Observer, end func(*purge.Report)) {
	if t == nil {
		return next, func(*purge.Report) {}
	}
	ctx, span := t.tracer.Start(context.Background(), "reaper.run", trace.WithAttributes(
		attribute.String("reaper.run_id", r.ID), attribute.String("reaper.trigger", r.Trigger)))
	o := &spans{Observer: next, tracer: t.tracer, run: span, policies: map[string]policySpan{}}
	for _, name := range r.Policies {
		below, s := t.tracer.Start(ctx, "reaper.policy", trace.WithAttributes(attribute.String("reaper.policy", name)))
		o.policies[name] = policySpan{s, below}
	}
	return o, o.end
}

// spans are those of a run; a purge.Observer.
type spans struct {
	purge.Observer
	tracer   trace.Tracer
	run      trace.Span
	policies map[string]policySpan
}

type policySpan struct {
	trace.Span
	below context.Context // of the spans below it
}

// of is the span of a policy; of an unknown one, a span that goes nowhere.
func (o *spans) of(name string) policySpan {
	if p, known := o.policies[name]; known {
		return p
	}
	ctx := context.Background()
	return policySpan{trace.SpanFromContext(ctx), ctx}
}

// Due implements purge.Observer.
func (o *spans) Due(name string, roots int64) {
	if roots >= 0 {
		o.of(name).SetAttributes(attribute.Int64("reaper.due", roots))
	}
	o.Observer.Due(name, roots)
}

// Batch implements purge.Observer.
func (o *spans) Batch(e purge.BatchEvent) {
	now := time.Now()
	p := o.of(e.Policy)
	_, span := o.tracer.Start(p.below, "reaper.batch", trace.WithTimestamp(now.Add(-e.Duration)), trace.WithAttributes(
		attribute.String("reaper.policy", e.Policy), attribute.Int("reaper.tenants", e.Tenants), attribute.Int64("reaper.roots", e.Roots),
		attribute.Int64("reaper.rows", e.Rows), attribute.Int64("reaper.wal_bytes", e.WALBytes)))
	span.End(trace.WithTimestamp(now))
	o.Observer.Batch(e)
}

// Retry implements purge.Observer.
func (o *spans) Retry(name, reason string) {
	o.of(name).AddEvent("batch retried", trace.WithAttributes(attribute.String("reaper.reason", reason)))
	o.Observer.Retry(name, reason)
}

// Advised implements purge.Observer.
func (o *spans) Advised(name string, a guard.Advice) {
	o.of(name).AddEvent("guard state changed", trace.WithAttributes(attribute.String("reaper.guard", a.Guard), attribute.String("reaper.guard_state", a.State.String())))
	o.Observer.Advised(name, a)
}

func (o *spans) end(report *purge.Report) {
	if report == nil {
		for _, p := range o.policies {
			endWith(p, purge.Failed)
		}
		endWith(o.run, purge.Failed)
		return
	}
	for _, r := range report.Policies {
		p := o.of(r.Name)
		p.SetAttributes(
			attribute.Int64("reaper.rows", r.RowsTotal), attribute.Int64("reaper.batches", r.Batches), attribute.Int64("reaper.wal_bytes", r.WALBytes),
			attribute.Int64("reaper.tenants_done", r.Tenants.Done), attribute.Int64("reaper.tenants_skipped", r.Tenants.Skipped), attribute.Int64("reaper.tenants_failed", r.Tenants.Failed),
			attribute.Float64("reaper.paused_seconds", r.PausedSeconds))
		endWith(p, r.Status)
	}
	o.run.SetAttributes(attribute.String("reaper.run_id", report.RunID), attribute.Int64("reaper.wal_bytes", report.WALBytes))
	endWith(o.run, report.Status)
}

// endWith ends a span by how it ended: only a failure is an error.
func endWith(s trace.Span, status purge.Status) {
	s.SetAttributes(attribute.String("reaper.status", string(status)))
	if status == purge.Failed {
		s.SetStatus(codes.Error, "")
	}
	s.End()
}
