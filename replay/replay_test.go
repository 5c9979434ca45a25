package main

import (
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/reaperdb/reaper/internal/lab"
	"github.com/reaperdb/reaper/policy"
)

func TestWrongFlags(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"-only", "slots"}, {"-n", "100"}, {"-rate", "0"}, {"slot"}, {"-x"}} {
		if code := run(t.Context(), args, io.Discard, io.Discard); code != 2 {
			t.Errorf("replay %q ended with %d, want 2", args, code)
		}
	}
}

func TestFlags(t *testing.T) {
	t.Parallel()
	r := newReplay(io.Discard)
	chosen, err := r.parse([]string{"-only", "slot, delete", "-n", "50000", "-rate", "10", "-out", "x.md"})
	if err != nil {
		t.Fatal(err)
	}
	if len(chosen) != 2 || chosen[0].Name != "slot" || chosen[1].Name != "delete" || r.mails != 50_000 || r.rate != 10 || r.Out != "x.md" {
		t.Errorf("chose %v with %+v, and %q to write to", chosen, r, r.Out)
	}
	if all, err := lab.Choose(scenarios, ""); err != nil || len(all) != len(scenarios) {
		t.Errorf("without -only it chooses %v (%v), want all", all, err)
	}
}

// The volume has 40 % of the database's size free, including what the guard keeps free.
func TestRoomFor(t *testing.T) {
	t.Parallel()
	const mb = 1 << 20
	got := roomFor(100*mb, 8*mb, 150*mb)
	want := room{database: 100 * mb, volume: 190 * mb, left: 40 * mb, keep: 5 * mb, limit: 143 * mb, maxWAL: 1000 * mb}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if full := got.volume - 150*mb + 108*mb; got.limit > full-got.keep {
		t.Errorf("with the limit of %d reached, less than %d are free", got.limit, got.keep)
	}
}

// reaper parses the file as intended.
func TestPolicyFile(t *testing.T) {
	t.Parallel()
	text := roomFor(100<<20, 8<<20, 150<<20).policyFile()
	file, err := policy.Parse("reaper.yaml", []byte(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	g := file.Guards
	if g.MaxPause != maxPause || g.Storage.Limit != 143<<20 || *g.WALBacklog.Pause != 12<<20 || *g.WALBacklog.Slow != 6<<20 ||
		*g.ReplicaLag.Bytes.Pause != 12<<20 || g.Every != 200*time.Millisecond {
		t.Errorf("guards %+v", g)
	}
}

func TestPanicIn(t *testing.T) {
	t.Parallel()
	log := "LOG:  all well\n2026 [7] PANIC:  could not write to file: No space left on device\n2026 [8] PANIC:  again\n"
	if got, want := panicIn(log), "PANIC: could not write to file: No space left on device"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := panicIn("ERROR:  PANIC is a word\n"); got != "" {
		t.Errorf("found %q in a log without one", got)
	}
}

func TestDifference(t *testing.T) {
	t.Parallel()
	fill := map[string]content{"a": {3, "6", 3}, "b": {1, "1", 1}}
	if d := difference(fill, map[string]content{"a": {3, "6", 3}, "b": {1, "1", 1}}); d != "" {
		t.Errorf("equal contents differ: %s", d)
	}
	// As many rows, but different ones.
	if d, want := difference(fill, map[string]content{"a": {3, "7", 3}, "b": {1, "1", 1}}), "a has 3 rows of the fill, plain SQL would leave 3"; d != want {
		t.Errorf("got %q, want %q", d, want)
	}
}

// Only pauses in a log are reported.
func TestFollow(t *testing.T) {
	t.Parallel()
	log := `{"msg":"guard state changed","guard":"latency","state":"slow","reason":"it took 0.6 s"}
emails: no JSON
{"msg":"guard state changed","guard":"wal_backlog","state":"pause","reason":"the slot x"}
{"msg":"guard state changed","guard":"storage","state":"pause","reason":"full"}
`
	var told []string
	text := followLog(strings.NewReader(log), func(reason string) { told = append(told, reason) })
	if diff := cmp.Diff([]string{"the slot x", "full"}, told); diff != "" {
		t.Errorf("told (-want +got):\n%s", diff)
	}
	if text != log {
		t.Errorf("the text is %q", text)
	}
}

// The policy file follows the table.
func TestText(t *testing.T) {
	t.Parallel()
	r := newReplay(io.Discard)
	r.judge("slot", "the server", "up", "up", true)
	without := r.text()
	r.policy = "version: 1\n"
	if diff := cmp.Diff(without+"\nThe policy file:\n\n```yaml\nversion: 1\n```\n", r.text()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if !strings.Contains(without, "| slot | the server | up | up | yes |\n") {
		t.Errorf("the table lacks the line:\n%s", without)
	}
}
