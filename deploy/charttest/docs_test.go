package charttest_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	link    = regexp.MustCompile(`\]\(([^)\s#]*)(#[^)\s]*)?\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.*)$`)
)

// Links between the pages lead to files, and to headings, that are there.
func TestLinks(t *testing.T) {
	t.Parallel()
	pages := []string{chart + "/README.md", repository + "/deploy/README.md"}
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/runbooks/*.md"} {
		found, err := filepath.Glob(filepath.Join(repository, pattern))
		if err != nil {
			t.Fatal(err)
		}
		pages = append(pages, found...)
	}
	if len(pages) < 25 {
		t.Fatalf("only %d pages", len(pages))
	}
	for _, page := range pages {
		for _, l := range link.FindAllStringSubmatch(read(t, page), -1) {
			if strings.Contains(l[1], "://") {
				continue
			}
			target := page
			if l[1] != "" {
				target = filepath.Join(filepath.Dir(page), l[1])
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: %s leads nowhere", page, l[0])
			} else if l[2] != "" && !anchors(t, target)[l[2]] {
				t.Errorf("%s: no heading %s in %s", page, l[2], target)
			}
		}
	}
}

// anchors are the headings of a page, as GitHub names them in links.
func anchors(t *testing.T, page string) map[string]bool {
	t.Helper()
	all := map[string]bool{}
	for _, h := range heading.FindAllStringSubmatch(read(t, page), -1) {
		name := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r > 127:
				return r
			}
			return -1
		}, strings.ToLower(strings.TrimSpace(h[1])))
		all["#"+name] = true
	}
	return all
}
