package policy_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/reaperdb/reaper/policy"
)

// m means minutes. Where months are likelier, the file's warnings say so.
func TestMinutes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][2]string{
		"7m":      {"7m is 7 minutes; months are mo", "write 7mo # if you mean months"},
		"1m":      {"1m is 1 minute; months are mo", "write 1mo # if you mean months"},
		"1h30m":   {"30m in 1h30m is 30 minutes; months are mo", "write 1h30mo # if you mean months"},
		"1y6m":    {"6m in 1y6m is 6 minutes; months are mo", "write 1y6mo # if you mean months"},
		"6m1y":    {"6m in 6m1y is 6 minutes; months are mo", "write 6mo1y # if you mean months"},
		"1mo5m":   {"5m in 1mo5m is 5 minutes; months are mo", "remove the minutes, unless they are intended"},
		"2000m":   {"2000m is 2000 minutes; months are mo", "write 2000mo # if you mean months"},
		"1d2h30m": {}, "7mo": {}, "7d": {}, "12h": {}, "90s": {}, "forever": {}, "1y6mo": {},
	} {
		d, err := policy.ParseDuration(text)
		if err != nil {
			t.Fatal(err)
		}
		if warning, fix := d.Minutes(); warning != want[0] || fix != want[1] {
			t.Errorf("%s: %q, %q, want %q", text, warning, fix, want)
		}
	}
}

func TestWarnings(t *testing.T) {
	t.Parallel()
	f, err := policy.Parse("reaper.yaml", []byte(`version: 1
tenants:
  table: org
  key: id
  default: 6m
  overrides: {"a\n": 3m, b: 3mo}
policies:
  - name: one
    table: t
    age: at
    retention: 7m
    min: 5m
    max_lag: 30m
  - name: two
    table: u
    age: at
    retention: 90d
`))
	if err != nil {
		t.Fatal(err)
	}
	want := []policy.Warning{
		{Pos: policy.Pos{Line: 5, Col: 12}, Text: "default: 6m is 6 minutes; months are mo", Fix: "write 6mo # if you mean months"},
		{Pos: policy.Pos{Line: 6, Col: 22}, Text: `override of "a\n": 3m is 3 minutes; months are mo`, Fix: "write 3mo # if you mean months"},
		{Pos: policy.Pos{Line: 11, Col: 16}, Policy: "one", Text: "retention: 7m is 7 minutes; months are mo", Fix: "write 7mo # if you mean months"},
		{Pos: policy.Pos{Line: 12, Col: 10}, Policy: "one", Text: "min: 5m is 5 minutes; months are mo", Fix: "write 5mo # if you mean months"},
	}
	if d := cmp.Diff(want, f.Warnings); d != "" {
		t.Error(d)
	}
}
