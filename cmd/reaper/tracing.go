package main

import (
	"context"
	"time"

	"github.com/reaperdb/reaper/tracing"
)

// tracer sends traces where the environment says so; nil: nowhere.
func (a *app) tracer(ctx context.Context) (*tracing.Tracer, error) {
	if a.OTLPEndpoint == "" && a.TracesEndpoint == "" || a.TracesExporter == "none" || a.TracingDisabled {
		return nil, nil
	}
	t, err := tracing.New(ctx, version, a.log)
	if err != nil {
		return nil, usage(err)
	}
	return t, nil
}

// closeTime is how long the end of a process may wait for a collector.
const closeTime = 2 * time.Second

// closeTracer sends the last spans.
func (a *app) closeTracer(t *tracing.Tracer) {
	ctx, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	if err := t.Close(ctx); err != nil {
		a.log.Warn("traces not sent", "error", err)
	}
}
