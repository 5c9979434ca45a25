package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/reaperdb/reaper/daemon"
	"github.com/reaperdb/reaper/erasing"
	"github.com/reaperdb/reaper/erasure"
	"github.com/reaperdb/reaper/gate"
	"github.com/reaperdb/reaper/internal/terminal"
	"github.com/reaperdb/reaper/internal/visible"
	"github.com/reaperdb/reaper/ledger"
	"github.com/reaperdb/reaper/plan"
)

// eraseFlags are the flags of erase.
type eraseFlags struct {
	tenant, reason, in string
	gone, cancel       bool
}

func (a *app) eraseCommand() *cobra.Command {
	var f eraseFlags
	cmd := &cobra.Command{
		Use: "erase --tenant KEY (--reason TEXT [--in 30d] [--gone] | --cancel)", Short: "Erase a tenant: all of its rows, and then its own", Args: cobra.MaximumNArgs(1),
		Long: `erase deletes or redacts all rows of one tenant, as the section erasure of the
policy file says, in short transactions from the leaves up, and the tenant's row
last. It shows what would go, and asks; without a terminal it needs --yes. A signal
ends it after the current batch (exit 3); run it again to continue. With --in the
daemon does it after that time, and --cancel ends it before the next batch, by
tenant or by the id that erasures lists. What has gone does not come back.`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.cancel {
				return a.cancelErasure(cmd.Context(), f, args)
			}
			if len(args) > 0 {
				return usage(fmt.Errorf("erase takes no argument, only flags: %q; an id is for --cancel", args[0]))
			}
			return a.erase(cmd.Context(), f)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.tenant, "tenant", "", "the tenant's key")
	flags.StringVar(&f.reason, "reason", "", "the reason, for the certificate")
	flags.StringVar(&f.in, "in", "", "let the daemon do it after this time: 30d")
	flags.BoolVar(&f.gone, "gone", false, "the tenant's row is missing already: erase what is owned by its key all the same")
	flags.BoolVar(&f.cancel, "cancel", false, "end an erasure that is not done")
	flags.BoolVar(&a.Yes, "yes", a.Yes, "erase without asking (REAPER_YES)")
	return cmd
}

// check refuses flags that do not say whose rows go and why; it returns --in as the text of an
// interval.
func (f *eraseFlags) check(a *app) (in string, err error) {
	if f.tenant == "" {
		return "", usage(errors.New("erase needs --tenant: the key of the tenant whose rows go"))
	}
	if err := checkKeys("--tenant", []string{f.tenant}); err != nil {
		return "", err
	}
	if f.reason, err = statedReason(f.reason, "erase"); err != nil {
		return "", err
	}
	if f.in != "" {
		if in, err = holdLength(f.in); err != nil {
			return "", usage(fmt.Errorf("--in %s: write a duration of at most %dy, such as 30d", f.in, longestHold))
		}
	}
	if !a.Yes && !a.terminal {
		return "", usage(errors.New("erase asks for confirmation, but stdin is not a terminal: use --yes"))
	}
	return in, nil
}

func (a *app) erase(ctx context.Context, f eraseFlags) error {
	in, err := f.check(a)
	if err != nil {
		return err
	}
	a.Policies = nil // the holds of all of them count
	s, err := a.open(ctx)
	if err != nil {
		return err
	}
	defer s.pool.Close()
	l, err := a.ledger()
	if err != nil {
		return err
	}
	p, err := a.plannedErasure(ctx, s, l)
	if err != nil {
		return err
	}
	if err := l.Usable(ctx, s.pool); err != nil {
		return coded(err, err)
	}
	runner := &erasing.Runner{Pool: s.pool, Ledger: l, Plan: p, Policies: s.plans, Log: a.log, Trigger: "manual", AtOnce: true, Stopping: ctx, Patience: a.Patience, MaxPause: s.file.Guards.MaxPause}
	key, err := runner.Known(ctx, f.tenant, f.gone)
	if _, unknown := errors.AsType[*erasing.UnknownError](err); unknown {
		return usage(err)
	} else if err != nil {
		return failed(err)
	}
	approve, err := a.confirmErasure(ctx, s, l, runner, key)
	if err != nil {
		return err
	}
	if _, err := l.Migrate(ctx, s.pool); err != nil {
		return coded(err, err)
	}
	if err := approve(); err != nil {
		return failed(err)
	}
	e, err := l.RequestErasure(ctx, s.pool, ledger.Request{Tenant: key, Gone: f.gone, After: in, Reason: f.reason, By: person()})
	switch {
	case errors.Is(err, ledger.ErrOpenErasure) && in != "":
		return usage(fmt.Errorf("--in: %w, as erasure %s", err, e.ID))
	case err != nil && !errors.Is(err, ledger.ErrOpenErasure):
		return failed(err)
	case in != "":
		return a.printRequested(e)
	}
	return a.eraseNow(s, l, runner, e)
}

// plannedErasure plans the erasure of a session's file. An error of it, or of any policy, is exit 2: the
// holds of a policy that cannot be read are not known.
func (a *app) plannedErasure(ctx context.Context, s *session, l *ledger.Ledger) (*erasure.Plan, error) {
	if s.file.Erasure == nil {
		return nil, usage(fmt.Errorf("%s has no section erasure, which says what becomes of a tenant's rows: reaper init --erasure proposes one", a.PolicyFile))
	}
	p, problems, err := erasing.Compile(ctx, s.pool, s.file, s.server, l)
	if err != nil {
		return nil, coded(err, err)
	}
	all := append(s.problems(), problems...)
	for _, x := range all {
		if x.Level == plan.LevelError {
			a.sayProblems(all)
			return nil, usage(errors.New("nothing was touched: fix the errors above first"))
		}
	}
	if s.server.ClockSkew > plan.MaxClockSkew {
		return nil, &exitError{code: exitRefused, err: fmt.Errorf("refused: the clocks of the database (%s) and of this machine are %s apart: nothing was touched; correct the wrong one",
			s.server.Now.UTC().Format(time.RFC3339), s.server.ClockSkew.Round(time.Minute))}
	}
	return p, s.planned()
}

// erasureGrants are the privileges that erasures need besides.
func (a *app) erasureGrants(ctx context.Context, s *session, l *ledger.Ledger, role string) ([]string, error) {
	p, problems, err := erasing.Compile(ctx, s.pool, s.file, s.server, l)
	if err != nil {
		return nil, failed(err)
	}
	if p == nil || p.Tenants == nil {
		printProblems(a.stderr, problems)
		return nil, nil
	}
	return p.Grants(role), nil
}

// confirmErasure shows what would go, and asks a person. approve records what a yes has approved.
func (a *app) confirmErasure(ctx context.Context, s *session, l *ledger.Ledger, r *erasing.Runner, key string) (approve func() error, err error) {
	if a.Yes {
		return func() error { return nil }, nil
	}
	verdicts, err := erasureVerdicts(ctx, s, l, r.Plan)
	if err != nil {
		return nil, failed(err)
	}
	counts, err := r.Remaining(ctx, key)
	if err != nil {
		return nil, failed(err)
	}
	t := terminal.NewTable(column("table", 0), figure("to go or to redact", 0), figure("kept", 0))
	for _, c := range counts {
		if c.Rows+c.Kept > 0 {
			t.Row(c.Table.Name(), many(c.Rows, "row", "rows"), many(c.Kept, "row", "rows"))
		}
	}
	fmt.Fprintf(a.stderr, "%s\n", t.Render(terminal.Of(a.stderr)))
	printVerdicts(a.stderr, verdicts)
	database, err := s.database(ctx)
	if err != nil {
		return nil, failed(err)
	}
	yes, err := a.answeredYes(ctx, fmt.Sprintf("Erase tenant %s from %s for good?", quotedKey(key), database))
	if err == nil && !yes {
		err = &exitError{code: exitRefused, err: errors.New("refused: answered no: nothing was touched")}
	}
	return func() error { return a.approveShown(ctx, s, l, verdicts, "1h", "answered y to erase") }, err
}

// erasureVerdicts are what the gates say of the runs that erase tenants.
func erasureVerdicts(ctx context.Context, s *session, l *ledger.Ledger, p *erasure.Plan) ([]*gate.Verdict, error) {
	gates := gate.Gates{Pool: s.pool, Ledger: l}
	d, err := gates.LookAtDatabase(ctx)
	if err != nil {
		return nil, err
	}
	v, err := gates.LookAtErasures(ctx, d, erasing.Judged(p, true))
	if err != nil {
		return nil, err
	}
	return []*gate.Verdict{v}, nil
}

// eraseNow erases, with progress.
func (a *app) eraseNow(s *session, l *ledger.Ledger, runner *erasing.Runner, e *ledger.Erasure) error {
	watching, stop := context.WithCancel(a.running)
	guards, unwatched := daemon.HeedOnce(watching, a.watch(s, l))
	defer unwatched()
	defer stop()
	progress := a.newProgress()
	runner.Gates, runner.Guard, runner.Observer = &gate.Gates{Pool: s.pool, Ledger: l, Log: a.log}, guards, progress
	r, err := runner.Erase(a.running, e)
	progress.Done()
	if err != nil {
		return failed(err)
	}
	l.NumberEmitted(context.WithoutCancel(a.running), s.pool)
	return a.ended(r, func() { a.printErased(r) }, r.Status)
}

func (a *app) printErased(r *erasing.Report) {
	for _, table := range sortedKeys(r.Rows) {
		a.printf("%s: %s deleted\n", visible.Text(table), many(r.Rows[table], "row", "rows"))
	}
	if r.RowsRedacted > 0 {
		a.printf("redacted: %s\n", many(r.RowsRedacted, "row", "rows"))
	}
	for _, k := range r.Kept {
		a.printf("%s: %s kept%s\n", visible.Text(k.Table), many(k.Rows, "row", "rows"), visible.Text(keptText(k)))
	}
	a.printf("erasure %s: %s", r.ErasureID, r.Status)
	if r.Reason != "" {
		a.printf(" (%s)", visible.Text(r.Reason))
	}
	a.printf(", %s in %s, %.1f s\n", many(r.RowsTotal, "row", "rows"), many(r.Batches, "batch", "batches"), r.Seconds)
}

func keptText(k ledger.Kept) (text string) {
	if k.Until != nil {
		text = " until " + k.Until.UTC().Format(time.DateOnly)
	}
	if k.Reason != "" {
		text += ": " + k.Reason
	}
	return text
}

func (a *app) printRequested(e *ledger.Erasure) error {
	if a.json() {
		return a.printResult(map[string]any{"erasure": e})
	}
	a.printf("%s\n", erasureText(*e))
	a.printf("the daemon does it; to end it: reaper erase --cancel %s\n", e.ID)
	return nil
}

// erasureText is an erasure in one line.
func erasureText(e ledger.Erasure) string {
	return "erasure " + e.ID + ": " + visible.Text(daemon.ShownErasure(e, 0).Text()) + "; " + visible.Text(e.Reason) + " (" + visible.Text(e.By) + ")"
}

func (a *app) cancelErasure(ctx context.Context, f eraseFlags, args []string) error {
	id := strings.Join(args, "")
	if given(id != "", f.tenant != "") != 1 {
		return usage(errors.New("erase --cancel needs --tenant KEY, or the id of an erasure; reaper erasures lists them"))
	}
	l, pool, err := a.pausable(ctx)
	if err != nil {
		return err
	}
	defer pool.Close()
	e, err := l.CancelErasure(ctx, pool, id, f.tenant, person())
	switch {
	case err != nil:
		return failed(err)
	case e == nil:
		return usage(errors.New("no such erasure is open; reaper erasures lists them"))
	case a.json():
		return a.printResult(map[string]any{"erasure": e})
	}
	a.printf("%s\n", erasureText(*e))
	return nil
}

func (a *app) erasuresCommand() *cobra.Command {
	var certificate string
	cmd := &cobra.Command{
		Use: "erasures", Short: "List the erasures of tenants, or show the certificate of one", Args: noArgs,
		Long: `erasures lists the tenants whose rows go, or went: when, why, who said so, and how
far it is. With --certificate it shows what became of the rows of each table, when
they were counted again, and what is not covered. It names the tenant by a hash.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.onLedger(cmd.Context(), func(l *ledger.Ledger, pool *pgxpool.Pool) error {
				if certificate != "" {
					return a.certificate(cmd.Context(), l, pool, certificate)
				}
				all, err := l.Erasures(cmd.Context(), pool)
				switch {
				case err != nil:
					return failed(err)
				case a.json():
					return a.printResult(map[string]any{"erasures": emptyNotNull(all)})
				case len(all) == 0:
					a.printf("there are no erasures\n")
				}
				for _, e := range all {
					a.printf("%s\n", erasureText(e))
				}
				return nil
			})
		},
	}
	cmd.Flags().StringVar(&certificate, "certificate", "", "the id of an erasure")
	return cmd
}

func (a *app) certificate(ctx context.Context, l *ledger.Ledger, pool *pgxpool.Pool, id string) error {
	e, err := l.Erasure(ctx, pool, id)
	if err != nil {
		return failed(err)
	}
	if e == nil {
		return usage(fmt.Errorf("--certificate %s: there is no such erasure; reaper erasures lists them", id))
	}
	file, err := a.readPolicy()
	if err != nil {
		a.log.Warn("the policy file cannot be read, so the certificate does not say how long the archive keeps copies", "error", err)
	}
	c, err := erasing.Certify(ctx, l, pool, e, file)
	if err != nil {
		return failed(err)
	}
	if a.json() {
		return a.printResult(c)
	}
	a.printf("%s", c.Text())
	return nil
}
