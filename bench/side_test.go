package main

import (
	"strings"
	"testing"

	"github.com/reaperdb/reaper/policy"
)

// What a side adds goes in the right place: below the policy, or next to policies.
func TestSidePolicy(t *testing.T) {
	t.Parallel()
	for want, s := range map[string]side{
		"":                          {template: cascading},
		"    undecided: delete\n":   {template: noAction},
		"    limits: {pace: 25%}\n": {template: cascading, pace: "25%"},
		"    undecided: delete\nsafety: {foreign_key_checks: proven}\n": {template: noAction, proven: true},
	} {
		if got := strings.TrimPrefix(s.policy(), mailPolicy); got != want {
			t.Errorf("%+v adds %q, want %q", s, got, want)
		}
	}
}

func TestPolicies(t *testing.T) {
	t.Parallel()
	files := map[string]string{"events": eventsPolicy, "gentle": side{template: noAction, pace: "gentle"}.policy(), "many": manyPolicies(policyCount)}
	for _, s := range sides {
		files[s.name] = s.policy()
	}
	for name, text := range files {
		file, err := policy.Parse(name+".yaml", []byte(text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if name == "many" && len(file.Policies) != policyCount {
			t.Errorf("many: %d policies, want %d", len(file.Policies), policyCount)
		}
	}
}
