package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/reaperdb/reaper/policy"
)

// rival is a ratio of rows per second that a side should reach.
type rival struct {
	side         string
	peer         peer
	least, aimAt float64
}

var rivals = []rival{
	{"cascade", bigDelete, 1.4, 1.7},
	{"cascade-proven", bigDelete, 1.8, 2.7},
	{"cascade", ctidLoop, 1.2, 1.5},
	{"no-action", leafFirst, 1.4, 1.7},
	{"no-action-proven", leafFirst, 3.2, 5},
}

// mail deletes the mail workload in every way, in turn.
func mail(ctx context.Context, b *bench) error {
	load, err := b.fill(ctx, b.mails)
	if err != nil {
		return err
	}
	if err := b.fillNoAction(ctx); err != nil {
		return err
	}
	var ways []method
	for _, p := range peers {
		ways = append(ways, p.method())
	}
	for _, s := range b.sides {
		if err := b.checkProven(ctx, s); err != nil {
			return err
		}
		ways = append(ways, b.method(s))
	}
	turns, err := b.runRounds(ctx, load, ways)
	if err != nil {
		return err
	}
	m := &mailFigures{b: b, byPeer: map[string][]turn{}, bySide: turns[len(peers):]}
	for i, p := range peers {
		m.byPeer[p.name] = turns[i]
	}
	last := turns[0][b.rounds-1]
	b.Tell("mail", fmt.Sprintf("mails due, rows with them, n=%d", load.mails), fmt.Sprintf("%d, %d", last.mails, last.rows))
	b.Tell("mail", "rows of each table that stay, beside plain SQL", fmt.Sprintf("equal in all %d turns", len(ways)*b.rounds))
	m.record(last.rows)
	m.rates()
	m.ratios()
	m.times()
	m.wal()
	return nil
}

// mailFigures holds the turns by peer and, in the order of the sides, by side.
type mailFigures struct {
	b      *bench
	byPeer map[string][]turn
	bySide [][]turn
}

func (m *mailFigures) rates() {
	for _, p := range peers {
		m.b.Tell("mail", p.name, bothRates(m.byPeer[p.name]))
	}
	for i, s := range m.b.sides {
		own := each(m.bySide[i], func(t turn) float64 { return t.child.seconds().Seconds() / t.took.Seconds() * 100 })
		m.b.Tell("mail", s.title(), fmt.Sprintf("%s; the run alone is %.0f %% of the time", bothRates(m.bySide[i]), median(own)))
	}
}

func bothRates(turns []turn) string {
	return fmt.Sprintf("%s rows/s, %.0f mails/s", spread(each(turns, turn.rowRate), "%.0f"), median(each(turns, turn.mailRate)))
}

func (m *mailFigures) ratios() {
	for i, s := range m.b.sides {
		for _, p := range peers {
			values := ratios(each(m.bySide[i], turn.rowRate), each(m.byPeer[p.name], turn.rowRate))
			name, measured := fmt.Sprintf("%s to %s, rows/s", s.title(), p.name), spread(values, "%.2f")
			k := slices.IndexFunc(rivals, func(r rival) bool { return r.side == s.name && r.peer == p })
			if k < 0 {
				m.b.Tell("mail", name, measured)
				continue
			}
			r := rivals[k]
			m.b.Judge("mail", name, measured, fmt.Sprintf("≥ %g (aim: %g)", r.least, r.aimAt), median(values) >= r.least)
		}
	}
}

// times reports the times of reaper's batches, each one transaction, from its own report.
func (m *mailFigures) times() {
	aim := policy.DefaultLimits.Time
	var longest, p99 float64
	var texts []string
	for i, s := range m.b.sides {
		maxRate := slices.Max(each(m.bySide[i], func(t turn) float64 { return t.child.report.Policies[0].BatchSeconds.Max }))
		high := median(each(m.bySide[i], func(t turn) float64 { return t.child.report.Policies[0].BatchSeconds.P99 }))
		middle := median(each(m.bySide[i], func(t turn) float64 { return t.child.report.Policies[0].BatchSeconds.P50 }))
		longest, p99 = max(longest, maxRate), max(p99, high)
		texts = append(texts, fmt.Sprintf("%s %.0f, %.0f, %.0f", s.name, middle*1000, high*1000, maxRate*1000))
	}
	if len(texts) == 0 {
		return
	}
	m.b.Tell("mail", "ms of a batch: median, p99, longest of all rounds", strings.Join(texts, "; "))
	m.judgeTime("longest batch of all sides", longest, aim, 2)
	m.judgeTime("p99 of batches of the worst side", p99, aim, 1.25)
}

func (m *mailFigures) judgeTime(name string, seconds float64, aim time.Duration, factor float64) {
	m.b.Judge("mail", name, fmt.Sprintf("%.0f ms", seconds*1000), fmt.Sprintf("≤ %g × %d ms", factor, aim.Milliseconds()), seconds <= factor*aim.Seconds())
}

func (m *mailFigures) wal() {
	plain := each(m.byPeer[bigDelete.name], turn.walPerRow)
	m.b.Tell("mail", "WAL bytes per row, "+bigDelete.name, spread(plain, "%.0f"))
	m.b.Tell("mail", "WAL bytes per row, "+leafFirst.name, spread(each(m.byPeer[leafFirst.name], turn.walPerRow), "%.0f"))
	for i, s := range m.b.sides {
		own := each(m.bySide[i], turn.walPerRow)
		values := ratios(own, plain)
		most := 1.05
		if s.proven { // locks the rows of two levels
			most = 1.10
		}
		m.b.Judge("mail", fmt.Sprintf("WAL bytes per row, %s, to %s", s.title(), bigDelete.name),
			fmt.Sprintf("%s (%.0f bytes)", spread(values, "%.2f"), median(own)), fmt.Sprintf("≤ %.2f", most), median(values) <= most)
	}
}
