package daemon

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/reaperdb/reaper/archive"
	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/ledger"
	"github.com/reaperdb/reaper/metrics"
	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/restore"
	"github.com/reaperdb/reaper/web"
)

// How often it is looked whether a verification is due, the least time between two of a process, how
// long one may take, when one is done again that failed or found damage, and how many failures are kept.
const (
	verifyLook   = 15 * time.Second
	verifyPause  = time.Minute
	verifyTime   = 2 * time.Hour
	verifyAgain  = 6 * time.Hour
	mostFailures = 100
)

// copies is what is known of the archive: which lists the store lacks, and what the last verification
// has found.
type copies struct {
	mu      sync.Mutex
	read    bool // the ledger was read
	missing map[string]ledger.Missing
	last    *ledger.Verification     // nil: there was none
	found   *restore.Verified        // of the last one; nil: it could not be done
	tried   time.Time                // when this process last began one
	cycle   map[string]time.Duration // the longest time between two of a schedule, which takes a while to find
}

// see takes over what the ledger has.
func (c *copies) see(missing map[string]ledger.Missing, last *ledger.Verification) error {
	var found *restore.Verified
	if last != nil && last.Error == "" {
		found = &restore.Verified{}
		if err := json.Unmarshal(last.Found, found); err != nil {
			return fmt.Errorf("reading the last verification of the archive: %w", err)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.read, c.missing, c.last, c.found = true, missing, last, found
	return nil
}

// due reports whether it is time to verify, and which segments were damaged the last time. It takes it
// for done then.
func (c *copies) due(schedule policy.Schedule, now time.Time) (damaged []string, due bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.read || now.Sub(c.tried) < verifyPause {
		return nil, false
	}
	defer func() {
		if due {
			c.tried = now
		}
	}()
	if c.last == nil {
		return nil, true
	}
	if c.found != nil {
		for _, f := range c.found.Failures {
			damaged = append(damaged, f.Segment)
		}
	}
	again := (c.last.Error != "" || damaged != nil) && now.Sub(c.last.At) > verifyAgain
	return damaged, again || !schedule.Last(c.last.At, now).IsZero()
}

// interval is the longest time between two verifications.
func (c *copies) interval(s policy.Schedule, now time.Time) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, known := c.cycle[s.String()]; !known {
		c.cycle = map[string]time.Duration{s.String(): s.Longest(now)}
	}
	return c.cycle[s.String()]
}

// shown is the archive as the page has it; nil: the file has none.
func (c *copies) shown(a *policy.Archive, zone *time.Location, now time.Time) *web.Archive {
	if a == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s := &web.Archive{URL: a.URL.Value}
	for _, m := range c.missing {
		s.MissingLists += m.Lists
		if s.OldestMissingAt == nil || m.Oldest.Before(*s.OldestMissingAt) {
			s.OldestMissingAt = &m.Oldest
		}
	}
	if a.Verify != nil {
		s.Schedule = a.Verify.Schedule.Value
		if schedule, err := policy.ParseSchedule(s.Schedule, zone); err == nil {
			next := schedule.Next(now)
			s.NextAt = &next
		}
	}
	if c.last == nil {
		return s
	}
	s.VerifiedAt, s.LoadedAt = c.last.VerifiedAt, c.last.LoadedAt
	s.Verification = &web.Verification{At: c.last.At, Error: c.last.Error, Failures: []web.ArchiveFailure{}}
	if f := c.found; f != nil {
		v := s.Verification
		v.Segments, v.Rows, v.Bytes, v.Loaded, v.Held, v.HeldBytes = f.Segments, f.Rows, f.Bytes, f.Loaded, f.Held, f.HeldBytes
		for _, x := range f.Failures {
			v.Failures = append(v.Failures, web.ArchiveFailure(x))
		}
	}
	return s
}

// readCopies reads what the ledger has of the archive, if the policy file has one.
func (d *Daemon) readCopies(ctx context.Context) error {
	f := d.file.inForce()
	if f.Archive == nil {
		d.Metrics.SetVerification(metrics.Verification{})
		return nil
	}
	missing, err := d.book.MissingLists(ctx)
	var last *ledger.Verification
	if err == nil {
		last, err = d.book.Verification(ctx)
	}
	if pg.HasCode(err, "42501") {
		d.pulse.complain("the archive", err) // status is worth showing all the same
		return nil
	}
	if err == nil {
		err = d.copies.see(missing, last)
	}
	if err == nil {
		d.tellCopies(f, missing)
	}
	return err
}

// tellCopies has the metrics show it.
func (d *Daemon) tellCopies(f *policy.File, missing map[string]ledger.Missing) {
	for i := range f.Policies {
		name := f.Policies[i].Name
		if m := missing[name]; f.Policies[i].Archive || m.Lists > 0 {
			d.Metrics.SetMissingLists(name, m.Lists, m.Oldest)
		}
	}
	now := time.Now()
	shown, v := d.copies.shown(f.Archive, d.Zone, now), metrics.Verification{}
	if shown.VerifiedAt != nil {
		v.Verified = *shown.VerifiedAt
	}
	if shown.LoadedAt != nil {
		v.Loaded = *shown.LoadedAt
	}
	if found := shown.Verification; found != nil && found.Error == "" {
		v.Done, v.Damaged, v.Segments, v.Bytes = true, int64(len(found.Failures)), found.Held, found.HeldBytes
	}
	if s, err := policy.ParseSchedule(shown.Schedule, d.Zone); err == nil {
		v.Interval = d.copies.interval(s, now)
	}
	d.Metrics.SetVerification(v)
}

// verify verifies copies when it is time, in the one process that has the lease.
func (d *Daemon) verify(ctx context.Context) {
	f := d.file.inForce()
	if f.Archive == nil || f.Archive.Verify == nil || !d.control.ready() || !d.pulse.up() || !d.lease.leads() {
		return
	}
	schedule, err := policy.ParseSchedule(f.Archive.Verify.Schedule.Value, d.Zone)
	if err != nil {
		d.Log.Error("the archive cannot be verified", "error", safe(err))
		return
	}
	damaged, due := d.copies.due(schedule, time.Now())
	if !due {
		return
	}
	began := time.Now()
	found, err := d.verifyCopies(ctx, f, damaged)
	if ctx.Err() != nil {
		return // the next process does it
	}
	d.keepVerification(ctx, f.Archive.Verify, found, err, time.Since(began))
}

func (d *Daemon) verifyCopies(ctx context.Context, f *policy.File, damaged []string) (*restore.Verified, error) {
	ctx, cancel := context.WithTimeout(ctx, verifyTime)
	defer cancel()
	v := f.Archive.Verify
	ids, err := archive.ReadIdentities(v.Identity)
	if err != nil {
		return nil, err
	}
	a, err := f.OpenArchive(ids)
	if err != nil {
		return nil, err
	}
	o := restore.Verification{Share: v.Share, Also: damaged}
	if v.Load {
		o.Pool = d.Pool
	}
	found, err := restore.Verify(ctx, a, o)
	if err != nil || found.Held > 0 {
		return found, err
	}
	return found, d.missesAll(ctx, f.Archive)
}

// missesAll is an error if a store that holds nothing should hold something: a folder that is not
// mounted, or another bucket, is no archive in which all is well.
func (d *Daemon) missesAll(ctx context.Context, a *policy.Archive) error {
	since := time.Time{}
	if !a.Keep.Forever {
		since = a.Keep.Before(time.Now())
	}
	known, err := d.book.KnownSegments(ctx, since)
	if err == nil && known > 0 {
		err = fmt.Errorf("the store holds nothing, and the ledger knows of %d segments that should be there: is archive.url the right store?", known)
	}
	return err
}

// keepVerification tells everybody what a verification has found.
func (d *Daemon) keepVerification(ctx context.Context, v *policy.Verify, found *restore.Verified, failed error, took time.Duration) {
	text, reason := []byte("{}"), ""
	well := false
	if failed != nil {
		reason = pg.OneLine(failed)
		d.Log.Warn("verifying the archive failed; will retry", "error", reason)
	} else {
		well = len(found.Failures) == 0
		for _, x := range found.Failures[:min(len(found.Failures), mostFailures)] {
			d.Log.Error("a copy in the archive is damaged", "segment", x.Segment, "reason", x.Reason)
		}
		d.Log.Info("archive verified", "segments", found.Segments, "of", found.Held, "rows", found.Rows, "bytes", found.Bytes, "loaded", found.Loaded,
			"failures", len(found.Failures), "duration_seconds", inSeconds(took))
		kept := *found
		kept.Failures = slices.Clone(found.Failures[:min(len(found.Failures), mostFailures)])
		var err error
		if text, err = json.Marshal(kept); err != nil {
			d.Log.Error("cannot record the verification of the archive", "error", safe(err))
			return
		}
	}
	once, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	err := d.book.SaveVerification(once, text, reason, well, well && v.Load)
	if err == nil {
		err = d.readCopies(once)
	}
	if err != nil {
		d.Log.Error("cannot record the verification of the archive", "error", safe(err))
	}
}
