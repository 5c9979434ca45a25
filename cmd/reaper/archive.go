package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/reaperdb/reaper/archive"
	"github.com/reaperdb/reaper/internal/terminal"
	"github.com/reaperdb/reaper/internal/visible"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/restore"
)

func (a *app) archiveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use: "archive", Short: "List, verify and prune the copies of deleted rows",
		Long: `archive manages the copies of deleted rows that policies with archive: true write to
the store of the policy file's section archive. restore puts rows back.`,
	}
	cmd.AddCommand(a.archiveListCommand(), a.archiveVerifyCommand(), a.archivePruneCommand())
	return cmd
}

// openArchive opens the archive of the policy file. identities names a file with secret keys of age;
// empty: what is encrypted cannot be read.
func (a *app) openArchive(identities string) (*archive.Archive, *policy.Archive, error) {
	file, err := a.readPolicy()
	if err != nil {
		return nil, nil, err
	}
	if file.Archive == nil {
		return nil, nil, usage(fmt.Errorf("%s has no section archive, which says where copies are; add it, with url, encryption and keep", a.PolicyFile))
	}
	ids, err := archive.ReadIdentities(identities)
	if err != nil {
		return nil, nil, usage(err)
	}
	store, err := file.OpenArchive(ids)
	if err != nil {
		return nil, nil, usage(err)
	}
	return store, file.Archive, nil
}

// archiveFailed is the end of a command that an archive has failed.
func archiveFailed(err error) error {
	if _, locked := errors.AsType[*archive.LockedError](err); locked {
		return usage(err)
	}
	return failed(err)
}

func (a *app) archiveListCommand() *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "List the runs that have copies in the archive", Args: noArgs,
		Long: `list shows, by run and policy, the segments that the store holds, and how many lists
of deleted rows belong to them: only what is on a list can be restored. It reads only
names and sizes, so it needs no identity.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.archiveList(cmd.Context()) },
	}
}

// kept is what the archive holds of a policy's run.
type kept struct {
	Run       string    `json:"run"`
	Policy    string    `json:"policy"`
	First     time.Time `json:"first_at"`
	Last      time.Time `json:"last_at"`
	Segments  int64     `json:"segments"`
	Lists     int64     `json:"lists"`
	Bytes     int64     `json:"bytes"`
	Encrypted bool      `json:"encrypted"`
}

func (k *kept) add(e *archive.Entry) {
	if k.First.IsZero() || e.At.Before(k.First) {
		k.First = e.At
	}
	if e.At.After(k.Last) {
		k.Last = e.At
	}
	if e.Segment.Name != "" {
		k.Segments++
	}
	k.Lists += int64(len(e.Lists))
	k.Bytes += e.Segment.Bytes
	k.Encrypted = k.Encrypted || e.Encrypted()
}

func (a *app) archiveList(ctx context.Context) error {
	store, _, err := a.openArchive("")
	if err != nil {
		return err
	}
	type name struct{ run, policy string }
	found := map[name]*kept{}
	for e, err := range store.Entries(ctx, "") {
		if err != nil {
			return failed(err)
		}
		n := name{e.Run, e.Policy}
		if found[n] == nil {
			found[n] = &kept{Run: e.Run, Policy: e.Policy}
		}
		found[n].add(e)
	}
	all := []*kept{}
	for _, k := range found {
		all = append(all, k)
	}
	slices.SortFunc(all, func(x, y *kept) int {
		return cmp.Or(x.First.Compare(y.First), cmp.Compare(x.Run, y.Run), cmp.Compare(x.Policy, y.Policy))
	})
	if a.json() {
		return a.printResult(map[string]any{"runs": all})
	}
	if len(all) == 0 {
		a.printf("the archive is empty\n")
		return nil
	}
	t := terminal.NewTable(column("run", 0), column("policy", 0), figure("segments", 1), figure("lists", 2), figure("size", 3), column("from", 0), column("to", 4))
	for _, k := range all {
		t.Row(k.Run, k.Policy, k.Segments, k.Lists, bytesText(k.Bytes), k.First.Format(time.DateTime), k.Last.Format(time.DateTime))
	}
	a.printTable(t)
	return nil
}

func (a *app) archiveVerifyCommand() *cobra.Command {
	var sample, identity string
	var load bool
	cmd := &cobra.Command{
		Use: "verify", Short: "Read copies back, and compare them with what was written", Args: noArgs,
		Long: `verify reads every segment back and compares its checksums and counts. --load also
loads them into temporary copies of today's tables, and rolls back: this shows whether
a migration has made segments unloadable, and by which column. Exit code 1 if anything
is damaged or unloadable; the rest is still verified.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.archiveVerify(cmd.Context(), sample, identity, load)
		},
	}
	f := cmd.Flags()
	f.StringVar(&sample, "sample", "100%", "verify only so many of the segments, drawn at random: 5%")
	f.StringVar(&identity, "identity", "", "a file with the secret key of age that can read encrypted copies")
	f.BoolVar(&load, "load", false, "load them into temporary tables, too")
	return cmd
}

func parseShare(text string) (float64, error) {
	number, ok := strings.CutSuffix(text, "%")
	v, err := strconv.ParseFloat(number, 64)
	if !ok || err != nil || !(v > 0 && v <= 100) {
		return 0, usage(fmt.Errorf("--sample %s: write a percentage above 0%% and up to 100%%, such as 5%%", text))
	}
	return v / 100, nil
}

func (a *app) archiveVerify(ctx context.Context, sample, identity string, load bool) error {
	share, err := parseShare(sample)
	if err != nil {
		return err
	}
	store, _, err := a.openArchive(identity)
	if err != nil {
		return err
	}
	var pool *pgxpool.Pool
	if load {
		if pool, err = a.connect(ctx); err != nil {
			return err
		}
		defer pool.Close()
	}
	v, err := restore.Verify(ctx, store, restore.Verification{Share: share, Pool: pool})
	if err != nil {
		return archiveFailed(err)
	}
	return a.printVerified(v, load)
}

func (a *app) printVerified(v *restore.Verified, load bool) error {
	if a.json() {
		if err := a.printResult(v); err != nil {
			return err
		}
	} else {
		for _, f := range v.Failures {
			a.printf("%s: %s\n", visible.Text(f.Segment), visible.Text(f.Reason))
		}
		a.printf("%s verified, with %s in %s", many(v.Segments, "segment", "segments"), many(v.Rows, "row", "rows"), bytesText(v.Bytes))
		if load {
			a.printf("; %s loaded", many(v.Loaded, "segment", "segments"))
		}
		a.printf("; %s\n", many(int64(len(v.Failures)), "failure", "failures"))
	}
	if len(v.Failures) > 0 {
		return &exitError{code: exitFailed}
	}
	return nil
}

func (a *app) archivePruneCommand() *cobra.Command {
	return &cobra.Command{
		Use: "prune", Short: "Remove the copies that are older than keep", Args: noArgs,
		Long: `prune removes segments older than archive.keep of the policy file, with their lists.
Exit code 1 if some could not be removed; the next prune tries again.`,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.archivePrune(cmd.Context()) },
	}
}

func (a *app) archivePrune(ctx context.Context) error {
	store, section, err := a.openArchive("")
	if err != nil {
		return err
	}
	var removed []*archive.Entry
	if !section.Keep.Forever {
		removed, err = store.Prune(ctx, section.Keep.Before(time.Now()))
	}
	if a.json() {
		names := []string{}
		for _, e := range removed {
			names = append(names, e.Segment.Name)
		}
		if err := a.printResult(map[string]any{"removed": names, "keep": section.Keep.String()}); err != nil {
			return err
		}
	} else {
		a.printf("%s removed (keep: %s)\n", many(int64(len(removed)), "segment", "segments"), section.Keep)
	}
	if err != nil {
		return failed(err)
	}
	return nil
}

// archiveProblems are those of the store, if a selected policy needs it: a purge would delete nothing
// of it.
func (a *app) archiveProblems(ctx context.Context, s *session) []plan.Problem {
	if !slices.ContainsFunc(s.plans, func(p *plan.Plan) bool { return p.Policy.Archive }) {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, archivePatience)
	defer cancel()
	store, _, err := a.openArchive("")
	if err == nil {
		err = store.Try(ctx)
	}
	if err == nil {
		return nil
	}
	return []plan.Problem{{Level: plan.LevelError, Text: "the archive cannot be used: " + oneLine(err), Fix: "see what its role needs in docs/ARCHIVE.md"}}
}

// archivePatience bounds the attempt to use the store.
const archivePatience = 30 * time.Second
