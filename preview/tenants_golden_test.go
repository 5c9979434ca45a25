package preview

import (
	"fmt"
	"strings"
	"testing"

	"github.com/reaperdb/reaper/expiry"
	"github.com/reaperdb/reaper/internal/plantest"
)

// The statements that count and list tenants, exact and as an estimate.
func TestGoldenTenants(t *testing.T) {
	t.Parallel()
	p := plantest.Compile(t, `
		CREATE TABLE orgs (id int PRIMARY KEY, days int, hold boolean);
		CREATE TABLE mails (id bigint PRIMARY KEY, org_id int NOT NULL REFERENCES orgs, at timestamptz NOT NULL);
		CREATE INDEX ON mails (org_id, at, id)`, `
version: 1
tenants: {table: orgs, key: id, retention: days, hold: hold, default: 90d}
policies: [{name: mails, table: mails, age: at, tenant: org_id}]`)
	var b strings.Builder
	for _, estimate := range []bool{false, true} {
		l := &previewer{plan: p, estimate: estimate, scope: expiry.Scope{Base: "START"}}
		fmt.Fprintf(&b, "-- estimate %t: how many tenants of each state, and the first\n%s;\n\n-- every tenant\n%s;\n\n", estimate, l.tenantsSQL(), l.eachSQL())
	}
	plantest.Golden(t, "tenants", b.String())
}
