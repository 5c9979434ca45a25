package terminal

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestColors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		choice   string
		terminal bool
		env      string
		want     bool
	}{
		{"auto", true, "", true},
		{"auto", false, "", false},
		{"auto", true, "NO_COLOR=1", false},
		{"auto", true, "NO_COLOR=", true},
		{"auto", true, "TERM=dumb", false},
		{"always", false, "NO_COLOR=1", true},
		{"never", true, "", false},
	} {
		name, value, _ := strings.Cut(c.env, "=")
		got, err := Colors(c.choice, c.terminal, func(n string) string {
			if n == name {
				return value
			}
			return ""
		})
		if err != nil || got != c.want {
			t.Errorf("%s, terminal %t, %q: %t, %v", c.choice, c.terminal, c.env, got, err)
		}
	}
	if _, err := Colors("yes", true, func(string) string { return "" }); err == nil {
		t.Error("yes is taken for a choice")
	}
}

// Only the colors of this package pass, and only where there are colors.
func TestWriter(t *testing.T) {
	t.Parallel()
	const text = "a\x1b[31mb\x1b[0mc\x1b[2Jd\x1b[1;31me\x9bf\u202e\n"
	for _, c := range []struct {
		color bool
		want  string
	}{
		{false, `a\x1b[31mb\x1b[0mc\x1b[2Jd\x1b[1;31me\x9bf\u202e` + "\n"},
		{true, "a\x1b[31mb\x1b[0mc" + `\x1b[2Jd\x1b[1;31me\x9bf\u202e` + "\n"},
	} {
		var b bytes.Buffer
		w := NewWriter(&b)
		w.SetColor(c.color)
		if _, err := w.Write([]byte(text)); err != nil || b.String() != c.want {
			t.Errorf("colors %t: %q, %v", c.color, b.String(), err)
		}
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("full") }

func TestWriterFull(t *testing.T) {
	t.Parallel()
	w := NewWriter(full{})
	fmt.Fprintln(w, "x")
	if err := w.Flush(); err == nil || err.Error() != "full" {
		t.Errorf("got %v", err)
	}
}

// A block is taken off before anything is written, and stands below it again after.
func TestBlock(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	w := NewWriter(&b)
	w.terminal = true
	w.Block([]string{"one", "two " + strings.Repeat("long ", 40)})
	fmt.Fprint(w, "a log line\n")
	fmt.Fprint(w, "a question? ")
	w.Block(nil)
	fmt.Fprint(w, "end\n")
	const erased = "\x1b[2A\r\x1b[J"
	two := "two " + strings.Repeat("long ", 14) + "long…"
	if cut := cutTo("two "+strings.Repeat("long ", 40), 79); cut != two {
		two = cut
	}
	block := "one\n" + two + "\n"
	if want := block + erased + "a log line\n" + block + erased + "a question? end\n"; b.String() != want {
		t.Errorf("got  %q\nwant %q", b.String(), want)
	}
}

// On a terminal each policy has its line, and all have a total; elsewhere a line comes from time to
// time.
func TestProgress(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	p := NewProgress(NewWriter(&bytes.Buffer{}), func() time.Time { return now })
	p.Due("emails", 55744)
	if got := p.lines(Style{Width: 60}); len(got) != 1 || got[0] != "emails  0 of 55,744 due, 0 B WAL" {
		t.Errorf("of one policy: %q", got)
	}
	p.Due("sessions", 0)
	p.Due("carts", 1000)
	now = now.Add(10 * time.Second)
	p.Batch("emails", 20000, 60000, 1<<20, nil)
	p.Batch("carts", 1000, 1000, 1<<20, nil)
	for _, c := range []struct {
		style Style
		want  string
	}{
		{Style{Width: 100, Height: 24}, "" +
			"emails  ━━━━━───────────  20,000 of 55,744 due, 6,000 rows/s, 18s left\n" +
			"carts   ━━━━━━━━━━━━━━━━  1,000 of 1,000 due, 100 rows/s\n" +
			"total: 21,000 of 56,744 due, 6,100 rows/s, 17s left, 2.0 MiB WAL"},
		{Style{Width: 60, Height: 4}, "" +
			"emails  20,000 of 55,744 due, 6,000 rows/s, 18s left\n" +
			"carts   1,000 of 1,000 due, 100 rows/s\n" +
			"total: 21,000 of 56,744 due, 6,100 rows/s, 17s left, 2.0 MiB WAL"},
	} {
		if got := strings.Join(p.lines(c.style), "\n"); got != c.want {
			t.Errorf("at %d: got\n%s\nwant\n%s", c.style.Width, got, c.want)
		}
	}
	for i := range 40 {
		now = now.Add(time.Second)
		p.Batch(fmt.Sprint("many-", i), 1, 1, 0, nil)
	}
	got := p.lines(Style{Width: 60, Height: 8})
	if len(got) != 6 || !strings.HasPrefix(got[3], "many-39  1 deleted") || got[4] != "and 38 more policies" || !strings.HasPrefix(got[5], "total: 21,040 deleted, ") {
		t.Errorf("of many policies: %q", got)
	}
}

// Elsewhere a line tells of the policy of the last batch, and no key of a tenant breaks it.
func TestProgressInAFile(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	p := NewProgress(NewWriter(&b), func() time.Time { return now })
	p.Due("emails", 100)
	key := "\x1b[2Ja\nb"
	p.Batch("emails", 10, 20, 0, &key)
	now = now.Add(10 * time.Second)
	p.Batch("emails", 10, 20, 1<<20, &key)
	p.Say("emails", "paused")
	p.Done()
	if want := `emails: 20 of 100 due, 4 rows/s, 40s left, tenant "\x1b[2Ja\nb", 1.0 MiB WAL` + "\nemails: paused\n"; b.String() != want {
		t.Errorf("got %q, want %q", b.String(), want)
	}
}
