package terminal

import (
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/reaperdb/reaper/internal/visible"
)

// How often progress is shown, unless a Progress says otherwise.
const (
	everyTerminal = 100 * time.Millisecond
	everyFile     = 10 * time.Second
)

// Progress shows how far a run is: on a terminal one line a policy and the total below, elsewhere
// a line from time to time. It is safe for concurrent use.
type Progress struct {
	// Every is how often it shows; 0: ten times a second on a terminal, else every 10 s.
	Every time.Duration
	// Log takes the place of lines, if it is not nil.
	Log func(PolicyProgress)

	to  *Writer
	now func() time.Time

	mu       sync.Mutex
	policies []*PolicyProgress // in the order in which they began
	wal      int64
	shown    time.Time
}

// PolicyProgress is how far a run is with one policy.
type PolicyProgress struct {
	Policy string
	Due    int64 // roots at the start; -1: unknown
	Roots  int64 // deleted
	Rows   int64 // deleted, over all tables
	WAL    int64 // bytes, of the whole run
	Took   time.Duration

	since, last time.Time
	tenant      *string // of the last batch; nil: none
}

// NewProgress shows progress on a writer. now is time.Now.
func NewProgress(to *Writer, now func() time.Time) *Progress {
	return &Progress{to: to, now: now, shown: now()}
}

func (p *Progress) policy(name string) *PolicyProgress {
	for _, x := range p.policies {
		if x.Policy == name {
			return x
		}
	}
	x := &PolicyProgress{Policy: name, Due: -1, since: p.now(), last: p.now()}
	p.policies = append(p.policies, x)
	return x
}

// Due records how many roots of a policy are due.
func (p *Progress) Due(policy string, roots int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.policy(policy).Due = roots
}

// Batch counts a batch, and shows the progress if it is time. tenant is the batch's; nil: it has
// none, or several.
func (p *Progress) Batch(policy string, roots, rows, wal int64, tenant *string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	x := p.policy(policy)
	x.Roots, x.Rows, x.last, x.tenant = x.Roots+roots, x.Rows+rows, p.now(), tenant
	p.wal += wal
	every := p.Every
	switch {
	case every > 0:
	case Of(p.to).Terminal:
		every = everyTerminal
	default:
		every = everyFile
	}
	if p.now().Sub(p.shown) < every {
		return
	}
	p.shown = p.now()
	p.show(x)
}

// show shows what there is to see after a batch of a policy.
func (p *Progress) show(x *PolicyProgress) {
	switch style := Of(p.to); {
	case p.Log != nil:
		seen := *x
		seen.WAL, seen.Took = p.wal, p.now().Sub(x.since)
		p.Log(seen)
	case style.Terminal:
		p.to.Block(p.lines(style))
	default:
		line := x.Policy + ": " + strings.Join(x.figures(p.now()), ", ")
		if x.tenant != nil {
			line += `, tenant "` + visible.Brief(*x.tenant, 80) + `"`
		}
		fmt.Fprintln(p.to, line+", "+p.walText())
	}
}

// figures are how many roots, how fast, and how long it takes until none is left; what is not known
// is left out.
func (x *PolicyProgress) figures(now time.Time) []string {
	count := humanize.Comma(x.Roots)
	if x.Due >= 0 {
		count += " of " + humanize.Comma(max(x.Due, x.Roots)) + " due"
	} else {
		count += " deleted" // the number of due rows is unknown
	}
	return append([]string{count}, pace(x.Roots, x.Due, x.Rows, now.Sub(x.since))...)
}

// pace is how fast rows go, and how long it takes until no root is left.
func pace(roots, due, rows int64, took time.Duration) (parts []string) {
	if took <= 500*time.Millisecond || rows == 0 {
		return nil
	}
	parts = append(parts, humanize.Comma(int64(float64(rows)/took.Seconds()))+" rows/s")
	if due > roots && roots > 0 {
		left := time.Duration(float64(due-roots) / float64(roots) * float64(took))
		parts = append(parts, left.Round(time.Second).String()+" left")
	}
	return parts
}

// most is how many policies have a line on a terminal that does not tell its height.
const most = 12

// lines are the block on a terminal: the policies in their order, those without a due row left
// out, and the total.
func (p *Progress) lines(s Style) []string {
	now := p.now()
	var seen []*PolicyProgress
	for _, x := range p.policies {
		if x.Due != 0 || x.Roots > 0 {
			seen = append(seen, x)
		}
	}
	room := most
	if s.Height > 0 {
		room = max(s.Height/2, 2)
	}
	first := latest(seen, room)
	name := 0
	for _, x := range first {
		name = max(name, min(text.StringWidthWithoutEscSequences(x.Policy), s.Width/3))
	}
	var lines []string
	for _, x := range first {
		lines = append(lines, text.Pad(cutTo(x.Policy, name), name, ' ')+"  "+bar(x.Roots, x.Due, s.Width)+strings.Join(x.figures(now), ", "))
	}
	if len(seen) == 1 { // it is the total
		return []string{lines[0] + ", " + p.walText()}
	}
	if more := len(seen) - len(first); more > 0 {
		lines = append(lines, fmt.Sprintf("and %s", visible.Count(int64(more), "more policy", "more policies")))
	}
	return append(lines, p.total(seen, now))
}

// latest are as many as there is room for, those of the last batches, in their order.
func latest(seen []*PolicyProgress, room int) []*PolicyProgress {
	if len(seen) <= room {
		return seen
	}
	var kept []*PolicyProgress
	for _, x := range seen {
		newer := 0
		for _, y := range seen {
			if y.last.After(x.last) {
				newer++
			}
		}
		if newer < room && len(kept) < room {
			kept = append(kept, x)
		}
	}
	return kept
}

// total is the last line: all policies together.
func (p *Progress) total(seen []*PolicyProgress, now time.Time) string {
	all := PolicyProgress{since: now}
	for _, x := range seen {
		all.Roots, all.Rows = all.Roots+x.Roots, all.Rows+x.Rows
		if x.Due < 0 || all.Due < 0 {
			all.Due = -1
		} else {
			all.Due += max(x.Due, x.Roots)
		}
		if x.since.Before(all.since) {
			all.since = x.since
		}
	}
	return "total: " + strings.Join(append(all.figures(now), p.walText()), ", ")
}

func (p *Progress) walText() string { return humanize.IBytes(uint64(max(p.wal, 0))) + " WAL" }

// barWidth is the length of a bar.
const barWidth = 16

// bar draws how much is done; empty if that is unknown, or on a narrow terminal.
func bar(done, of int64, width int) string {
	if width < 80 {
		return ""
	}
	if of <= 0 {
		return strings.Repeat(" ", barWidth+2)
	}
	full := int(min(done*barWidth/of, barWidth))
	return strings.Repeat("━", full) + strings.Repeat("─", barWidth-full) + "  "
}

// Say writes a line about a policy at once. With a Log it writes nothing.
func (p *Progress) Say(policy, line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.Log == nil {
		fmt.Fprintln(p.to, policy+": "+line)
	}
}

// Done takes the block off a terminal.
func (p *Progress) Done() { p.to.Block(nil) }
