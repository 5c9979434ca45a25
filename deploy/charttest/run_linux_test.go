package charttest_test

import (
	"context"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	core "k8s.io/api/core/v1"

	"github.com/reaperdb/reaper/internal/dbtest"
	"github.com/reaperdb/reaper/internal/pgtemp"
)

// events is what the policy file of the chart's values is for: of 3000 events,
// 2000 are due.
const events = `
	CREATE TABLE accounts (id int PRIMARY KEY);
	INSERT INTO accounts SELECT generate_series(1, 10);
	CREATE TABLE events (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, account int NOT NULL REFERENCES accounts, created_at timestamptz NOT NULL);
	CREATE INDEX ON events (account, created_at, id);
	INSERT INTO events (account, created_at) SELECT 1 + g % 10, now() - g * interval '1 hour' FROM generate_series(161, 3160) g;
	DELETE FROM events WHERE created_at BETWEEN now() - interval '91 days' AND now() - interval '89 days';
	CREATE ROLE worker LOGIN;
	CREATE SCHEMA reaper AUTHORIZATION worker;
	GRANT SELECT ON accounts TO worker;
	GRANT SELECT, UPDATE, DELETE ON events TO worker;`

// cluster is a database with these rows, and the Secrets of a release.
type cluster struct {
	t       *testing.T
	conn    *pgx.Conn
	secrets secrets
	monitor *monitor
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	server := dbtest.Server(t, pgtemp.Options{Port: -1})
	conn, err := pgx.Connect(t.Context(), server.DSN("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	if _, err := conn.Exec(t.Context(), events); err != nil {
		t.Fatal(err)
	}
	m := newMonitor(t)
	dsn := strings.Replace(server.TCP("postgres"), "postgres@", "worker@", 1)
	return &cluster{t, conn, secrets{"app-database": {"database-url": dsn}, "beat": {"heartbeat-url": m.url}}, m}
}

func (c *cluster) int(query string) (n int) {
	c.t.Helper()
	if err := c.conn.QueryRow(c.t.Context(), query).Scan(&n); err != nil {
		c.t.Fatal(err)
	}
	return n
}

func (c *cluster) expired() int {
	return c.int(`SELECT count(*) FROM events WHERE created_at < now() - interval '90 days'`)
}

// probe asks what the kubelet would.
func (c *container) probe(p *core.Probe) bool {
	code, _ := c.get(p.HTTPGet.Path)
	return code == 200
}

// The daemon's container runs as the chart renders it: it becomes ready, deletes
// what is due, tells the monitor, and ends in time.
func TestContainer_Deployment(t *testing.T) {
	t.Parallel()
	k := newCluster(t)
	objects := render(t, values{"deployment", []string{
		"schedule=@every 3s", "timeZone=Europe/Paris", "scanInterval=1s", "deployment.jitter=0s", "heartbeat.existingSecret=beat", "heartbeat.kind=healthchecks",
	}})
	due := k.expired()
	spec := pods(objects)["Deployment release-reaper"].Spec
	c := newContainer(t, objects, "Deployment release-reaper", k.secrets)
	c.start()
	c.await("it lives", func() bool { return c.probe(spec.Containers[0].LivenessProbe) })
	c.await("it is ready", func() bool { return c.probe(spec.Containers[0].ReadinessProbe) })
	c.await("what was due is gone", func() bool { return k.expired() == 0 })
	c.await("it shows a success", c.shows(`reaper_expired_rows{policy="events"} 0`))
	c.await("the monitor hears of it", func() bool { return slices.Contains(k.monitor.got(), "") })
	if n := k.int(`SELECT sum(rows)::int FROM reaper.deletions`); n != due || due == 0 {
		t.Errorf("the ledger has %d rows of %d", n, due)
	}
	if err := c.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := c.ends(time.Duration(*spec.TerminationGracePeriodSeconds) * time.Second); code != 0 {
		t.Errorf("exit code %d after SIGTERM", code)
	}
}

// The CronJob's container makes one run and ends; the observer beside it shows what
// is due, and the run, and runs nothing.
func TestContainer_CronJob(t *testing.T) {
	t.Parallel()
	k := newCluster(t)
	objects := render(t, values{"cronjob", []string{"schedule=0 0 1 1 *", "scanInterval=1s", "cronjob.observer.enabled=true", "heartbeat.existingSecret=beat", "heartbeat.kind=healthchecks"}})
	due := k.expired()
	spec := pods(objects)["Deployment release-reaper-observer"].Spec
	observer := newContainer(t, objects, "Deployment release-reaper-observer", k.secrets)
	observer.start()
	observer.await("the observer is ready", func() bool { return observer.probe(spec.Containers[0].ReadinessProbe) })
	observer.await("it shows what is due", func() bool {
		_, text := observer.get("/metrics")
		return strings.Contains(text, `reaper_overdue_tenants{policy="events"} 10`)
	})
	if k.expired() != due || due == 0 {
		t.Fatal("the observer has deleted")
	}

	job := newContainer(t, objects, "CronJob release-reaper", k.secrets)
	job.start()
	if code := job.ends(time.Minute); code != 0 {
		t.Fatalf("the job's exit code is %d", code)
	}
	if n := k.expired(); n != 0 {
		t.Errorf("%d expired rows are left", n)
	}
	if n := k.int(`SELECT count(*)::int FROM reaper.runs WHERE trigger = 'once' AND status = 'complete'`); n != 1 {
		t.Errorf("%d runs in the ledger", n)
	}
	if pings := k.monitor.got(); !slices.Equal(pings, []string{"/start", ""}) {
		t.Errorf("pings %q", pings)
	}
	observer.await("the observer shows the run", func() bool {
		_, text := observer.get("/metrics")
		return strings.Contains(text, `reaper_last_success_timestamp_seconds{policy="events"}`) && strings.Contains(text, `reaper_expired_rows{policy="events"} 0`)
	})
	if code, body := observer.get("/health"); code != 200 {
		t.Errorf("/health: %d %s", code, body)
	}
}

// helm test's pod says whether the rendered policy file fits the database.
func TestContainer_Check(t *testing.T) {
	t.Parallel()
	k := newCluster(t)
	for _, c := range []struct {
		set  []string
		code int
		says string
	}{
		{nil, 0, "ok: 1 policy can run as role worker"},
		{[]string{"policy.file=", "policy.existingSecret=policies", "policy.key=own.yaml"}, 2, "/etc/reaper/own.yaml:3:22: there is no table nowhere"},
	} {
		known := secrets{"policies": {"own.yaml": "version: 1\npolicies:\n  - {name: a, table: nowhere, age: at, tenant: none, retention: 1d}\n"}}
		for name, keys := range k.secrets {
			known[name] = keys
		}
		check := newContainer(t, render(t, values{"deployment", c.set}), "Pod release-reaper-check", known)
		check.start()
		if code, out := check.ends(time.Minute), check.out.String()+check.text(); code != c.code || !strings.Contains(out, c.says) {
			t.Errorf("%v: exit code %d, want %d and %q:\n%s", c.set, code, c.code, c.says, out)
		}
	}
}
