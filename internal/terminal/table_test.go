package terminal_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/reaperdb/reaper/internal/terminal"
)

var update = flag.Bool("update", false, "write the golden files anew")

// status is the table of the command status, with names as long as people make them.
func status() *terminal.Table {
	t := terminal.NewTable(
		terminal.Column{Name: "policy"}, terminal.Column{Name: "lag", Number: true}, terminal.Column{Name: "rows due", Number: true}, terminal.Column{Name: "last run (UTC)", Drop: 3},
		terminal.Column{Name: "ended", Drop: 1}, terminal.Column{Name: "rows deleted", Number: true, Drop: 5}, terminal.Column{Name: "last success (UTC)", Drop: 4}, terminal.Column{Name: "next run (UTC)", Drop: 2},
	)
	t.Row("emails", "3 h 0 min", "18,204", "2026-11-28 06:15:00", terminal.Cell{Tone: terminal.Good, Text: "complete"}, "1,312,754", "2026-11-28 06:15:00", "2026-11-28 12:15:00")
	t.Row("abandoned-shopping-carts-of-guests", "407.3 days", "102,904,331", "2026-11-28 06:00:00", terminal.Cell{Tone: terminal.Watch, Text: "incomplete"}, "998,214", "never", "2026-11-28 12:00:00")
	t.Row("x", "?", "?", "never", "", "", "never", "")
	return t
}

// plan is the table of the command plan: a tree of tables.
func plan() *terminal.Table {
	t := terminal.NewTable(terminal.Column{Name: "table"}, terminal.Column{Name: "by", Drop: 1}, terminal.Column{Name: "action"}, terminal.Column{Name: "index", Drop: 2}, terminal.Column{Name: "rows", Number: true})
	t.Row("public.outgoing_emails", "id", "delete what is expired", "outgoing_emails_tenant_created_at_id_idx", "55,744")
	t.Row("└ public.attachments", "email_id", "delete too (CASCADE)", "attachments_email_id_idx", "88,310")
	t.Row("  └ public.attachment_thumbnail_renditions_of_the_previewer", "attachment_id, rendition", "delete too (NO ACTION)", "none", "1,204,331")
	t.Row("└ 株式会社.返信", "parent_id", "set to NULL (SET NULL)", "replies_parent_id_idx", "20,113")
	t.Row("└ a\x1b[2Jb", "x", "keep (match)", "none", "?")
	t.Footer("all", "", "", "", "1,368,498")
	return t
}

// Tables at the widths of terminals. Nothing is wider than the terminal, whatever is in it.
func TestTable(t *testing.T) {
	t.Parallel()
	for name, table := range map[string]*terminal.Table{"status": status(), "plan": plan()} {
		for _, width := range []int{0, 30, 60, 80, 120} {
			got := table.Render(terminal.Style{Width: width}) + "\n"
			golden(t, fmt.Sprintf("%s-%d.txt", name, width), got)
			for line := range strings.Lines(got) {
				if n := text.StringWidthWithoutEscSequences(strings.TrimSuffix(line, "\n")); width > 0 && n > width {
					t.Errorf("%s at %d: a line has %d columns: %s", name, width, n, line)
				}
			}
		}
	}
}

// No width loses a value of a column that is shown, and all lines of a table have one length.
func TestTableEveryWidth(t *testing.T) {
	t.Parallel()
	for width := 10; width < 200; width++ {
		got := plan().Render(terminal.Style{Width: width})
		squeezed := strings.NewReplacer("│", "", " ", "", "\n", "").Replace(got)
		if !strings.Contains(squeezed, "55,744") || !strings.Contains(squeezed, "deletewhatisexpired") && !strings.Contains(got, "deleted") && !strings.Contains(got, "delete what") {
			t.Errorf("at %d something is lost:\n%s", width, got)
		}
		table, _, _ := strings.Cut(got, "not shown")
		lengths := map[int]bool{}
		for line := range strings.Lines(table) {
			if line = strings.TrimSuffix(line, "\n"); strings.HasPrefix(line, "│") || strings.HasPrefix(line, "├") {
				lengths[text.StringWidthWithoutEscSequences(line)] = true
			}
		}
		if len(lengths) > 1 {
			t.Errorf("at %d the lines of the table differ in length:\n%s", width, got)
		}
	}
}

func TestTableColors(t *testing.T) {
	t.Parallel()
	plain := status().Render(terminal.Style{Width: 120})
	colored := status().Render(terminal.Style{Width: 120, Color: true})
	if strings.Contains(plain, "\x1b") {
		t.Errorf("colors where there are none: %q", plain)
	}
	if !strings.Contains(colored, "\x1b[32mcomplete\x1b[0m") || !strings.Contains(colored, "\x1b[33mincomplete\x1b[0m") {
		t.Errorf("no colors: %q", colored)
	}
	if got := text.StripEscape(colored); got != plain {
		t.Errorf("with colors the table is another:\n%s\nwithout:\n%s", got, plain)
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil { //nolint:gosec // a golden file
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
	}
}
