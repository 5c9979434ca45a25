package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/reaperdb/reaper/internal/dbtest"
	"github.com/reaperdb/reaper/ledger"
)

// typed is what the runbooks tell a person to type: commands of reaper, and statements.
var typed = regexp.MustCompile("`((?:reaper|SELECT|CHECKPOINT)(?: [^`]*)?)`")

// broken is a command with a line break in it.
var broken = regexp.MustCompile("(?m)`(?:reaper|SELECT|CHECKPOINT|kubectl|helm)(?: [^`\n]*)?$")

// Everything that a runbook tells a person to type can be typed: at four in the morning
// nobody wants to find out.
func TestRunbooks(t *testing.T) {
	t.Parallel()
	pages, err := filepath.Glob("../../docs/runbooks/*.md")
	if err != nil || len(pages) < 15 {
		t.Fatalf("%d runbooks: %v", len(pages), err)
	}
	db := dbtest.New(t, letters)
	if _, err := ledger.New(ledger.DefaultSchema, 0).Migrate(t.Context(), db.Pool(t)); err != nil {
		t.Fatal(err)
	}
	fill := strings.NewReplacer("NAME", "letters", "ROLE", "worker", "FILE", "reaper.yaml")
	found, pauses := map[string]string{}, []string(nil)
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		if broken.Match(text) {
			t.Errorf("%s: a command is broken over two lines, and cannot be copied", page)
		}
		for _, m := range typed.FindAllStringSubmatch(string(text), -1) {
			line := fill.Replace(m[1])
			if line == "reaper COMMAND" || strings.Contains(line, "SLOT") { // there is no slot to drop
				continue
			}
			found[line] = filepath.Base(page)
			if strings.HasPrefix(line, "reaper pause ") {
				pauses = append(pauses, line)
			}
		}
	}
	if len(found) < 15 || len(pauses) == 0 {
		t.Errorf("only %d are found, %d of them pauses", len(found), len(pauses))
	}
	for line, page := range found {
		switch {
		case slices.Contains(pauses, line): // and with what ends it, below
		case strings.HasPrefix(line, "reaper resume"):
			types(t, db, page, pauses[0]+strings.TrimPrefix(line, "reaper resume"))
			types(t, db, page, line)
		case strings.HasPrefix(line, "reaper "):
			types(t, db, page, line)
		default:
			db.Exec(t, line)
		}
	}
}

// types has a person type a line.
func types(t *testing.T, db *dbtest.DB, page, line string) {
	t.Helper()
	if strings.HasPrefix(line, "reaper purge") {
		line += " --yes" // there is no terminal
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-c", line)
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "DATABASE_URL="+db.DSN())
	policy := lettersPolicy("@daily", "")
	if strings.HasPrefix(line, "reaper archive") {
		policy += "archive: {url: \"file://" + t.TempDir() + "\", encryption: none, keep: 30d}\n"
	}
	write(t, cmd.Dir, policy)
	if out, err := cmd.CombinedOutput(); exitCode(t, err) != 0 {
		t.Errorf("%s: %s: %v\n%s", page, line, err, out)
	}
}
