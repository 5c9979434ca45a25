package main

import (
	"slices"
	"strings"
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

// A statement that begins with a new line is known by its second line.
func TestReadStatements(t *testing.T) {
	t.Parallel()
	statements, err := readStatements(strings.NewReader("reaper|LOG:  statement: begin\nreaper|LOG:  execute q: \n\t SELECT 1\n\tFROM x\n|LOG:  checkpoint starting\n"))
	if want := []string{"begin", "SELECT 1"}; err != nil || !slices.Equal(statements, want) {
		t.Errorf("got %q, %v, want %q", statements, err, want)
	}
	if statements, err := readStatements(strings.NewReader("psql|LOG:  statement: SELECT 1\n")); err == nil {
		t.Errorf("a log without reaper's statements gives %q, want an error", statements)
	}
}

func TestMostFrequent(t *testing.T) {
	t.Parallel()
	statements := []string{"b", "c", "a", "c", "b", "c", "d"}
	if got, want := mostFrequent(statements, 3), []string{"3 × c", "2 × b", "1 × a"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := mostFrequent(statements[:1], 3); !slices.Equal(got, []string{"1 × b"}) {
		t.Errorf("of one statement: %q", got)
	}
}
