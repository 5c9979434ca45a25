package main

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/reaperdb/reaper/internal/terminal"
	"github.com/reaperdb/reaper/preview"
)

// A plan may have a million tenants: none of what prints them holds more than tenantsOfTable.

// tenantList visits every tenant of a plan; nil: only the first to look at are listed.
type tenantList func(visit func(preview.TenantPreview) error) error

// tenantsOfTable is how many tenants a table shows; more are shown in several.
const tenantsOfTable = 1000

// tenantStates in display order.
var tenantStates = []string{"skipped", "due", "held", "forever", "clear"}

func (a *app) printTenants(v *preview.Preview, all tenantList) error {
	if len(v.TenantStates) == 0 {
		return nil // nothing was counted
	}
	listed, err := a.listTenants(v, all)
	if err != nil {
		return err
	}
	var parts []string
	var hidden int64
	for _, s := range tenantStates {
		n := v.TenantStates[s]
		if n > 0 {
			parts = append(parts, humanize.Comma(n)+" "+s)
		}
		if s != "clear" { // those are only counted
			hidden += n
		}
	}
	if hidden -= listed; hidden > 0 {
		a.printf("  and %s: --all lists all, --tenant shows one\n", many(hidden, "more tenant", "more tenants"))
	}
	if v.TenantPath != nil { // there are tenants
		a.printf("tenants: %s\n", strings.Join(parts, ", "))
	}
	for _, g := range v.InGrace {
		a.printf("in grace until %s UTC: %s\n", g.At.UTC().Format(time.DateTime), many(g.ExpiredRows, "row", "rows"))
	}
	a.printf("%s: %s", count(v, "expired rows"), humanize.Comma(v.ExpiredRows))
	if v.UnownedRows != nil && *v.UnownedRows > 0 {
		a.printf("; without a tenant, and never deleted: %s", humanize.Comma(*v.UnownedRows))
	}
	a.printf("\n")
	return nil
}

// listTenants prints the tenants in tables.
func (a *app) listTenants(v *preview.Preview, all tenantList) (listed int64, err error) {
	var t *terminal.Table
	rows := 0
	end := func() {
		if rows > 0 {
			a.printTable(t)
			rows = 0
		}
	}
	visit := func(x preview.TenantPreview) error {
		if rows == 0 {
			t = terminal.NewTable(column("tenant", 0), column("retention", 1), column("cutoff (UTC)", 2), column("state", 0), figure("expired rows", 0))
		}
		t.Row(tenantRow(x)...)
		listed++
		if rows++; rows == tenantsOfTable {
			end()
		}
		return nil
	}
	if all != nil {
		err = all(visit)
	} else {
		err = each(a.shown(v), visit)
	}
	end()
	return listed, err
}

// shownTenants is how many tenants are shown unless all are asked for: those that need attention
// first, then those with the most rows to delete.
const shownTenants = 10

// shown are the tenants to look at first. One that has nothing due is shown if it was asked for.
func (a *app) shown(v *preview.Preview) []preview.TenantPreview {
	if len(a.Tenants) > 0 {
		return v.Tenants
	}
	first := slices.DeleteFunc(slices.Clone(v.Tenants), func(t preview.TenantPreview) bool { return t.State == "clear" })
	slices.SortStableFunc(first, func(x, y preview.TenantPreview) int {
		return cmp.Or(cmp.Compare(slices.Index(tenantStates, x.State), slices.Index(tenantStates, y.State)), cmp.Compare(rows(y), rows(x)))
	})
	return first[:min(len(first), shownTenants)]
}

func rows(t preview.TenantPreview) int64 {
	if t.ExpiredRows == nil {
		return 0
	}
	return *t.ExpiredRows
}

// each visits tenants in memory.
func each(tenants []preview.TenantPreview, visit func(preview.TenantPreview) error) error {
	for _, t := range tenants {
		if err := visit(t); err != nil {
			return err
		}
	}
	return nil
}

// streamPlans writes the one JSON document of plan, whose tenants are written as they are read. If
// that fails after the first few of them, the document ends in the middle.
func (a *app) streamPlans(views []*preview.Preview, lists []tenantList) error {
	w := bufio.NewWriterSize(a.stdout, 1<<16)
	text := func(s string) { _, _ = w.WriteString(s) } // Flush returns the first error
	text("{\n  \"policies\": [")
	for i, v := range views {
		if i > 0 {
			text(",")
		}
		object, err := indented(v, "    ")
		if err != nil {
			return err
		}
		text("\n    " + strings.TrimSuffix(object, "\n    }") + ",\n      \"tenants\": ")
		if err := a.writeTenants(w, v, lists[i]); err != nil {
			return err
		}
		text("\n    }")
	}
	if len(views) > 0 {
		text("\n  ")
	}
	text("]\n}\n")
	return w.Flush()
}

func (a *app) writeTenants(w io.StringWriter, v *preview.Preview, all tenantList) error {
	open, between, end := "[", "", "]"
	if all == nil {
		all = func(visit func(preview.TenantPreview) error) error { return each(a.shown(v), visit) }
	}
	err := all(func(t preview.TenantPreview) error {
		object, err := indented(t, "        ")
		if err != nil {
			return err
		}
		_, err = w.WriteString(open + between + "\n        " + object)
		open, between, end = "", ",", "\n      ]"
		return err
	})
	if err == nil {
		_, err = w.WriteString(open + end)
	}
	return err
}

// indented is JSON as printJSON writes it, below the given indentation.
func indented(v any, prefix string) (string, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetIndent(prefix, "  ")
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return strings.TrimSuffix(b.String(), "\n"), err
}

func tenantRow(x preview.TenantPreview) []any {
	key, retention, cutoff, expired := "all rows", "none", "", "?"
	if x.Key != nil {
		key = keyText(*x.Key)
	}
	if x.Retention != nil {
		retention = *x.Retention
	}
	if retention == "00:00:00" { // also stands for an out-of-range number of days
		retention = "zero or absurd"
	}
	if x.Floored {
		retention += " (raised to min)"
	}
	if x.Cutoff != nil {
		cutoff = x.Cutoff.UTC().Format(time.DateTime)
	}
	if x.ExpiredRows != nil {
		expired = humanize.Comma(*x.ExpiredRows)
	}
	return []any{key, retention, cutoff, toned(x.State), expired}
}
