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

	"github.com/reaperdb/reaper/drift"
	"github.com/reaperdb/reaper/gate"
	"github.com/reaperdb/reaper/internal/terminal"
	"github.com/reaperdb/reaper/internal/visible"
	"github.com/reaperdb/reaper/ledger"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/preview"
)

func (a *app) checkCommand() *cobra.Command {
	var lock string
	cmd := &cobra.Command{
		Use: "check", Short: "Check the policy file against the database, as the role that will run", Args: noArgs,
		Long: `check changes nothing. It checks the syntax of the policy file, and against the
database: tables, types, keys, tenant paths, the list of tenants, privileges (on the
ledger too), row-level security, triggers, and foreign keys that nobody decided on.
It names missing indexes, tables that the section erasure does not decide about,
guards that cannot be read, and an archive that cannot be written to. It samples rows, and warns if most of them reach no tenant, or if
dependents would be deleted much younger than the retention. Each problem comes with
its fix. Exit code 2 if there is an error, 0 if there are only warnings.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.check(cmd.Context(), lock) },
	}
	a.selection(cmd)
	cmd.Flags().StringVar(&lock, "against", "", "fail where what would be deleted differs from what plan --save wrote to this file")
	return cmd
}

type checkResult struct {
	OK       bool           `json:"ok"`
	Problems []plan.Problem `json:"problems"`
	Notes    []preview.Note `json:"notes"`
}

// check compares the file with the database and, if lock names a file, with that.
func (a *app) check(ctx context.Context, lock string) error {
	var saved map[string]*drift.Print
	var err error
	if lock != "" {
		if saved, err = readLock(lock); err != nil {
			return a.checkFailed(err)
		}
	}
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
	var gates []plan.Problem
	if l, err := a.ledger(); err == nil && len(missing) == 0 {
		if gates, err = s.gateWarnings(ctx, l, gate.ByPerson, nil); err != nil {
			return a.checkFailed(failed(err))
		}
	}
	unlatched, err := a.unlatched(ctx, s)
	if err != nil {
		return a.checkFailed(failed(err))
	}
	advice, err := preview.Advise(ctx, s.pool, s.plans)
	if err != nil {
		return a.checkFailed(failed(err))
	}
	missing = append(missing, a.archiveProblems(ctx, s)...)
	_, erasing, err := a.erasurePlan(ctx, s)
	if err != nil {
		return a.checkFailed(failed(err))
	}
	missing = append(missing, erasing...)
	unread, notes := s.guardProblems(ctx)
	notes = append(advice, notes...)
	limits, err := a.lagLimits(s.file)
	if err != nil {
		return a.checkFailed(err)
	}
	notes = append(notes, limits...)
	if lock != "" {
		differences, harmless, err := s.against(ctx, lock, saved)
		if err != nil {
			return a.checkFailed(err)
		}
		missing, notes = append(missing, differences...), append(notes, harmless...)
	}
	problems := slices.Concat(missing, s.problems(), unread, unlatched, gates)
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

// lagLimits says when policies without max_lag count as late.
func (a *app) lagLimits(file *policy.File) ([]preview.Note, error) {
	c, err := a.daemonConfig()
	if err != nil {
		return nil, err
	}
	text, err := c.LagLimits(file)
	if err != nil {
		return nil, usage(err)
	}
	if text == "" {
		return nil, nil
	}
	return []preview.Note{{Text: text}}, nil
}

// ledgerProblems are an untrusted ledger, or privileges that the role lacks on it: a purge would
// delete nothing. If the role may not create or upgrade the ledger, that is a warning: another role
// is expected to do it between check and purge.
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
	var errorCount, warningCount int64
	for _, p := range problems {
		if p.Level == plan.LevelError {
			errorCount++
		} else {
			warningCount++
		}
	}
	if errorCount > 0 {
		text := many(errorCount, "error", "errors")
		if warningCount > 0 {
			text += " and " + many(warningCount, "warning", "warnings")
		}
		return text + ": nothing is deleted until the errors are fixed"
	}
	text := "ok"
	if warningCount > 0 {
		text += ", with " + many(warningCount, "warning", "warnings")
	}
	return fmt.Sprintf("%s: %s can run as role %s", text, many(int64(len(s.plans)), "policy", "policies"), visible.Text(s.server.Role))
}

// checkFailed reports, also as JSON, why nothing could be checked.
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

// printProblems prints problems with their remedies.
func printProblems(w io.Writer, problems []plan.Problem) {
	for _, p := range problems {
		where := ""
		if p.Policy != "" {
			where = " in policy " + p.Policy
		}
		level := string(p.Level)
		fmt.Fprintf(w, "%s%s: %s\n", terminal.Of(w).Paint(tones[level], level), where, visible.Text(p.Text))
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

// printNotes prints notes, with what can be done if anything.
func printNotes(w io.Writer, notes []preview.Note) {
	for _, n := range notes {
		where := ""
		if n.Policy != "" {
			where = " on policy " + n.Policy
		}
		fmt.Fprintf(w, "%s%s: %s\n", terminal.Of(w).Paint(tones["note"], "note"), where, visible.Text(n.Text))
		if n.Fix != "" {
			fmt.Fprintf(w, "  fix: %s\n", fixText(n.Fix))
		}
	}
}

// fixText is a remedy on one line. Most are SQL to copy, which stays valid SQL.
func fixText(fix string) string {
	if sql := visible.SQL(fix); visible.Text(sql) == sql {
		return sql
	}
	return visible.Text(fix)
}
