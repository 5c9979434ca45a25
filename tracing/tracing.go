// Package tracing sends OpenTelemetry traces of runs and batches to a collector, by OTLP over HTTP.
//
// A run is a span, each of its policies a span below it, and each committed batch a span below
// that. Retries and what guards say are events of the policy. Spans tell names of policies and
// guards, counts and durations; never tenants' keys, row values, SQL or texts of errors, which may
// hold them.
package tracing

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// Tracer makes the spans of runs. Those of a nil Tracer go nowhere, at no cost.
type Tracer struct {
	provider *sdk.TracerProvider
	tracer   trace.Tracer
}

// New makes a tracer whose spans go where the variables OTEL_EXPORTER_OTLP_… say, which the SDK
// reads, like the other variables of OpenTelemetry. A collector that is away costs spans, and holds
// up nothing.
func New(ctx context.Context, version string, log *slog.Logger) (*Tracer, error) {
	otel.SetErrorHandler(&failures{log: log, now: time.Now})
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, fmt.Errorf("tracing: %w", err)
	}
	about, err := resource.New(ctx,
		resource.WithAttributes(attribute.String("service.name", "reaper"), attribute.String("service.version", version)),
		resource.WithTelemetrySDK(), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("tracing: OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	provider := sdk.NewTracerProvider(sdk.WithBatcher(exporter), sdk.WithResource(about))
	return &Tracer{provider: provider, tracer: provider.Tracer("github.com/reaperdb/reaper")}, nil
}

// Close sends the spans that are left, until ctx is done.
func (t *Tracer) Close(ctx context.Context) error {
	if t == nil {
		return nil
	}
	if err := t.provider.Shutdown(ctx); err != nil {
		return fmt.Errorf("sending the last traces: %w", err)
	}
	return nil
}

// failuresEvery is how often it is logged that traces are not sent.
const failuresEvery = 5 * time.Minute

// failures logs errors of the SDK, which has one for each batch of spans that is not sent.
type failures struct {
	log *slog.Logger
	now func() time.Time

	mu   sync.Mutex
	last time.Time // zero: never
}

// Handle implements otel.ErrorHandler.
func (f *failures) Handle(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now()
	if !f.last.IsZero() && now.Sub(f.last) < failuresEvery {
		return
	}
	f.last = now
	f.log.Warn("traces not sent", "error", err.Error())
}
