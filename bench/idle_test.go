package main

import (
	"testing"
)

// The server's log of reaper's statements, in either protocol, including refused ones; nothing
// from other programs.
func TestLogged(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"reaper|LOG:  statement: begin read only":        "begin read only",
		"reaper|LOG:  execute <unnamed>: SELECT 1":       "SELECT 1",
		`reaper|ERROR:  relation "x" does not exist`:     `relation "x" does not exist`,
		"reaper|DETAIL:  parameters: $1 = '1'":           "",
		"|LOG:  checkpoint starting":                     "",
		"psql|LOG:  statement: SELECT 1":                 "",
		"reaper|STATEMENT:  SELECT a FROM x":             "",
		"\treaper|LOG:  statement: of another statement": "",
	} {
		got := ""
		if m := logged.FindStringSubmatch(line); m != nil {
			got = m[1]
		}
		if got != want {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
	}
}
