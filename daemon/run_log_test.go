package daemon

import (
	"strings"
	"testing"

	"github.com/reaperdb/reaper/ledger"
	"github.com/reaperdb/reaper/purge"
)

// What a person should know is a warning, what failed an error, and what was meant, or is
// resumed, neither.
func TestLogRun(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, trigger string
		report        purge.PolicyReport
		level         string
	}{
		{"complete", bySchedule, purge.PolicyReport{Status: purge.Complete}, "INFO"},
		{"incomplete", bySchedule, purge.PolicyReport{Status: purge.Incomplete, Reason: "2 expired rows were locked by others"}, "WARN"},
		{"refused", bySchedule, purge.PolicyReport{Status: purge.Refused, Reason: "no room"}, "WARN"},
		{"failed", bySchedule, purge.PolicyReport{Status: purge.Failed, Reason: "no privilege"}, "ERROR"},
		{"a deploy", bySchedule, purge.PolicyReport{Status: purge.Incomplete, Reason: ledger.StoppedReason}, "INFO"},
		{"a signal to a CronJob", byOnce, purge.PolicyReport{Status: purge.Incomplete, Reason: ledger.StoppedReason}, "WARN"},
		{"a pause by hand", bySchedule, purge.PolicyReport{Status: purge.Incomplete, Reason: byHandReason}, "INFO"},
	} {
		log := &logbook{}
		c.report.Name, c.report.Seconds, c.report.RowsTotal = "mails", 90.0004, 7
		c.report.Tenants = purge.TenantCounts{Failed: 2}
		LogRun(log.logger(), "0195", c.trigger, &c.report)
		log.says(t, "\n", 1)
		for _, part := range []string{
			"level=" + c.level, `msg="run ended" run_id=0195 policy=mails trigger=` + c.trigger, "status=" + string(c.report.Status), "rows=7",
			"duration_seconds=90 ", "tenants_failed=2",
		} {
			log.says(t, part, 1)
		}
		log.says(t, "tenants_skipped", 0)
		if strings.Contains(c.name, "complete") && c.level == "INFO" {
			log.says(t, "reason=", 0)
		}
	}
}
