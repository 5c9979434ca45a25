package lab

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTable(t *testing.T) {
	t.Parallel()
	table := Table{Heads: [5]string{"scenario", "what", "seen", "expected", "as expected"}}
	table.Fact("a day")
	table.Fact("a server")
	table.Fact("a day")
	table.Tell("slot", "run 1", "two\nlines | a bar")
	table.Judge("slot", "the server", "up", "up", true)
	table.Judge("slot", "writes", "1 lost", "none", false)
	want := `a day, a server.

| scenario | what | seen | expected | as expected |
| --- | --- | --- | --- | --- |
| slot | run 1 | two lines \| a bar |  |  |
| slot | the server | up | up | yes |
| slot | writes | 1 lost | none | **no** |
`
	if diff := cmp.Diff(want, table.Markdown()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if failures := table.missed(); len(failures) != 1 || !strings.Contains(failures[0].Error(), "slot: writes is 1 lost, expected none") {
		t.Errorf("missed: %v", failures)
	}
}
