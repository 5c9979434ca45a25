package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/reaperdb/reaper/internal/visible"
	"github.com/reaperdb/reaper/ledger"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/preview"
)

func (a *app) checkCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "check", Short: "Hold the policy file against the database, as the role that will run", Args: noArgs,
		Long: `check looks, and touches nothing: syntax, tables, tenant paths, types, keys,
privileges, also on the ledger, row-level security, triggers, undecided edges, the
list of tenants, the indexes that every edge and the search for expired rows need,
and whether the guards can be read. By samples of the rows it warns where most reach
no tenant, or where dependents would go much younger than the retention. Exit 2 when anything is wrong;
warnings alone are exit 0.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.check(cmd.Context()) },
	}
	a.selection(cmd)
	return cmd
}

type checkResult struct {
	OK       bool           `json:"ok"`
	Problems []plan.Problem `json:"problems"`
	Notes    []preview.Note `json:"notes"`
}

func (a *app) check(ctx context.Context) error {
	s, err := a.open(ctx)
	if err != nil {
		return a.checkFailed(err)
	}
	defer s.pool.Close()
	if err := s.planned(); err != nil {
		return a.checkFailed(err)
	}
	if err := preview.CheckTenantLists(ctx, s.pool, s.plans); err != nil {
		return a.checkFailed(coded(err, err))
	}
	missing, err := a.ledgerProblems(ctx, s)
	if err != nil {
		return a.checkFailed(err)
	}
	advice, err := preview.Advise(ctx, s.pool, s.plans)
	if err != nil {
		return a.checkFailed(failed(err))
	}
	unread, notes := s.guardProblems(ctx)
	notes = append(advice, notes...)
	problems := slices.Concat(missing, s.problems(), unread)
	ok := !s.hasErrors() && !slices.ContainsFunc(missing, func(p plan.Problem) bool { return p.Level == plan.LevelError })
	if a.json() {
		if err := a.printJSON(checkResult{OK: ok, Problems: emptyNotNull(problems), Notes: emptyNotNull(notes)}); err != nil {
			return failed(err)
		}
	} else {
		printProblems(a.stdout, problems)
		printNotes(a.stdout, notes)
		a.printf("%s\n", verdict(s, problems))
	}
	if !ok {
		return &exitError{code: exitUsage}
	}
	return nil
}

// ledgerProblems are a ledger that is not trusted, or privileges that the role lacks
// on it: a purge would delete nothing. That the role may not create or upgrade the ledger
// is a warning: a role that may is expected to do it between check and purge.
func (a *app) ledgerProblems(ctx context.Context, s *session) ([]plan.Problem, error) {
	l, err := a.ledger()
	if err != nil {
		return nil, err
	}
	if err = l.Usable(ctx, s.pool); err == nil {
		err = l.Migratable(ctx, s.pool)
	}
	if errors.Is(err, ledger.ErrNewer) {
		return nil, coded(err, err)
	}
	if forbidden, ok := errors.AsType[*ledger.PrivilegeError](err); ok {
		return []plan.Problem{{Level: plan.LevelWarning, Text: forbidden.Text(), Fix: forbidden.Fix()}}, nil
	}
	if untrusted, ok := errors.AsType[*ledger.UntrustedError](err); ok {
		return []plan.Problem{{Level: plan.LevelError, Text: untrusted.Text(), Fix: untrusted.Fix()}}, nil
	}
	if missing, ok := errors.AsType[*ledger.GrantsError](err); ok {
		return []plan.Problem{{Level: plan.LevelError, Text: missing.Text(), Fix: missing.Fix()}}, nil
	}
	if err != nil {
		return nil, failed(err)
	}
	sizes, err := l.LacksSizes(ctx, s.pool)
	if err != nil {
		return nil, failed(err)
	}
	if len(sizes) > 0 {
		return []plan.Problem{{Level: plan.LevelWarning, Text: "this role may not keep in the ledger how the database grows", Fix: strings.Join(sizes, " ")}}, nil
	}
	return nil, nil
}

// verdict is the last line of a check.
func verdict(s *session, problems []plan.Problem) string {
	var wrong, doubtful int64
	for _, p := range problems {
		if p.Level == plan.LevelError {
			wrong++
		} else {
			doubtful++
		}
	}
	if wrong > 0 {
		text := many(wrong, "error", "errors")
		if doubtful > 0 {
			text += " and " + many(doubtful, "warning", "warnings")
		}
		return text + ": until the errors are mended, nothing is deleted"
	}
	text := "ok"
	if doubtful > 0 {
		text += ", with " + many(doubtful, "warning", "warnings")
	}
	return fmt.Sprintf("%s: %s can run as role %s", text, many(int64(len(s.plans)), "policy", "policies"), visible.Text(s.server.Role))
}

// checkFailed tells, in JSON too, why nothing could be checked.
func (a *app) checkFailed(err error) error {
	if a.json() {
		if err := a.printJSON(checkResult{Problems: []plan.Problem{{Level: plan.LevelError, Text: err.Error()}}, Notes: []preview.Note{}}); err != nil {
			return failed(err)
		}
	}
	return err
}

func emptyNotNull[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// printProblems prints what is wrong, each with its remedy.
func printProblems(w io.Writer, problems []plan.Problem) {
	for _, p := range problems {
		where := ""
		if p.Policy != "" {
			where = " in policy " + p.Policy
		}
		fmt.Fprintf(w, "%s%s: %s\n", p.Level, where, visible.Text(p.Text))
		if p.Fix != "" {
			fmt.Fprintf(w, "  fix: %s\n", fixText(p.Fix))
		}
	}
}

// sayProblems says what is wrong on stderr.
func (a *app) sayProblems(problems []plan.Problem) {
	if !a.records {
		printProblems(a.stderr, problems)
		return
	}
	for _, p := range problems {
		level := slog.LevelWarn
		if p.Level == plan.LevelError {
			level = slog.LevelError
		}
		a.log.Log(a.running, level, "policy file and database disagree", "policy", p.Policy, "problem", p.Text, "fix", p.Fix)
	}
}

// printNotes prints what is not wrong, with what can be done about it if there is
// anything.
func printNotes(w io.Writer, notes []preview.Note) {
	for _, n := range notes {
		where := ""
		if n.Policy != "" {
			where = " on policy " + n.Policy
		}
		fmt.Fprintf(w, "note%s: %s\n", where, visible.Text(n.Text))
		if n.Fix != "" {
			fmt.Fprintf(w, "  fix: %s\n", fixText(n.Fix))
		}
	}
}

// fixText is a remedy on one line. Most are SQL to be copied, which stays SQL where that
// is enough.
func fixText(fix string) string {
	if sql := visible.SQL(fix); visible.Text(sql) == sql {
		return sql
	}
	return visible.Text(fix)
}
