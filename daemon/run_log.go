package daemon

import (
	"context"
	"log/slog"
	"time"

	"github.com/reaperdb/reaper/purge"
)

// LogRun logs how a run of a policy ended: as a warning what a person should know, as an
// error what failed.
func LogRun(log *slog.Logger, runID, trigger string, r *purge.PolicyReport) {
	took := time.Duration(r.Seconds * float64(time.Second))
	attrs := []slog.Attr{
		slog.String("run_id", runID), slog.String("policy", r.Name), slog.String("trigger", trigger), slog.String("status", string(r.Status)),
		slog.Int64("rows", r.RowsTotal), slog.Int64("batches", r.Batches), slog.Int64("wal_bytes", r.WALBytes), slog.Float64("duration_seconds", inSeconds(took)),
	}
	if r.Reason != "" {
		attrs = append(attrs, slog.String("reason", r.Reason))
	}
	for _, n := range []struct {
		key   string
		count int64
	}{{"tenants_skipped", r.Tenants.Skipped}, {"tenants_failed", r.Tenants.Failed}} {
		if n.count > 0 {
			attrs = append(attrs, slog.Int64(n.key, n.count))
		}
	}
	log.LogAttrs(context.Background(), levelOf(trigger, r), "run ended", attrs...)
}

// levelOf is the level at which the end of a run is logged. What a pause by hand or a
// window has outlasted, and what another run resumes, is nothing to see to.
func levelOf(trigger string, r *purge.PolicyReport) slog.Level {
	status := string(r.Status)
	switch {
	case r.Status == purge.Complete, meant(status, r.Reason), handedOver(trigger, status, r.Reason):
		return slog.LevelInfo
	case r.Status == purge.Failed:
		return slog.LevelError
	}
	return slog.LevelWarn
}
