package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/reaperdb/reaper/archive"
	"github.com/reaperdb/reaper/daemon"
	"github.com/reaperdb/reaper/guard"
	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/internal/visible"
	"github.com/reaperdb/reaper/ledger"
	"github.com/reaperdb/reaper/restore"
)

// restoreFlags are the flags of restore.
type restoreFlags struct {
	run, policy, since, until string
	tenants                   []string
	root, into, identity      string
	triggers, hold            string
	tables                    []string
}

func (a *app) restoreCommand() *cobra.Command {
	var f restoreFlags
	cmd := &cobra.Command{
		Use: "restore (--run ID | --policy NAME --since TIME [--until TIME])", Short: "Put deleted rows back from the archive", Args: noArgs,
		Long: `restore puts back what a run, or the runs of a policy since a time, have deleted,
from the copies in the archive: each root with everything that was deleted with it,
in one transaction. It shows what would come back, and asks. Rows that are there and
the same are skipped. A root is not restored at all, and is named (exit 3), if one of
its rows is there and different, its place is taken, or its parent is gone. If a
trigger or rule on the tables would run, nothing is restored unless --triggers fire
is given. --into SCHEMA loads the rows into new tables there instead, without asking.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.restore(cmd.Context(), f) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.run, "run", "", "the run whose rows come back; reaper archive list shows them")
	flags.StringVar(&f.policy, "policy", "", "the policy whose rows come back; with --run: only this policy's")
	flags.StringVar(&f.since, "since", "", "what was deleted since then, in UTC: 2027-03-31, 2027-03-31T18:00:00Z")
	flags.StringVar(&f.until, "until", "", "what was deleted until then")
	flags.StringArrayVar(&f.tenants, "tenant", nil, "only the rows of this tenant's roots, by key; repeatable")
	flags.StringVar(&f.root, "root", "", "only this root, by key; the columns of a composite key with commas")
	flags.StringVar(&f.into, "into", "", "load into fresh tables of this schema")
	flags.StringVar(&f.identity, "identity", "", "a file with the secret key of age that can read encrypted copies")
	flags.StringVar(&f.hold, "hold", "30d", "how long what comes back is held, by row, for every policy whose root it is")
	flags.StringArrayVar(&f.tables, "allow-table", nil, "a table, SCHEMA.TABLE, that rows may come back to although no policy of the file deletes from it; repeatable")
	flags.StringVar(&f.triggers, "triggers", "", "fire: let triggers and rules run for rows that come back")
	flags.BoolVar(&a.Yes, "yes", a.Yes, "restore without asking (REAPER_YES)")
	return cmd
}

// selection checks the flags.
func (f *restoreFlags) selection() (s restore.Selection, err error) {
	s = restore.Selection{Run: f.run, Policy: f.policy, Tenants: f.tenants, Root: f.root}
	switch {
	case f.run == "" && (f.policy == "" || f.since == ""):
		return s, usage(errors.New("restore needs --run ID, or --policy NAME and --since TIME: what is to come back; reaper archive list shows what there is"))
	case f.run != "" && (f.since != "" || f.until != ""):
		return s, usage(errors.New("--run is one run: leave out --since and --until, or --run"))
	case strings.ContainsAny(f.run, "/."):
		return s, usage(fmt.Errorf("--run %s: write the id of a run; reaper archive list shows them", f.run))
	case f.triggers != "" && f.triggers != "fire":
		return s, usage(fmt.Errorf("--triggers %s: write fire, or leave it out", f.triggers))
	}
	if err := checkKeys("--tenant", f.tenants); err != nil {
		return s, err
	}
	if s.Since, err = deletedAt("--since", f.since); err != nil {
		return s, err
	}
	s.Until, err = deletedAt("--until", f.until)
	if err == nil && !s.Until.IsZero() && s.Until.Before(s.Since) {
		err = usage(errors.New("--until is before --since"))
	}
	return s, err
}

// restoreHold is the length of the holds, as text of an interval.
func restoreHold(text string) (string, error) {
	length, err := holdLength(text)
	if err != nil {
		return "", usage(fmt.Errorf("--hold %s: write a duration of at most %dy, such as 30d", text, longestHold))
	}
	return length, nil
}

func deletedAt(flag, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339, time.DateTime} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, usage(fmt.Errorf("%s %s: write a day or a time in UTC, such as 2027-03-31 or 2027-03-31T18:00:00Z", flag, text))
}

func (a *app) restore(ctx context.Context, f restoreFlags) error {
	selection, err := f.selection()
	if err != nil {
		return err
	}
	if !a.Yes && !a.terminal && f.into == "" {
		return usage(errors.New("restore asks for confirmation, but stdin is not a terminal: use --yes"))
	}
	length, err := restoreHold(f.hold)
	if err != nil {
		return err
	}
	tables, err := allowedTables(f.tables)
	if err != nil {
		return err
	}
	store, _, err := a.openArchive(f.identity)
	if err != nil {
		return err
	}
	a.Policies = nil // holds are for every policy, whatever REAPER_POLICY says
	s, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer s.pool.Close()
	l, err := a.ledger()
	if err != nil {
		return err
	}
	found, err := restore.Select(ctx, store, selection, func(ctx context.Context, run string) ([]archive.List, error) { return unlisted(ctx, s, l, run) })
	if err != nil {
		return archiveFailed(err)
	}
	if err := found.Check(selection); err != nil {
		return usage(err)
	}
	var holds []restore.Holds
	if f.into == "" {
		if _, err := l.Migrate(ctx, s.pool); err != nil {
			return coded(err, err)
		}
		holds = holdsOf(s, l, length)
	}
	watching, stop := context.WithCancel(a.running)
	guards, unwatched := daemon.HeedOnce(watching, a.watch(s, l))
	defer unwatched()
	defer stop()
	w := &waiting{app: a, stopping: ctx, pool: s.pool, ledger: l, guards: guards, most: s.file.Guards.MaxPause, anyway: f.into != ""}
	return a.restoreFound(ctx, store, s.pool, found, restore.Options{Selection: selection, Into: f.into, Fire: f.triggers == "fire", Conditions: conditionsOf(s), Tables: append(tables, restorableTables(s)...), Holds: holds, Wait: w.wait})
}

// unlisted are the lists that only the ledger has: the process that deleted the rows ended before it
// could write them into the store, and the next run, which would, may be refused after an accident.
func unlisted(ctx context.Context, s *session, l *ledger.Ledger, run string) ([]archive.List, error) {
	texts, err := l.UnlistedOf(ctx, s.pool, run)
	if err != nil {
		return nil, fmt.Errorf("reading the lists that the store may lack: %w", err)
	}
	lists := make([]archive.List, len(texts))
	for i, text := range texts {
		if err := json.Unmarshal(text, &lists[i]); err != nil {
			return nil, fmt.Errorf("reading a list in the ledger: %w", err)
		}
	}
	return lists, nil
}

// restoreFound asks and restores. ctx ends it between two transactions.
func (a *app) restoreFound(ctx context.Context, store *archive.Archive, pool *pgxpool.Pool, found *restore.Found, o restore.Options) error {
	if err := restore.Check(ctx, store, pool, found.Chosen, o); err != nil {
		return usage(fmt.Errorf("nothing was touched: %w", err))
	}
	a.sayFound(found)
	if !a.Yes && o.Into == "" {
		yes, err := a.answeredYes(ctx, "Put them back?")
		if err != nil {
			return err
		}
		if !yes {
			return &exitError{code: exitRefused, err: errors.New("refused: answered no: nothing was touched")}
		}
	}
	report, err := restore.Run(a.running, store, pool, found.Chosen, o)
	if report != nil {
		report.Failed = append(report.Failed, found.Unread...)
		if err := a.printRestored(report, o); err != nil {
			return err
		}
	}
	switch {
	case errors.Is(err, restore.ErrTaken):
		return usage(err)
	case err != nil:
		if exit, is := errors.AsType[*exitError](err); is {
			return &exitError{code: exit.code, err: err}
		}
		return failed(err)
	case !report.Complete():
		return &exitError{code: exitIncomplete}
	}
	return nil
}

// sayFound shows what would come back.
func (a *app) sayFound(f *restore.Found) {
	type total struct{ segments, roots int64 }
	policies, order := map[string]*total{}, []string{}
	unknown := false
	for _, c := range f.Chosen {
		t := policies[c.Entry.Policy]
		if t == nil {
			t = &total{}
			policies[c.Entry.Policy] = t
			order = append(order, c.Entry.Policy)
		}
		t.segments++
		t.roots += c.Roots
		unknown = unknown || c.Roots == 0
	}
	for _, name := range order {
		t := policies[name]
		fmt.Fprintf(a.stderr, "%s: %s of %s, with all that went with them\n", visible.Text(name), many(t.roots, "root", "roots"), many(t.segments, "segment", "segments"))
	}
	if unknown {
		fmt.Fprintln(a.stderr, "and partitions that were dropped whole, whose roots no list names")
	}
	for _, text := range f.Unread {
		fmt.Fprintln(a.stderr, "cannot be read, and stays away: "+visible.Text(text))
	}
	if n := int64(len(f.Unlisted)); n > 0 {
		fmt.Fprintf(a.stderr, "%s without a list of what was deleted, left alone\n", many(n, "segment", "segments"))
	}
}

func (a *app) printRestored(r *restore.Report, o restore.Options) error {
	if a.json() {
		return a.printResult(r)
	}
	a.printf("%s restored with %s; %s there already; %s left\n", many(r.Restored, "root", "roots"), many(r.RowsTotal, "row", "rows"), many(r.Present, "root", "roots"), many(r.LeftCount, "root", "roots"))
	if r.References+r.Changed > 0 {
		a.printf("%s set again; %s changed since, left as they are\n", many(r.References, "reference", "references"), many(r.Changed, "reference", "references"))
	}
	for _, l := range r.Left {
		a.printf("left: %s: %s\n", visible.Text(strings.Join(l.Root, ",")), visible.Text(l.Reason))
	}
	if more := r.LeftCount - int64(len(r.Left)); more > 0 {
		a.printf("left: %s more\n", many(more, "root", "roots"))
	}
	for _, text := range r.Failed {
		a.printf("failed: %s\n", visible.Text(text))
	}
	if o.Into == "" && r.Restored > 0 && len(o.Holds) > 0 {
		a.printf("what came back is held, by row; reaper holds lists the holds, and reaper release ends one: then it goes with the next run\n")
	}
	return nil
}

// waiting waits before each transaction for guards and pauses.
type waiting struct {
	*app
	stopping context.Context // done: no more transactions
	pool     *pgxpool.Pool
	ledger   *ledger.Ledger
	guards   daemon.Guards
	most     time.Duration
	anyway   bool // whatever a person has paused: nothing of the living tables is touched
}

// guardRecheck is how long to wait before guards are asked again.
const guardRecheck = time.Second

func (w *waiting) wait(ctx context.Context, policy string) error {
	if w.stopping.Err() != nil {
		return &exitError{code: exitIncomplete, err: errors.New("interrupted by a signal")}
	}
	if !w.anyway {
		if err := w.paused(ctx, policy); err != nil {
			return err
		}
	}
	said := ""
	for began := time.Now(); ; {
		advice := w.guards.Advice(policy, daemon.PausesGuard) // paused has looked at these
		switch {
		case advice.State != guard.Pause && advice.State != guard.Stop:
			return nil
		case advice.State == guard.Stop || time.Since(began) > w.most:
			return &exitError{code: exitIncomplete, err: fmt.Errorf("guard %s: %s; run it again later: what is back is skipped", advice.Guard, advice.Reason)}
		}
		if said != advice.Guard {
			said = advice.Guard
			fmt.Fprintf(w.stderr, "waiting: guard %s: %s\n", advice.Guard, visible.Text(advice.Reason))
		}
		select {
		case <-w.stopping.Done():
			return &exitError{code: exitIncomplete, err: errors.New("interrupted by a signal")}
		case <-w.guards.Changed():
		case <-time.After(guardRecheck):
		}
	}
}

// paused refuses to go on while a person has paused the policy.
func (w *waiting) paused(ctx context.Context, policy string) error {
	pauses, err := w.ledger.Pauses(ctx, w.pool)
	if pg.HasCode(err, "42P01", "3F000") {
		return nil // no ledger, so nobody has paused anything
	}
	if err != nil {
		return fmt.Errorf("looking for pauses: %w", err)
	}
	for _, p := range pauses {
		if p.Policy == nil || *p.Policy == policy {
			return &exitError{code: exitIncomplete, err: fmt.Errorf("%s; hold what must stay (reaper hold), then reaper resume", strings.TrimSpace(pausesText([]ledger.Pause{p})))}
		}
	}
	return nil
}
