package daemon

import (
	"context"
	"sync"
	"time"

	"github.com/reaperdb/reaper/archive"
	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/policy"
)

// pruneEvery is how often copies are looked for that are older than archive.keep, at most: after a run
// that may have added some. pruneTime bounds that.
const (
	pruneEvery = 6 * time.Hour
	pruneTime  = 10 * time.Minute
)

// pruning removes copies that are older than archive.keep says.
type pruning struct {
	mu sync.Mutex
	at map[string]time.Time // of the last time, by URL
}

// due reports whether it is time to prune an archive, and notes that it is done.
func (p *pruning) due(url string, now time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if last, there := p.at[url]; there && now.Sub(last) < pruneEvery {
		return false
	}
	if p.at == nil {
		p.at = map[string]time.Time{}
	}
	p.at[url] = now
	return true
}

// pruneArchive prunes the archive of a policy file. Any process may: removing twice is no error.
func (d *Daemon) pruneArchive(ctx context.Context, f *policy.File, p *policy.Policy) {
	if !p.Archive || f.Archive == nil || f.Archive.Keep.Forever || !d.pruning.due(f.Archive.URL.Value, time.Now()) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, pruneTime)
	defer cancel()
	a, err := f.OpenArchive(nil)
	var removed []*archive.Entry
	if err == nil {
		removed, err = a.Prune(ctx, f.Archive.Keep.Before(time.Now()))
	}
	if len(removed) > 0 {
		d.Log.Info("copies removed from the archive", "segments", len(removed), "keep", f.Archive.Keep.String())
	}
	if err != nil {
		d.Log.Warn("removing old copies from the archive failed; will retry", "error", pg.OneLine(err))
	}
}
