package policy_test

import (
	"strings"
	"testing"

	"github.com/reaperdb/reaper/policy"
)

// A file with placeholders is refused and every placeholder named; a column with that name
// is not one.
func TestChoose(t *testing.T) {
	t.Parallel()
	file := `version: 1
policies:
  - name: mails
    table: mails
    age: at
    tenant: none
    retention: CHOOSE
    dependents:
      - {table: parts, via: mail, action: CHOOSE}
`
	_, err := policy.Parse("reaper.yaml", []byte(file))
	const want = "reaper.yaml:7:16: retention is still CHOOSE: write a value in its place, and the same for action on line 9"
	if err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	file = strings.NewReplacer("retention: CHOOSE", "retention: 30d", "action: CHOOSE", "action: delete", "via: mail", `via: '"CHOOSE"'`).Replace(file)
	if _, err := policy.Parse("reaper.yaml", []byte(file)); err != nil {
		t.Error(err)
	}
}
