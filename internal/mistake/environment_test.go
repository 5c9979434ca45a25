package mistake_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/reaperdb/reaper/internal/mistake"
)

type settings struct {
	File string `env:"REAPER_POLICY_FILE"`
	URL  string `env:"DATABASE_URL"`
}

func TestVariables(t *testing.T) {
	t.Parallel()
	type result struct {
		Others []string
		Err    string
	}
	for entry, want := range map[string]result{
		"REAPER_POLICY_FILE=x":                      {},
		"REAPER_POLICYFILE=x":                       {Err: "REAPER_POLICYFILE is not a setting; did you mean REAPER_POLICY_FILE?"},
		"REAPER_DATABASE_URL=x":                     {Err: "REAPER_DATABASE_URL is not a setting; did you mean DATABASE_URL?"},
		"REAPER_BIN=/opt/reaper":                    {Others: []string{"REAPER_BIN"}},
		"REAPER_SERVICE_HOST=10.0.0.1":              {},
		"REAPER_METRICS_PORT_8080_TCP_ADDR=1":       {},
		"REAPER_TEST_PG_BIN=/usr/lib/postgresql/15": {},
		"HOME=/root":                                {},
	} {
		others, err := mistake.Variables(settings{}, []string{entry})
		got := result{Others: others}
		if err != nil {
			got.Err = err.Error()
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", entry, diff)
		}
	}
}
