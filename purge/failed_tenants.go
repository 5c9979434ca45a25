package purge

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/reaperdb/reaper/internal/visible"
)

// namedReasons is how many reasons of failed tenants are logged one by one: some tell of the row,
// and so differ for each tenant.
const namedReasons = 10

// logFailedTenants logs why tenants failed, once for each reason.
func (w *policyRun) logFailedTenants() {
	reasons := byReason(w.state.failedTenants())
	for _, r := range reasons[:min(len(reasons), namedReasons)] {
		w.run.log.Warn("tenants failed", "policy", w.report.Name, "error", r.why, "count", len(r.tenants), "tenants", strings.Join(r.tenants[:min(len(r.tenants), namedTenants)], ", "))
	}
	others := 0
	for _, r := range reasons[min(len(reasons), namedReasons):] {
		others += len(r.tenants)
	}
	if others > 0 {
		w.run.log.Warn("tenants failed for other reasons", "policy", w.report.Name, "count", others)
	}
}

// reason is one of those why tenants have failed.
type reason struct {
	why     string
	tenants []string
}

// byReason sorts failed tenants by why they failed, the most frequent reason first.
func byReason(failed map[string]string) []reason {
	tenants := map[string][]string{}
	for _, name := range slices.Sorted(maps.Keys(failed)) {
		tenants[failed[name]] = append(tenants[failed[name]], name)
	}
	var reasons []reason
	for why, names := range tenants {
		reasons = append(reasons, reason{why, names})
	}
	slices.SortFunc(reasons, func(a, b reason) int {
		return cmp.Or(cmp.Compare(len(b.tenants), len(a.tenants)), cmp.Compare(a.why, b.why))
	})
	return reasons
}

// shownReasons is how many reasons of failed tenants the report names.
const shownReasons = 3

// failedText says why tenants have failed, the most frequent reason first, and names some of them:
// "tickets are frozen (12, 52, 9, …); permission denied for table replies (7)".
func failedText(failed map[string]string) string {
	var texts []string
	reasons := byReason(failed)
	for _, r := range reasons[:min(len(reasons), shownReasons)] {
		names := slices.Clone(r.tenants[:min(len(r.tenants), namedTenants)])
		if len(r.tenants) > namedTenants {
			names = append(names, "…")
		}
		texts = append(texts, r.why+" ("+strings.Join(names, ", ")+")")
	}
	if more := len(reasons) - shownReasons; more > 0 {
		texts = append(texts, visible.Count(int64(more), "other reason", "other reasons"))
	}
	return strings.Join(texts, "; ")
}
