package main

import (
	"strings"
	"testing"
)

// The daemon logs the warnings of the policy file that it loads.
func TestRun_WarnsOfMinutes(t *testing.T) {
	t.Parallel()
	s := serve(t, "host=127.0.0.1 port=1 user=app", "version: 1\npolicies: [{name: p, table: t, age: at, tenant: none, retention: 7m}]\n")
	if log := s.text(); !strings.Contains(log, `warning="reaper.yaml:2:66: retention: 7m is 7 minutes; months are mo" policy=p`) {
		t.Errorf("the log says nothing of it:\n%s", log)
	}
}
