package erasing

import (
	"strings"

	"github.com/reaperdb/reaper/drift"
	"github.com/reaperdb/reaper/erasure"
	"github.com/reaperdb/reaper/gate"
	"github.com/reaperdb/reaper/policy"
)

// Print is what decides which rows go, as gates compare it: each line of the plan's print is a fact.
func Print(p *erasure.Plan) *drift.Print {
	made := &drift.Print{Policy: policy.ErasurePolicy, Root: "the erasure of tenants in " + p.Tenants.Name(), Version: drift.Version, Server: p.Server.Version / 10000}
	for line := range strings.SplitSeq(strings.TrimSuffix(p.Print(), "\n"), "\n") {
		what, is, _ := strings.Cut(line, ": ")
		made.Facts = append(made.Facts, drift.Fact{What: "erasure " + what, Is: is})
	}
	return made
}

// Judged is what the gates judge a run by; byWhen: no person has asked for it.
func Judged(p *erasure.Plan, byWhen bool) gate.Erasures {
	e := gate.Erasures{Print: Print(p), Most: p.Section.Breaker, ByWhen: byWhen, WarnsOfDrift: p.File.Safety.WarnsOfDrift}
	for _, x := range p.File.Policies {
		e.Siblings = append(e.Siblings, x.Name)
	}
	return e
}
