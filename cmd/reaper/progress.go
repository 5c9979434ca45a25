package main

import (
	"cmp"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/jedib0t/go-pretty/v6/text"
	"golang.org/x/term"

	"github.com/reaperdb/reaper/guard"
	"github.com/reaperdb/reaper/internal/visible"
	"github.com/reaperdb/reaper/purge"
)

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// progress prints the progress of a run: on a terminal one line that is overwritten, elsewhere a
// line from time to time.
type progress struct {
	w        io.Writer
	terminal io.Writer  // w if it is a terminal, for clearing a line; otherwise nil
	width    func() int // of the terminal
	every    time.Duration
	log      *slog.Logger // in place of w; nil: w it is

	mu       sync.Mutex
	policies map[string]*policyProgress
	wal      int64
	shown    time.Time
	open     bool // the terminal shows a line without its end
}

type policyProgress struct {
	due, roots, rows int64
	since            time.Time
}

func (a *app) newProgress() *progress {
	p := &progress{w: a.stderr, policies: map[string]*policyProgress{}, every: cmp.Or(a.progressEvery, 10*time.Second), shown: time.Now()}
	if a.records {
		p.log, p.every = a.log, time.Minute
		return p
	}
	if a.screen != nil {
		p.terminal, p.every = a.screen, 100*time.Millisecond
		p.width = func() int {
			width, _, err := term.GetSize(int(a.screen.Fd()))
			if err != nil || width <= 0 {
				return 80
			}
			return width
		}
	}
	return p
}

// clearLine moves to the start of a terminal's line and clears it.
const clearLine = "\r\033[K"

func (p *progress) policy(name string) *policyProgress {
	if p.policies[name] == nil {
		p.policies[name] = &policyProgress{due: -1, since: time.Now()}
	}
	return p.policies[name]
}

// Due records how many roots are due.
func (p *progress) Due(policy string, roots int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.policy(policy).due = roots
}

// Batch counts a batch, and prints if it is time.
func (p *progress) Batch(e purge.BatchEvent) {
	p.mu.Lock()
	defer p.mu.Unlock()
	x := p.policy(e.Policy)
	x.roots += e.Roots
	x.rows += e.Rows
	p.wal += e.WALBytes
	if time.Since(p.shown) < p.every {
		return
	}
	p.shown = time.Now()
	if p.log != nil {
		attrs := []any{"policy", e.Policy, "roots", x.roots, "rows", x.rows, "wal_bytes", p.wal, "duration_seconds", float64(time.Since(x.since).Milliseconds()) / 1000}
		if x.due >= 0 {
			attrs = append(attrs, "due", x.due)
		}
		p.log.Info("run in progress", attrs...)
		return
	}
	line := x.line(e.Policy, e.Tenant) + ", " + bytesText(p.wal) + " WAL"
	if p.terminal != nil {
		fmt.Fprint(p.terminal, clearLine)
		p.open = true
		// A wrapped line could not be overwritten.
		fmt.Fprint(p.w, text.Trim(line, p.width()-1))
	} else {
		fmt.Fprintln(p.w, line)
	}
}

func (x *policyProgress) line(policy string, tenant *string) string {
	seconds := time.Since(x.since).Seconds()
	line := policy + ": " + humanize.Comma(x.roots)
	if x.due >= 0 {
		line += " of " + humanize.Comma(x.due) + " due"
	} else {
		line += " deleted" // the number of due rows is unknown
	}
	if seconds > 0.5 && x.rows > 0 {
		line += fmt.Sprintf(", %s rows/s", humanize.Comma(int64(float64(x.rows)/seconds)))
		if x.due > x.roots && x.roots > 0 {
			line += fmt.Sprintf(", %s left", time.Duration(float64(x.due-x.roots)/float64(x.roots)*seconds*float64(time.Second)).Round(time.Second))
		}
	}
	if tenant != nil {
		line += ", tenant " + quotedKey(*tenant)
	}
	return line
}

// Retry does nothing: retries are logged.
func (p *progress) Retry(string, string) {}

// Advised prints at once why a run is held up, and when it resumes: the next figures may take
// minutes.
func (p *progress) Advised(policy string, a guard.Advice) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.log != nil { // the guards log it themselves
		return
	}
	line := policy + ": " + map[guard.State]string{
		guard.Go: "goes on", guard.Slow: "slowed down", guard.Pause: "paused", guard.Stop: "stopped",
	}[a.State]
	if a.Guard != "" {
		line += " by the guard " + visible.Text(a.Guard) + ": " + visible.Text(a.Reason)
	}
	p.clear()
	fmt.Fprintln(p.w, line)
}

// clear removes the line from a terminal.
func (p *progress) clear() {
	if p.open {
		fmt.Fprint(p.terminal, clearLine)
		p.open = false
	}
}

// done ends the line on a terminal.
func (p *progress) done() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
}
