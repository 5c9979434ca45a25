package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/user"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/reaperdb/reaper/internal/visible"
	"github.com/reaperdb/reaper/ledger"
	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/purge"
	"github.com/reaperdb/reaper/web"
)

// longestReason limits the reason, which is shown everywhere during a pause.
const longestReason = 500

func (a *app) pauseCommand() *cobra.Command {
	var length, reason string
	cmd := &cobra.Command{
		Use: "pause", Short: "Pause deleting for a while, in every process", Args: noArgs,
		Long: `pause stops deletion for a while in every process on this database, for all
policies or for the named ones. Each run finishes its current batch first. Every
pause expires; reaper resume ends it earlier. status, the page and the metrics
show it.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d, err := pauseLength(length)
			if err != nil {
				return err
			}
			if reason, err = statedReason(reason, "pause"); err != nil {
				return err
			}
			return a.pause(cmd.Context(), d, reason)
		},
	}
	a.selection(cmd)
	cmd.Flags().StringVar(&length, "for", "1h", "for how long: 2h; at most 7d")
	cmd.Flags().StringVar(&reason, "reason", "", "the reason, shown to everyone")
	return cmd
}

func pauseLength(text string) (time.Duration, error) {
	d, err := policy.ParseDuration(text)
	length := d.Approximately()
	if err != nil || d.Forever || length <= 0 || length > ledger.LongestPause {
		return 0, usage(fmt.Errorf("--for %s: write a duration of at most 7d, such as 2h: every pause expires", text))
	}
	return length, nil
}

// statedReason checks the reason that a command needs.
func statedReason(text, command string) (string, error) {
	text = strings.TrimSpace(text)
	switch {
	case text == "":
		return "", usage(fmt.Errorf("%s needs --reason: the reason, shown to everyone", command))
	case !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) || utf8.RuneCountInString(text) > longestReason:
		return "", usage(fmt.Errorf("--reason: write one line of at most %d characters", longestReason))
	}
	return text, nil
}

func (a *app) pause(ctx context.Context, length time.Duration, reason string) error {
	l, pool, err := a.pausable(ctx)
	if err != nil {
		return err
	}
	defer pool.Close()
	if err := l.Pause(ctx, pool, a.paused(), length, reason, person()); err != nil {
		return failed(err)
	}
	pauses, err := l.Pauses(ctx, pool)
	if err != nil {
		return failed(err)
	}
	if a.json() {
		return a.printResult(map[string]any{"pauses": emptyNotNull(pauses)})
	}
	a.printf("%s", pausesText(pauses))
	a.printf("it expires by itself; to end it earlier: reaper resume%s\n", flagsOf(a.paused()))
	return nil
}

func (a *app) resumeCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "resume", Short: "End a pause early", Args: noArgs,
		Long: `resume ends pauses made by reaper pause: all of them, or those of the named
policies. A pause of every policy can only be ended as a whole, by resume without
--policy; while it lasts, the named policies stay paused (exit 3).`,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.resume(cmd.Context()) },
	}
	a.selection(cmd)
	return cmd
}

func (a *app) resume(ctx context.Context) error {
	l, pool, err := a.pausable(ctx)
	if err != nil {
		return err
	}
	defer pool.Close()
	ended, err := l.Resume(ctx, pool, a.paused())
	if err != nil {
		return failed(err)
	}
	pauses, err := l.Pauses(ctx, pool)
	if err != nil {
		return failed(err)
	}
	if a.json() {
		err = a.printResult(map[string]any{"resumed": ended, "pauses": emptyNotNull(pauses)})
	} else {
		a.printResumed(ended, pauses)
	}
	if err == nil && len(a.Policies) > 0 && slices.ContainsFunc(pauses, func(p ledger.Pause) bool { return p.Policy == nil }) {
		return &exitError{code: purge.Incomplete.ExitCode(), err: errors.New("every policy is still paused: `reaper resume` without --policy ends that pause")}
	}
	return err
}

func (a *app) printResumed(ended int64, pauses []ledger.Pause) {
	if ended == 0 {
		a.printf("nothing to end\n")
	} else {
		a.printf("%s ended\n", many(ended, "pause", "pauses"))
	}
	a.printf("%s", pausesText(pauses))
}

func (a *app) printResult(v any) error {
	if err := a.printJSON(v); err != nil {
		return failed(err)
	}
	return nil
}

// pausable connects to a database that has a ledger. It reads the policy file only to check the
// names.
func (a *app) pausable(ctx context.Context) (*ledger.Ledger, *pgxpool.Pool, error) {
	if len(a.Policies) > 0 {
		file, err := a.readPolicy()
		if err != nil {
			return nil, nil, err
		}
		if err := a.checkPolicies(file, policy.ErasurePolicy); err != nil {
			return nil, nil, err
		}
	}
	l, err := a.ledger()
	if err != nil {
		return nil, nil, err
	}
	pool, err := a.connect(ctx)
	if err != nil {
		return nil, nil, err
	}
	if _, err := l.Migrate(ctx, pool); err != nil {
		pool.Close()
		return nil, nil, coded(err, err)
	}
	return l, pool, nil
}

// paused are the named policies without duplicates; nil: all.
func (a *app) paused() []string {
	if len(a.Policies) == 0 {
		return nil
	}
	return slices.Compact(slices.Sorted(slices.Values(a.Policies)))
}

func flagsOf(policies []string) string {
	var text strings.Builder
	for _, p := range policies {
		text.WriteString(" --policy " + p)
	}
	return text.String()
}

// person is the current user; empty if unknown.
func person() string {
	u, err := user.Current()
	if err != nil {
		return ""
	}
	host, err := os.Hostname()
	if err != nil {
		return u.Username
	}
	return u.Username + "@" + host
}

// pausesText has one line per pause.
func pausesText[P ledger.Pause | web.Pause](pauses []P) string {
	var text strings.Builder
	for _, x := range pauses {
		p, what := web.Pause(x), "every policy"
		if p.Policy != nil {
			what = visible.Text(*p.Policy)
		}
		fmt.Fprintf(&text, "paused by hand: %s, until %s UTC: %s (%s)\n", what, p.Until.UTC().Format(time.DateTime), visible.Text(p.Reason), visible.Text(p.By))
	}
	return text.String()
}
