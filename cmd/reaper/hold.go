package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/reaperdb/reaper/internal/visible"
	"github.com/reaperdb/reaper/ledger"
	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/purge"
	"github.com/reaperdb/reaper/web"
)

// holdFlags are the flags of hold.
type holdFlags struct {
	tenants       []string
	roots         []string
	all, unknown  bool
	length, until string
	indefinitely  bool
	reason        string
}

func (a *app) holdCommand() *cobra.Command {
	var f holdFlags
	cmd := &cobra.Command{
		Use: "hold (--tenant KEY | --all | --root KEY) (--for 90d | --until DATE | --indefinitely) --reason TEXT", Short: "Protect the rows of a tenant, of all tenants, or single rows", Args: noArgs,
		Long: `hold protects the rows of a tenant, or of every tenant, from being deleted, in every
process on this database, for all policies or for the named ones. With --root it
protects single rows of one policy's table, by their key. It takes effect when it is
committed: at most the batch in progress misses it. A hold protects expired roots: a
row can still be deleted as a dependent of a root in another table. holds lists the
holds, release ends one.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.hold(cmd.Context(), f) },
	}
	a.selection(cmd)
	flags := cmd.Flags()
	flags.StringArrayVar(&f.tenants, "tenant", nil, "the key of the tenant; repeatable")
	flags.BoolVar(&f.all, "all", false, "every tenant, and the rows of policies without tenants")
	flags.StringArrayVar(&f.roots, "root", nil, "the key of a row of the table of --policy; of several columns as CSV: 5,x; repeatable")
	flags.BoolVar(&f.unknown, "unknown", false, "hold a tenant that the policy file's tenants do not have (yet), or a row that is not there")
	flags.StringVar(&f.length, "for", "", "for how long: 90d, 6mo")
	flags.StringVar(&f.until, "until", "", "until the beginning of a day, or a time, in UTC: 2027-03-31, 2027-03-31T18:00:00Z")
	flags.BoolVar(&f.indefinitely, "indefinitely", false, "until it is released")
	flags.StringVar(&f.reason, "reason", "", "the reason, shown to everyone")
	return cmd
}

// check refuses flags that do not say who is held, until when and why.
func (f *holdFlags) check() (end ledger.HoldEnd, err error) {
	if given(f.all, len(f.tenants) > 0, len(f.roots) > 0) != 1 {
		return end, usage(errors.New("hold needs either --tenant KEY or --all, or --root KEY"))
	}
	if slices.Contains(f.tenants, "") {
		return end, usage(errors.New("--tenant is empty: write the tenant's key"))
	}
	if err := checkKeys("--tenant", f.tenants); err != nil {
		return end, err
	}
	if err := checkKeys("--root", f.roots); err != nil {
		return end, err
	}
	if given(f.length != "", f.until != "", f.indefinitely) != 1 {
		return end, usage(errors.New("hold needs one of --for, --until and --indefinitely: when it ends"))
	}
	if f.reason, err = statedReason(f.reason, "hold"); err != nil {
		return end, err
	}
	switch {
	case f.length != "":
		end.After, err = holdLength(f.length)
	case f.until != "":
		end.At, err = holdUntil(f.until)
	}
	return end, err
}

// given counts what is true.
func given(all ...bool) (n int) {
	for _, is := range all {
		if is {
			n++
		}
	}
	return n
}

// checkKeys refuses keys of a flag that no database can have.
func checkKeys(flag string, keys []string) error {
	for _, key := range keys {
		if !utf8.ValidString(key) || strings.ContainsRune(key, 0) {
			return usage(fmt.Errorf("%s %q: it is not valid UTF-8: write the key as text", flag, key))
		}
	}
	return nil
}

// longestHold is the longest --for, in years: whoever wants more says --indefinitely.
const longestHold = 100

func holdLength(text string) (string, error) {
	d, err := policy.ParseDuration(text)
	if err != nil || d.Forever || d.Approximately() <= 0 || d.Approximately() > longestHold*12*31*24*time.Hour {
		return "", usage(fmt.Errorf("--for %s: write a duration of at most %dy, such as 90d, or --indefinitely", text, longestHold))
	}
	return d.Interval(), nil
}

// holdUntil is a time as text that PostgreSQL reads in one way only.
func holdUntil(text string) (string, error) {
	for _, layout := range []string{time.DateOnly, time.RFC3339, time.DateTime} {
		t, err := time.Parse(layout, text)
		switch {
		case err != nil:
			continue
		case t.Before(time.Now()):
			return "", usage(fmt.Errorf("--until %s is past: write a day or time to come", text))
		}
		return t.UTC().Format(time.RFC3339), nil
	}
	return "", usage(fmt.Errorf("--until %s: write a day or a time in UTC, such as 2027-03-31 or 2027-03-31T18:00:00Z", text))
}

func (a *app) hold(ctx context.Context, f holdFlags) error {
	end, err := f.check()
	if err != nil {
		return err
	}
	var roots [][]string
	tenants := f.tenants
	switch {
	case f.roots != nil:
		if roots, err = a.knownRoots(ctx, f.roots, f.unknown); err != nil {
			return err
		}
	case !f.all:
		if tenants, err = a.knownTenants(ctx, f.tenants, f.unknown); err != nil {
			return err
		}
	}
	l, pool, err := a.pausable(ctx)
	if err != nil {
		return err
	}
	defer pool.Close()
	var holds []ledger.Hold
	if roots != nil {
		holds = make([]ledger.Hold, 1)
		holds[0], err = l.HoldRootsDurably(ctx, pool, a.Policies[0], roots, end, f.reason, person())
	} else {
		holds, err = l.Hold(ctx, pool, a.paused(), tenants, end, f.reason, person())
	}
	switch {
	case errors.Is(err, ledger.ErrHoldEnded):
		return usage(fmt.Errorf("--until %s is past by the database's clock", f.until))
	case err != nil:
		return failed(err)
	}
	if a.json() {
		return a.printResult(map[string]any{"holds": emptyNotNull(holds)})
	}
	a.printf("%s", holdsText(holds))
	for _, h := range holds {
		a.printf("to end it: reaper release %d\n", h.ID)
	}
	return nil
}

// knownTenants are the keys of tenants as PostgreSQL prints them, which is how holds are compared.
// Policies without tenants do not matter, unless they are named.
func (a *app) knownTenants(ctx context.Context, tenants []string, unknown bool) ([]string, error) {
	s, err := a.open(ctx)
	if err != nil {
		return nil, err
	}
	defer s.pool.Close()
	for _, p := range s.plans {
		if p.Policy.Tenant.None && len(a.Policies) > 0 {
			return nil, usage(fmt.Errorf("policy %s has no tenants, so --tenant does not apply; to hold it: --policy %s --all", p.Policy.Name, p.Policy.Name))
		}
	}
	known, err := purge.KnownTenants(ctx, s.pool, s.plans, tenants, unknown)
	var wrong *purge.UsageError
	switch {
	case errors.As(err, &wrong) && !unknown:
		return nil, usage(fmt.Errorf("%w; to hold it all the same: --unknown", err))
	case errors.As(err, &wrong):
		return nil, usage(err)
	case err != nil:
		return nil, failed(err)
	case known == nil:
		// A hold is compared with keys as PostgreSQL prints them: unchecked, it might hold nothing.
		return nil, usage(errors.New("--tenant: no policy that reaper check accepts has tenants; to hold every tenant until it does: --all"))
	}
	return known, nil
}

// knownRoots are the keys of rows of the one policy's table as PostgreSQL prints them.
func (a *app) knownRoots(ctx context.Context, roots []string, unknown bool) (keys [][]string, err error) {
	if len(a.paused()) != 1 {
		return nil, usage(errors.New("hold --root needs the one --policy whose table has the row"))
	}
	s, err := a.open(ctx)
	if err != nil {
		return nil, err
	}
	defer s.pool.Close()
	if len(s.plans) == 0 || !s.plans[0].Readable() {
		return nil, usage(fmt.Errorf("--root: reaper check does not accept policy %s, so its key is not known", a.Policies[0]))
	}
	for _, root := range roots {
		key, err := purge.KnownRoot(ctx, s.pool, s.plans[0], "--root", []string{root}, unknown)
		_, wrong := errors.AsType[*purge.UsageError](err)
		switch {
		case wrong:
			return nil, usage(err)
		case err != nil:
			return nil, failed(err)
		case key == nil:
			return nil, usage(fmt.Errorf("--root %s: policy %s has no such row; to hold it all the same: --unknown", root, a.Policies[0]))
		}
		keys = append(keys, key)
	}
	return keys, nil
}

func (a *app) holdsCommand() *cobra.Command {
	return &cobra.Command{
		Use: "holds", Short: "List the holds set by hold", Args: noArgs,
		Long: `holds lists the holds that were set with reaper hold and are in force: what is held,
until when, why, and by whom. It does not list the holds of the policy file; plan
counts those.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.onLedger(cmd.Context(), func(l *ledger.Ledger, pool *pgxpool.Pool) error {
				holds, err := l.Holds(cmd.Context(), pool)
				switch {
				case err != nil:
					return failed(err)
				case a.json():
					return a.printResult(map[string]any{"holds": emptyNotNull(holds)})
				case len(holds) == 0:
					a.printf("nothing is held\n")
				}
				a.printf("%s", holdsText(holds))
				return nil
			})
		},
	}
}

// onLedger connects and reads the ledger, which need not exist.
func (a *app) onLedger(ctx context.Context, read func(*ledger.Ledger, *pgxpool.Pool) error) error {
	l, err := a.ledger()
	if err != nil {
		return err
	}
	pool, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer pool.Close()
	return read(l, pool)
}

func (a *app) releaseCommand() *cobra.Command {
	return &cobra.Command{
		Use: "release ID", Short: "End a hold", Args: oneHold,
		Long: `release ends a hold that was set with reaper hold; holds lists them with their ids.
The next run deletes what is due of what it protected, or does so after the grace, if
the policy file sets one.`,
		RunE: func(cmd *cobra.Command, args []string) error { return a.release(cmd.Context(), args[0]) },
	}
}

func oneHold(_ *cobra.Command, args []string) error {
	if len(args) != 1 {
		return usage(errors.New("release needs the number of one hold; reaper holds lists them"))
	}
	return nil
}

func (a *app) release(ctx context.Context, text string) error {
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return usage(fmt.Errorf("release %s: write the number of a hold; reaper holds lists them", text))
	}
	l, pool, err := a.pausable(ctx)
	if err != nil {
		return err
	}
	defer pool.Close()
	released, err := l.EndHold(ctx, pool, id, person())
	if err != nil {
		return failed(err)
	}
	if !released {
		return usage(fmt.Errorf("no hold %d is in force; reaper holds lists them", id))
	}
	if a.json() {
		return a.printResult(map[string]any{"released": id})
	}
	a.printf("hold %d released\n", id)
	return nil
}

// holdsText has one line per hold.
func holdsText[H ledger.Hold | web.Hold](holds []H) string {
	var text strings.Builder
	for _, x := range holds {
		h := web.Hold(x)
		fmt.Fprintf(&text, "hold %d: %s: %s (%s, %s UTC)\n", h.ID, visible.Text(h.Text()), visible.Text(h.Reason), visible.Text(h.By), h.At.UTC().Format(time.DateTime))
	}
	return text.String()
}
