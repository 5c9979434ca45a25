package daemon

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/reaperdb/reaper/archive"
	"github.com/reaperdb/reaper/deletion"
	"github.com/reaperdb/reaper/heartbeat"
	"github.com/reaperdb/reaper/internal/dbtest"
	"github.com/reaperdb/reaper/ledger"
	"github.com/reaperdb/reaper/metrics"
	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/web"
)

// The process with the lease verifies copies on schedule, and again soon after it has found damage; the
// ledger remembers it, and page and metrics show it.
func TestVerify(t *testing.T) {
	t.Parallel()
	ctx, folder := t.Context(), t.TempDir()
	db := dbtest.New(t, `CREATE TABLE orgs (id int PRIMARY KEY); CREATE TABLE mails (id int PRIMARY KEY, org_id int REFERENCES orgs, at timestamptz)`)
	pool, reg, log := db.Pool(t), prometheus.NewRegistry(), &logbook{}
	l := ledger.New("reaper", 0)
	if _, err := l.Migrate(ctx, pool); err != nil {
		t.Fatal(err)
	}
	d, err := New(Config{
		Pool: pool, Control: pool, Guards: pool, Ledger: l, Metrics: metrics.New(reg, metrics.Build{}), Pings: heartbeat.New(heartbeat.Config{}), Log: log.logger(),
		Instance: "a", FileName: "reaper.yaml", Schedule: "@daily", Zone: time.UTC, ScanEvery: time.Hour,
		Read: func() ([]byte, error) {
			return []byte(`
version: 1
tenants: {table: orgs, key: id, default: 30d}
archive: {url: 'file://` + folder + `', encryption: none, keep: 30d, verify: {schedule: weekly, sample: 100%, load: true}}
policies: [{name: mails, table: mails, age: at, archive: true}]`), nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(folder, filepath.FromSlash(sendMail(t, d).Name))
	d.control.look(true)
	d.pulse.beat(ctx)

	// round is what happens after so long.
	round := func(later string) *web.Archive {
		t.Helper()
		db.Exec(t, `UPDATE reaper.verification SET at = at - $1::interval`, later)
		if err := d.readCopies(ctx); err != nil {
			t.Fatal(err)
		}
		d.copies.tried = time.Time{}
		d.verify(ctx)
		d.paint()
		return d.Status().Archive
	}
	if a := round("0"); a.Verification != nil || a.Schedule != "@weekly" {
		t.Fatalf("a process without the lease has verified: %+v", a)
	}
	d.lease.look("a")
	first := round("0")
	if v := first.Verification; v == nil || v.Error != "" || v.Segments != 1 || v.Held != 1 || v.Rows != 1 || v.Loaded != 1 || len(v.Failures) != 0 || first.VerifiedAt == nil || first.LoadedAt == nil {
		t.Fatalf("%+v, %+v", first, v)
	}
	if a := round("1 minute"); !a.VerifiedAt.Equal(*first.VerifiedAt) {
		t.Error("it verified again at once")
	}
	content, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, content[:len(content)-5], 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	a := round("8 days")
	if v := a.Verification; len(v.Failures) != 1 || !strings.Contains(path, v.Failures[0].Segment) || !a.VerifiedAt.Equal(*first.VerifiedAt) {
		t.Fatalf("%+v, %+v", a, v)
	}
	if found := d.Status().Judge(time.Now(), time.Minute).Warnings; len(found) != 1 || !strings.Contains(found[0].String(), "copies in the archive are damaged: 1 of 1 segment") {
		t.Errorf("warnings: %v", found)
	}
	gauge(t, reg, "reaper_archive_damaged_segments", 1)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if v := round("1 hour").Verification; len(v.Failures) != 1 {
		t.Errorf("it verified again within the hour: %+v", v)
	}
	if a := round("6 hours"); len(a.Verification.Failures) != 0 || a.VerifiedAt.Equal(*first.VerifiedAt) {
		t.Errorf("%+v, %+v", a, a.Verification)
	}
	gauge(t, reg, "reaper_archive_damaged_segments", 0)
	gauge(t, reg, "reaper_archive_verify_interval_seconds", 7*24*3600)
	gauge(t, reg, "reaper_archive_segments", 1)

	// A store that holds nothing, where it should, is not well: the folder may not be mounted.
	db.Exec(t, `INSERT INTO reaper.segment (name, run_id, policy, seq) VALUES ('y', gen_random_uuid(), 'mails', 1)`)
	if err := os.RemoveAll(folder); err != nil {
		t.Fatal(err)
	}
	if v := round("8 days").Verification; !strings.Contains(v.Error, "holds nothing") || len(v.Failures) != 0 {
		t.Errorf("%+v", v)
	}
	log.says(t, "archive verified", 3)
	log.says(t, "a copy in the archive is damaged", 1)
	log.says(t, "verifying the archive failed", 1)

	// Lists that only the ledger has are told, too.
	db.Exec(t, `INSERT INTO reaper.segment VALUES ('x', gen_random_uuid(), 'mails', 1, now() - interval '2 hours', '{}')`)
	if a := round("0"); a.MissingLists != 1 || time.Since(*a.OldestMissingAt) < time.Hour {
		t.Errorf("%+v", a)
	}
	gauge(t, reg, "reaper_archive_missing_lists", 1)
}

func gauge(t *testing.T, reg *prometheus.Registry, name string, want float64) {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			if got := f.GetMetric()[0].GetGauge().GetValue(); got != want {
				t.Errorf("%s is %v, want %v", name, got, want)
			}
			return
		}
	}
	t.Errorf("there is no %s", name)
}

// sendMail gives the archive of a daemon's policy file a segment, as a run would; the metrics count it.
func sendMail(t *testing.T, d *Daemon) archive.Object {
	t.Helper()
	into, err := deletion.ArchiveOf(d.file.inForce())
	if err != nil {
		t.Fatal(err)
	}
	into = countArchive(into, d.Metrics)
	const run = "01a2221f-b91a-7dba-8c21-03ac4231d202"
	mails := archive.Name{Schema: "public", Name: "mails"}
	s, err := into.Begin(archive.Manifest{Run: run, Policy: "mails", Root: mails, RootKey: []string{"id"}, Started: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Discard()
	w, err := s.Table(archive.Table{Name: mails, Kind: archive.Deleted, Key: []string{"id"}, Columns: []archive.Column{{Name: "id", Type: "integer"}}})
	if err == nil {
		_, err = w.Write([]byte("1\n"))
	}
	if err != nil {
		t.Fatal(err)
	}
	o, err := s.Send(t.Context())
	if err == nil {
		err = into.WriteList(t.Context(), o, archive.List{Run: run, Policy: "mails", Seq: 1, Roots: []archive.Root{{Key: []string{"1"}}}})
	}
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// What the store does not take is counted; a run that is stopping is no failure of it.
func TestCountArchive(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	m := metrics.New(reg, metrics.Build{})
	m.SetPolicies(metrics.Policy{Name: "mails", Archive: true})
	if countArchive(nil, m) != nil {
		t.Error("no archive is one")
	}
	file, err := policy.Parse("reaper.yaml", []byte("version: 1\narchive: {url: 'file:///dev/null/archive', encryption: none, keep: 30d}\npolicies: [{name: mails, table: mails, age: at, tenant: none, retention: 1d, archive: true}]"))
	if err != nil {
		t.Fatal(err)
	}
	into, err := deletion.ArchiveOf(file)
	if err != nil {
		t.Fatal(err)
	}
	into = countArchive(into, m)
	list := archive.List{Run: "r", Policy: "mails"}
	if into.WriteList(t.Context(), archive.Object{Name: "r/mails/shared/x.tar.zst"}, list) == nil {
		t.Error("/dev/null took a list")
	}
	const failures = `
		# HELP reaper_archive_failures_total Failed tries to write a segment down, or to give it or a list to the store.
		# TYPE reaper_archive_failures_total counter
		reaper_archive_failures_total{policy="mails",step="list"} 1
		reaper_archive_failures_total{policy="mails",step="segment"} 0
		reaper_archive_failures_total{policy="mails",step="spool"} 0
`
	if err := testutil.GatherAndCompare(reg, strings.NewReader(failures), "reaper_archive_failures_total"); err != nil {
		t.Error(err)
	}
}
