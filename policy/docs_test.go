package policy_test

import (
	"os"
	"strings"
	"testing"

	"github.com/reaperdb/reaper/policy"
)

// The reference quotes real messages and begins with a file that works.
func TestReference(t *testing.T) {
	data, err := os.ReadFile("../docs/POLICY.md")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := policy.Parse("POLICY.md", []byte(block(t, string(data), "yaml"))); err != nil {
		t.Error(err)
	}
	messages := map[string]bool{}
	for _, m := range mistakes {
		_, err := policy.Parse("reaper.yaml", []byte(m.file))
		messages[err.Error()] = true
	}
	for line := range strings.Lines(block(t, string(data), "text")) {
		if !messages[strings.TrimSpace(line)] {
			t.Errorf("no test of Parse gives %s", line)
		}
	}
}

// block returns the first fenced block of a language.
func block(t *testing.T, doc, language string) string {
	t.Helper()
	_, rest, found := strings.Cut(doc, "```"+language+"\n")
	text, _, closed := strings.Cut(rest, "```")
	if !found || !closed {
		t.Fatalf("no block of %s", language)
	}
	return text
}
