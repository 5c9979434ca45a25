package purge_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/archive"
	"github.com/reaperdb/reaper/deletion"
	"github.com/reaperdb/reaper/internal/dbtest"
	"github.com/reaperdb/reaper/internal/pgtemp"
	"github.com/reaperdb/reaper/purge"
	"github.com/reaperdb/reaper/restore"
)

// The steps of a purge with an archive, and of a restore, at which a process is killed.
var (
	purgeSteps   = []string{"begun", "spooled", "copied", "sent", "deleted", "listed"}
	restoreSteps = []string{"wait", "hold", "progress"}
)

// dies is a hook for a step: the process of the test kills itself the n-th time, as its environment
// says.
func dies(step string) func() error {
	want, nth, _ := strings.Cut(os.Getenv(childEnv+"_STEP"), " ")
	left, err := strconv.Atoi(nth)
	if step != want || err != nil {
		return nil
	}
	return func() error {
		if left--; left == 0 {
			if err := syscall.Kill(os.Getpid(), syscall.SIGKILL); err != nil {
				return err
			}
			select {} // it has no more time
		}
		return nil
	}
}

// dyingArchive is an archive in a folder, at a step of which the process dies.
func dyingArchive(folder string) (deletion.Archive, error) {
	into, err := openArchive(folder)
	return &steps{
		Archive: into, begun: dies("begun"), spooled: dies("spooled"), copied: dies("copied"), sent: dies("sent"), deleted: dies("deleted"), listed: dies("listed"),
	}, err
}

// restores is the main of a child process that restores everything.
func restores(ctx context.Context, pool *pgxpool.Pool) int {
	if _, err := restoreAll(ctx, pool, os.Getenv(childEnv+"_ARCHIVE")); err != nil {
		return 1
	}
	return 0
}

// restoreAll restores all that an archive of the shop has a list of.
func restoreAll(ctx context.Context, pool *pgxpool.Pool, folder string) (*restore.Report, error) {
	a, err := archive.Open(archive.Config{URL: "file://" + folder})
	if err != nil {
		return nil, err
	}
	found, err := restore.Select(ctx, a, restore.Selection{}, nil)
	if err != nil {
		return nil, err
	}
	wait, hold, progress := dies("wait"), dies("hold"), dies("progress")
	o := restore.Options{
		Wait:     func(context.Context, string) error { return at(wait) },
		Progress: func(*restore.Report) { _ = at(progress) },
		Holds: []restore.Holds{{Policy: "mails", Table: publicName("mails"), Columns: []string{"id"}, Hold: func(context.Context, pgx.Tx, [][]string) error {
			return at(hold)
		}}},
	}
	for _, name := range []string{"mails", "parts", "clicks", "notes"} {
		o.Tables = append(o.Tables, publicName(name))
	}
	return restore.Run(ctx, a, pool, found.Chosen, o)
}

func publicName(table string) archive.Name { return archive.Name{Schema: "public", Name: table} }

// dies has a process purge, or restore, that is killed the n-th time that it takes a step, and reports
// whether it was.
func (a *archiving) dies(step string, nth int) bool {
	a.t.Helper()
	cmd := exec.CommandContext(a.t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+a.DSN(), childEnv+"_POLICY="+a.policy, childEnv+"_ARCHIVE="+a.folder, childEnv+"_STEP="+step+" "+strconv.Itoa(nth))
	if slices.Contains(restoreSteps, step) {
		cmd.Env = append(cmd.Env, childEnv+"_RESTORES=1")
	}
	err := cmd.Run()
	a.await(`SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'reaper' AND state <> 'idle')`)
	status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	killed := ok && status.Signaled()
	if err != nil && !killed {
		a.t.Errorf("%s %d: the process ended with %v", step, nth, err)
	}
	return killed
}

// whole wants the rows that were seen: those left, and those on lists of the archive or the ledger.
func (a *archiving) whole(after string) {
	a.t.Helper()
	back, err := putBack(a.t.Context(), a.Pool(a.t), a.tables(), a.folder, a.Texts(a.t, `SELECT name FROM reaper.segment WHERE list IS NOT NULL`)...)
	if err != nil {
		a.t.Fatal(err)
	}
	if diff := cmp.Diff(a.initial, back); diff != "" {
		a.t.Fatalf("%s: rows before, and those that are left or listed (-before +after):\n%s", after, diff)
	}
}

// A process that is killed at any step, of a purge or of a restore, loses no row, and brings none twice;
// the next one goes on. REAPER_KILLS is how often one is killed (9: once at each step).
func TestArchive_Kills(t *testing.T) {
	t.Parallel()
	kills := len(purgeSteps) + len(restoreSteps)
	if text := os.Getenv("REAPER_KILLS"); text != "" {
		var err error
		if kills, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	a := archivingBed(t, mood, small(shopPolicy))
	a.see()
	steps := slices.Concat(purgeSteps, restoreSteps)
	for n := range kills {
		step, nth := steps[n%len(steps)], 1+n/len(steps)%3
		name := step + " " + strconv.Itoa(nth)
		if slices.Contains(purgeSteps, step) {
			if !a.dies(step, nth) && nth == 1 {
				t.Errorf("%s: it was not killed", name)
			}
			a.whole(name)
			a.Exec(t, `UPDATE reaper.run SET lease_until = now() - interval '1 second'`)
		}
		a.purge()
		a.count(`SELECT count(*) FROM mails`, 5)
		a.comesBack()
		if slices.Contains(restoreSteps, step) && !a.dies(step, nth) && nth == 1 {
			t.Errorf("%s: it was not killed", name)
		}
		a.restored(name)
	}
}

// restored restores all, wants exactly the rows that were seen, and forgets the archive.
func (a *archiving) restored(after string) {
	a.t.Helper()
	r, err := restoreAll(a.t.Context(), a.Pool(a.t), a.folder)
	if err != nil || !r.Complete() {
		a.t.Fatalf("%s: %+v, %v", after, r, err)
	}
	back, err := snapshot(a.t.Context(), a.Pool(a.t), a.tables())
	if err != nil {
		a.t.Fatal(err)
	}
	if diff := cmp.Diff(a.initial, back); diff != "" {
		a.t.Fatalf("%s: rows before, and after the restore (-before +after):\n%s", after, diff)
	}
	runs, err := filepath.Glob(filepath.Join(a.folder, "*"))
	for _, run := range runs {
		if err == nil {
			err = os.RemoveAll(run)
		}
	}
	if err != nil {
		a.t.Fatal(err)
	}
	a.Exec(a.t, `DELETE FROM reaper.segment`)
}

// A server that crashes between copy and delete has other rows in the same places, and one that crashes
// after the delete must not forget it: its list goes into the store next.
func TestArchive_ServerCrash(t *testing.T) {
	t.Parallel()
	server := dbtest.Server(t, pgtemp.Options{})
	ctx := t.Context()
	pool := purgePool(t, server.DSN("postgres"))
	for _, sql := range []string{mood, ledgerSQL(t), manyMails} {
		if _, err := pool.Exec(ctx, sql); err != nil {
			t.Fatal(err)
		}
	}
	tables := map[archive.Name]string{}
	for _, name := range []string{"orgs", "projects", "mails", "parts", "clicks", "notes"} {
		tables[publicName(name)] = "public." + name
	}
	before, err := snapshot(ctx, pool, tables)
	if err != nil {
		t.Fatal(err)
	}
	policy := "archive: {url: 'file:///unused', encryption: none, keep: forever}\n" + strings.Replace(small(shopPolicy), "age: at,", "age: at, archive: true,", 1)
	b := &bed{t: t, policy: policy}
	b.connect(server.DSN("postgres"))
	a := archived(t, b)
	plans := b.plans()
	crash := func(times ...int) func() error {
		n := 0
		return func() error {
			if n++; slices.Contains(times, n) {
				if err := server.Kill(); err != nil {
					t.Error(err)
				}
				return server.Restart(context.WithoutCancel(ctx))
			}
			return nil
		}
	}
	a.steps.sent, a.steps.deleted = crash(5, 40), crash(10, 60)
	b.runner.Connections = 1
	report, err := b.runner.Run(ctx, plans, b.opts)
	if err != nil || report.Status != purge.Complete {
		t.Fatalf("the run ended: %v, %+v", err, report)
	}
	a.steps.sent, a.steps.deleted = nil, nil
	b.connect(server.DSN("postgres")) // its connections are of the server before
	pool = b.pool
	var left int
	if err := pool.QueryRow(ctx, `SELECT count(*) FROM mails`).Scan(&left); err != nil || left != 5 {
		t.Fatalf("%d mails are left, %v", left, err)
	}
	back, err := putBack(ctx, pool, tables, a.folder)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, back); diff != "" {
		t.Errorf("rows before, and those that came back (-before +back):\n%s", diff)
	}
	// That a list is in the store is not written durably; the next run writes it again.
	if report, err = b.runner.Run(ctx, b.plans(), b.opts); err != nil || report.Status != purge.Complete {
		t.Fatalf("the next run ended: %v, %+v", err, report)
	}
	var missing int
	if err := pool.QueryRow(ctx, `SELECT count(*) FROM reaper.segment WHERE list IS NOT NULL`).Scan(&missing); err != nil || missing != 0 {
		t.Errorf("%d lists are missing, %v", missing, err)
	}
}
