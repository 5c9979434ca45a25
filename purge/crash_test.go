package purge_test

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/internal/dbtest"
	"github.com/reaperdb/reaper/internal/pgtemp"
	"github.com/reaperdb/reaper/purge"
)

// manyMails adds mails to the shop: 3 tenants with 300 due ones each.
const manyMails = `
INSERT INTO orgs VALUES (3, 30, NULL);
INSERT INTO projects VALUES (30, 3);
INSERT INTO mails SELECT n, (n % 3 + 1) * 10, now() - interval '70 days', 'sent' FROM generate_series(101, 1000) n;
INSERT INTO parts SELECT n * 10, n FROM generate_series(101, 1000) n;
INSERT INTO clicks (part_id) SELECT n * 10 FROM generate_series(101, 1000) n;
ANALYZE`

// small gives a policy batches of 10 roots at most, so that there are many.
func small(policy string) string {
	return strings.Replace(policy, "age: at,", "age: at, limits: {rows: 10, total_rows: 60},", 1)
}

// allGone wants everything due under manyMails to be deleted, and counted exactly once in the
// ledger.
func (b *bed) allGone() {
	b.t.Helper()
	b.count(`SELECT count(*) FROM mails`, 5)
	b.count(`SELECT count(*) FROM parts`, 15)
	b.count(`SELECT count(*) FROM clicks`, 15)
	b.ledgerIsTrue()
}

// A connection that an administrator terminates costs at most one batch; the run continues.
func TestPromise4_ConnectionTerminated(t *testing.T) {
	eachWay(t, func(t *testing.T, schema, policy string) {
		b := prepare(t, schema, small(policy))
		b.Exec(t, manyMails)
		b.mark()
		plans := b.plans()
		ctx, stop := context.WithCancel(t.Context())
		var killer sync.WaitGroup
		killed := 0
		killer.Go(func() {
			for ctx.Err() == nil && killed < 12 {
				killed += b.Int(t, `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'reaper' AND state <> 'idle'`)
				time.Sleep(time.Duration(rand.IntN(100)) * time.Millisecond)
			}
		})
		o := b.purgeWith(plans)
		stop()
		killer.Wait()
		if killed == 0 {
			t.Error("nothing was ever terminated")
		}
		o.is(purge.Complete)
		b.allGone()
		if total := b.Int(t, `SELECT sum(rows)::int FROM reaper.deletions`); o.one().RowsTotal != int64(total) {
			t.Errorf("the report has %d rows, the ledger %d", o.one().RowsTotal, total)
		}
	})
}

// proxy sits between the purge and the server and cuts connections around COMMIT.
type proxy struct {
	net.Listener
	to      string // the server's socket
	commits atomic.Int64
	cut     func(n int64) when // for the n-th COMMIT, counted from 1
}

// when is the fate of a COMMIT.
type when int

const (
	pass         when = iota
	beforeCommit      // the server never sees it
	afterCommit       // the server's answer never arrives
	inCommit          // the connection is cut right after it was sent
)

func startProxy(t *testing.T, dsn string, cut func(int64) when) (p *proxy, through string) {
	t.Helper()
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		t.Fatal(err)
	}
	var lc net.ListenConfig
	l, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p = &proxy{Listener: l, to: filepath.Join(config.Host, ".s.PGSQL."+strconv.Itoa(int(config.Port))), cut: cut}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { p.serve(client) })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		serving.Wait()
	})
	return p, "postgres://postgres@" + l.Addr().String() + "/" + config.Database + "?sslmode=disable"
}

// serve copies one connection, watching for the client's COMMIT.
func (p *proxy) serve(client net.Conn) {
	defer func() { _ = client.Close() }()
	server, err := net.Dial("unix", p.to) //nolint:noctx // it lasts as long as the connection it serves
	if err != nil {
		return
	}
	defer func() { _ = server.Close() }()
	var mute atomic.Bool
	answered := make(chan struct{}, 1)
	var back sync.WaitGroup
	back.Go(func() {
		defer func() { _ = client.Close() }()
		buf := make([]byte, 64<<10)
		for {
			n, err := server.Read(buf)
			if err != nil {
				return
			}
			if mute.Load() {
				select {
				case answered <- struct{}{}:
				default:
				}
				continue
			}
			if _, err := client.Write(buf[:n]); err != nil {
				return
			}
		}
	})
	defer back.Wait()
	defer func() { _ = server.Close() }()
	buf := make([]byte, 64<<10)
	for {
		n, err := client.Read(buf)
		if err != nil {
			return
		}
		what := pass
		// A batch's COMMIT is sent together with its ledger row, others alone.
		batch := bytes.Contains(buf[:n], []byte("COMMIT\x00")) && bytes.Contains(buf[:n], []byte(atRecord))
		if batch || bytes.Contains(buf[:n], []byte("commit\x00")) {
			what = p.cut(p.commits.Add(1))
		}
		if what == beforeCommit {
			return
		}
		mute.Store(what == afterCommit)
		if _, err := io.Copy(server, bytes.NewReader(buf[:n])); err != nil {
			return
		}
		if what == afterCommit {
			<-answered
			return
		}
		if what == inCommit {
			return
		}
	}
}

// After a connection is lost in COMMIT, before the server has received it or before its answer
// arrives, the ledger decides: nothing is counted twice or lost.
func TestPromise4_ConnectionLostInCommit(t *testing.T) {
	eachWay(t, func(t *testing.T, schema, policy string) {
		ground := ground(t)
		for _, c := range []struct {
			name string
			what when
		}{{"before", beforeCommit}, {"at once after", inCommit}, {"after, without an answer", afterCommit}} {
			t.Run(c.name, func(t *testing.T) {
				b := ground.on(t, schema+";"+manyMails, small(policy))
				b.mark()
				p, dsn := startProxy(t, b.DSN(), func(n int64) when {
					if n%29 == 5 {
						return c.what
					}
					return pass
				})
				b.connect(dsn)
				o := b.purge().is(purge.Complete)
				b.allGone()
				if p.commits.Load() < 50 {
					t.Errorf("only %d commits seen", p.commits.Load())
				}
				if got, want := o.one().RowsTotal, int64(915+945+945); got != want {
					t.Errorf("the report has %d rows, want %d", got, want)
				}
			})
		}
	})
}

// A signal during a lost COMMIT does not lose its rows from the report.
func TestPromise4_SignalWhileACommitIsLost(t *testing.T) {
	t.Parallel()
	b := prepare(t, shop+";"+manyMails, small(shopPolicy))
	b.mark()
	plans := b.plans()
	stopping, stop := context.WithCancel(t.Context())
	_, dsn := startProxy(t, b.DSN(), func(int64) when {
		if b.Int(t, `SELECT count(*) FROM mails`) > 800 {
			return pass
		}
		if stopping.Err() == nil {
			stop()
			return afterCommit
		}
		return pass
	})
	b.connect(dsn)
	b.runner.Stopping = stopping
	o := b.purgeWith(plans).is(purge.Incomplete, "interrupted")
	b.ledgerIsTrue()
	if total := b.Int(t, `SELECT sum(rows)::int FROM reaper.deletions`); o.one().RowsTotal != int64(total) {
		t.Errorf("the report has %d rows, the ledger %d", o.one().RowsTotal, total)
	}
}

// The server crashes and comes back: the run continues.
func TestPromise4_ServerCrash(t *testing.T) {
	t.Parallel()
	server := dbtest.Server(t, pgtemp.Options{})
	fill := func(sql string) {
		pool := purgePool(t, server.DSN("postgres"))
		defer pool.Close()
		if _, err := pool.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	fill(shop)
	fill(ledgerSQL(t))
	fill(manyMails)
	count := func(sql string) (n int) {
		pool := purgePool(t, server.DSN("postgres"))
		defer pool.Close()
		if err := pool.QueryRow(t.Context(), sql).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	rows := `SELECT (SELECT count(*) FROM mails) + (SELECT count(*) FROM parts) + (SELECT count(*) FROM clicks)`
	before := count(rows)
	b := &bed{t: t, policy: small(shopPolicy)}
	b.connect(server.DSN("postgres"))
	plans := b.plans()
	crashes := make(chan struct{}, 3)
	batches, roots := 0, int64(0)
	b.runner.Observer = watcher{batch: func(e purge.BatchEvent) {
		// And right after the last batch: its COMMIT was acknowledged but may not be on disk,
		// so the following pass would wrongly find nothing.
		roots += e.Roots
		if batches++; batches%25 == 5 || roots == 915 {
			select {
			case crashes <- struct{}{}:
			default:
			}
		}
	}}
	var crasher sync.WaitGroup
	crasher.Go(func() {
		for range crashes {
			if err := server.Kill(); err != nil {
				t.Error(err)
			}
			if err := server.Restart(context.WithoutCancel(t.Context())); err != nil {
				t.Error(err)
				return
			}
		}
	})
	report, err := b.runner.Run(t.Context(), plans, b.opts)
	close(crashes)
	crasher.Wait()
	if err != nil || report.Status != purge.Complete {
		t.Fatalf("the run ended: %v, %+v", err, report)
	}
	gone := before - count(rows)
	if ledger := count(`SELECT sum(rows)::int FROM reaper.deletions`); gone != 915+945+945 || ledger != gone {
		t.Errorf("%d rows are gone, the ledger has %d, due were %d", gone, ledger, 915+945+945)
	}
	if said := report.Policies[0].RowsTotal; said != int64(gone) {
		t.Errorf("the report has %d rows, %d are gone", said, gone)
	}
}

// A process killed at any point leaves a correct ledger and no lock; the next run closes its
// run and finishes the work.
func TestPromise4And7_ProcessKilled(t *testing.T) {
	eachWay(t, func(t *testing.T, schema, policy string) {
		policy = small(policy)
		b := prepare(t, schema, policy)
		b.Exec(t, manyMails)
		b.mark()
		for range 5 {
			target := b.Int(t, `SELECT count(*) FROM mails`) - 20 - rand.IntN(150)
			err := b.killed(policy, func() bool { return b.Int(t, `SELECT count(*) FROM mails`) <= max(target, 5) })
			if err == nil && b.Int(t, `SELECT count(*) FROM mails`) > 5 {
				t.Error("the purge ended by itself, with something left")
			}
			b.ledgerIsTrue()
		}
		b.count(`SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`, 0)
		b.Exec(t, `UPDATE reaper.run SET lease_until = now() - interval '1 second'`)
		b.purge().is(purge.Complete)
		b.allGone()
		b.count(`SELECT count(*) FROM reaper.runs WHERE status = 'running'`, 0)
		if n := b.Int(t, `SELECT count(*) FROM reaper.runs WHERE status = 'failed' AND reason LIKE 'the process ended%' AND finished_at IS NOT NULL`); n == 0 {
			t.Error("no run was closed as dead")
		}
		b.count(`SELECT count(*) FROM reaper.batch`, 0)
	})
}

// A run that is still alive, however slow, is not closed by another one.
func TestPromise4_LivingRunIsNotClosed(t *testing.T) {
	t.Parallel()
	b := prepare(t, shop, small(shopPolicy))
	b.Exec(t, `INSERT INTO reaper.run (run_id, policy, trigger, cutoff_base, version, lease_until) VALUES
		('00000000-0000-0000-0000-000000000001', 'mails', 'x', now(), 1000, now() + interval '1 second'),
		('00000000-0000-0000-0000-000000000002', 'other', 'x', now(), 1000, now() - interval '1 hour')`)
	b.purge().is(purge.Complete)
	b.left(`SELECT status FROM reaper.runs WHERE trigger = 'x'`, "running", "running")
}

// 1000 runs that find nothing leave only their own rows.
func TestPromise9_ThousandRunsOfNothing(t *testing.T) {
	t.Parallel()
	b := prepare(t, shop, shopPolicy)
	b.purge().complete()
	b.connect(b.DSN(), func(c *pgxpool.Config) { c.MaxConns = 1 })
	plans := b.plans()
	memory := `SELECT sum(total_bytes)::bigint FROM pg_backend_memory_contexts`
	var first, last int64
	for n := range 1000 {
		r, err := b.runner.Run(t.Context(), plans, b.opts)
		if err != nil || r.Status != purge.Complete || r.Policies[0].RowsTotal != 0 || r.Policies[0].Batches != 0 {
			t.Fatalf("run %d: %v, %+v", n, err, r)
		}
		if n == 10 {
			_ = b.pool.QueryRow(t.Context(), memory).Scan(&first)
		}
	}
	if err := b.pool.QueryRow(t.Context(), memory).Scan(&last); err != nil || last > first*3/2 {
		t.Errorf("the session's memory went from %d to %d (%v)", first, last, err)
	}
	b.count(`SELECT count(*) FROM reaper.runs WHERE status = 'complete' AND rows_total = 0 AND batches = 0`, 1000)
	b.count(`SELECT count(*) FROM reaper.batch`, 0)
	b.count(`SELECT count(DISTINCT run_id) FROM reaper.deletion`, 1)
	b.count(`SELECT count(*) FROM pg_locks WHERE pid IN (SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'reaper')`, 0)
	b.count(`SELECT count(*) FROM pg_class WHERE relpersistence = 't' AND relnamespace = pg_my_temp_schema()`, 0)
}

// killed kills a process in the middle of a purge, as soon as enough has gone, and returns how it
// ended; nil: by itself, before. What its session committed last counts.
func (b *bed) killed(policy string, enough func() bool) error {
	b.t.Helper()
	cmd := exec.CommandContext(b.t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+b.DSN(), childEnv+"_POLICY="+policy)
	if err := cmd.Start(); err != nil {
		b.t.Fatal(err)
	}
	died := make(chan error, 1)
	go func() { died <- cmd.Wait() }()
	for !enough() && len(died) == 0 {
		time.Sleep(time.Duration(rand.IntN(3)) * time.Millisecond)
	}
	_ = cmd.Process.Signal(syscall.SIGKILL)
	err := <-died
	b.await(`SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'reaper')`)
	return err
}
