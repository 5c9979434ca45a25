package policy_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/reaperdb/reaper/policy"
)

func TestEffectiveSettings(t *testing.T) {
	f, err := policy.Parse("f", []byte(`version: 1
tenants: {table: o, key: id, default: 30d, min: 1d, overrides: {a: 1d, b: 2d}}
policies:
- {name: inherits, table: t, age: at}
- {name: replaces, table: t, age: at, default: 60d, min: 7d, overrides: {b: forever, c: 3d}}
- {name: nobody, table: t, age: at, tenant: none, retention: 1d}
`))
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for i := range f.Policies {
		p := &f.Policies[i]
		s := fmt.Sprint(f.DefaultOf(p), " ", f.MinOf(p))
		for _, o := range f.OverridesOf(p) {
			s += fmt.Sprintf(" %s:%s", o.Key.Value, o.Duration)
		}
		got[p.Name] = s
	}
	want := map[string]string{
		"inherits": "30d 1d a:1d b:2d",
		"replaces": "60d 7d b:forever c:3d a:1d",
		"nobody":   "<nil> <nil>",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
