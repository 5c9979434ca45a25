package guard_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/reaperdb/reaper/guard"
	"github.com/reaperdb/reaper/internal/dbtest"
)

const megabyte = 1 << 20

// tight keeps the WAL small, so that little has to be written to fill it.
func tight(more ...string) map[string]string {
	settings := map[string]string{"max_wal_size": "32MB", "min_wal_size": "32MB", "wal_keep_size": "0", "autovacuum": "off"}
	for i := 0; i < len(more); i += 2 {
		settings[more[i]] = more[i+1]
	}
	return settings
}

// The database grows past the threshold and shrinks again. A role that may not list the
// WAL gets the upper bound.
func TestStorage(t *testing.T) {
	t.Parallel()
	s := server(t, tight())
	x := connect(t, s.DSN("postgres"), "")
	var start float64
	if err := x.QueryRow(t.Context(), "SELECT pg_database_size(current_database()) + (SELECT sum(size) FROM pg_ls_waldir())").Scan(&start); err != nil {
		t.Fatal(err)
	}
	var c guard.Config
	c.Storage.Signal = levels(none, start+90*megabyte, none)
	c.Storage.Limit = int64(start) + 200*megabyte
	w := watchAt(t, s, c)
	await(t, w, guard.Go)
	room, err := w.Room(t.Context())
	if err != nil || room.Free == nil || *room.Free < 80*megabyte || *room.Free > 90*megabyte || room.WAL == nil || room.MaxWAL != 32*megabyte {
		t.Errorf("room %+v (%v), want 90 MB free, the size of the WAL, and max_wal_size", room, err)
	}
	x.exec(fill("big", 100))
	says(t, await(t, w, guard.Pause), "storage", "database and WAL take|MB of|pause at")
	room, err = w.Room(t.Context())
	if err != nil || room.Free == nil || *room.Free != 0 {
		t.Errorf("room %+v (%v), want nothing free", room, err)
	}
	x.exec("DROP TABLE big", "CHECKPOINT")
	await(t, w, guard.Go)

	x.exec("CREATE ROLE nobody LOGIN")
	c.Storage.Signal = levels(none, 1, none)
	poor := run(t, guard.New(quick(c), as(t, dsnOf(s, "nobody")), nil))
	says(t, await(t, poor, guard.Pause), "storage", "with an upper bound for the WAL")
	room, err = poor.Room(t.Context())
	if err != nil || room.WAL != nil || room.MaxWAL != 32*megabyte {
		t.Errorf("room %+v (%v), want no size of the WAL", room, err)
	}
	if err := poor.Checkpoint(t.Context()); err == nil {
		t.Error("a role without privileges asked for a checkpoint")
	}
}

// After a checkpoint the server recycles WAL instead of removing it. pg_wal stays as
// large, and a pause based on its size would never end.
func TestStorageWithoutUsedUpWAL(t *testing.T) {
	t.Parallel()
	s := server(t, tight("max_wal_size", "1GB"))
	x := connect(t, s.DSN("postgres"), "")
	const wroteAtReading = "SELECT (pg_database_size(current_database()) + (SELECT sum(size) FROM pg_ls_waldir()))::float8"
	ask := func() (bytes float64) {
		if err := x.QueryRow(t.Context(), wroteAtReading).Scan(&bytes); err != nil {
			t.Fatal(err)
		}
		return bytes
	}
	var c guard.Config
	pause := ask() + 60*megabyte
	c.Storage.Signal = levels(none, pause, none)
	c.Storage.Limit = int64(pause) + 100*megabyte
	w := watchAt(t, s, c)
	await(t, w, guard.Go)
	for range 10 {
		x.exec("SELECT pg_logical_emit_message(true, 'x', repeat('x', 10000000))")
	}
	says(t, await(t, w, guard.Pause), "storage", "database and WAL take")
	if err := w.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	await(t, w, guard.Go)
	if bytes := ask(); bytes < pause {
		t.Errorf("%.0f bytes are stored, below the %.0f of the pause: the server has removed WAL, and this shows nothing", bytes, pause)
	}
	room, err := w.Room(t.Context())
	if err != nil || room.Free == nil || *room.Free < 30*megabyte || room.WAL == nil || *room.WAL > 60*megabyte {
		t.Errorf("room %+v (%v), want it without the WAL that is to be written again", room, err)
	}
}

// Between two readings batches may write more than is free, so what they write counts
// at once.
func TestStorageAhead(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t, "SELECT 1")
	for _, c := range []struct {
		name    string
		storage guard.Storage
		want    string
	}{
		{"limit", guard.Storage{Signal: levels(none, 1<<40, 1<<40+1<<39), Limit: 1 << 41}, "database and WAL take"},
		{"free", guard.Storage{Signal: levels(none, 1<<30, 1<<29), Free: guard.Query{SQL: "SELECT 1::bigint << 41"}}, "are free"},
	} {
		w := guard.New(guard.Config{Every: time.Hour, Storage: c.storage}, db.Pool(t, control), nil)
		first := w.Changed()
		run(t, w)
		<-first
		if a := w.Advice(""); a.State != guard.Go {
			t.Fatalf("%s: %+v, want go", c.name, a)
		}
		w.Wrote(1 << 41)
		a := w.Advice("")
		says(t, a, "storage", c.want+"|including WAL written by batches since the last reading")
		if a.State != guard.Pause {
			t.Errorf("%s: %s by an estimate, want pause: batches that overlap count each other's WAL, and the next reading tells", c.name, a.State)
		}
	}
}

// A pause caused by what batches wrote ends like any other, after two readings with
// enough room. Ending it after one would let the next batch start it again.
func TestStorageAheadIsHeld(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	// Each round reads the storage on entry and returns when it is released.
	enter, leave := make(chan struct{}), make(chan struct{})
	c := guard.Config{Storage: guard.Storage{Signal: levels(none, 1<<40, none), Limit: 1 << 41}}
	c.More = []guard.Source{{Read: func(context.Context) ([]guard.Reading, error) {
		select {
		case enter <- struct{}{}:
			<-leave
		case <-t.Context().Done():
		}
		return nil, nil
	}}}
	w := watch(t, db, c)
	round := func() {
		t.Helper()
		changed := w.Changed()
		leave <- struct{}{}
		<-changed
		<-enter
	}
	<-enter
	round()
	w.Wrote(1 << 41) // after the second round's reading
	for _, want := range []struct {
		readings int
		state    guard.State
	}{{0, guard.Pause}, {1, guard.Pause}, {2, guard.Go}} {
		if want.readings > 0 {
			round()
		}
		if a := w.Advice(""); a.State != want.state || a.State == guard.Pause && a.Guard != "storage" {
			t.Errorf("after %d readings with room: %+v, want %s", want.readings, a, want.state)
		}
		if r := reading(t, w, "storage"); want.readings > 0 && r.State != want.state {
			t.Errorf("after %d readings with room it is shown as %+v, want %s", want.readings, r, want.state)
		}
	}
	close(leave)
}

// Checkpoints are expensive: none is requested soon after another, not even by a Watch
// that replaces another. A refused request does not count.
func TestCheckpointOnceInAWhile(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	pool := db.Pool(t, control)
	w := guard.New(guard.Config{Every: time.Hour, Timeout: time.Minute}, pool, nil)
	if err := w.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := w.Checkpoint(t.Context()); !errors.Is(err, guard.ErrCheckpointAsked) {
		t.Errorf("a second one: %v", err)
	}
	w.Wrote(1) // must not affect the next Watch
	next := guard.New(guard.Config{Every: time.Hour, Timeout: time.Minute}, pool, nil)
	next.Succeed(w)
	if err := next.Checkpoint(t.Context()); !errors.Is(err, guard.ErrCheckpointAsked) {
		t.Errorf("by the Watch after it: %v", err)
	}
	poor := guard.New(guard.Config{Every: time.Hour, Timeout: time.Minute}, as(t, db.As(db.Role(t, "reader"))), nil)
	for range 2 {
		if err := poor.Checkpoint(t.Context()); err == nil || !strings.Contains(err.Error(), "this role may not") {
			t.Errorf("by a role that may not: %v", err)
		}
	}
}

// No matter how many ask or for how long, another checkpoint is requested only when it
// frees something: what reaper has written since.
func TestCheckpointThatGivesNothing(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t)
	const every = 20 * time.Millisecond
	w := guard.New(guard.Config{Every: every, Timeout: time.Minute}, db.Pool(t, control), nil)
	if err := w.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	time.Sleep(3 * every)
	if err := w.Checkpoint(t.Context()); !errors.Is(err, guard.ErrCheckpointAsked) {
		t.Errorf("with nothing written since: %v", err)
	}
	next := guard.New(guard.Config{Every: every, Timeout: time.Minute}, db.Pool(t, control), nil)
	next.Succeed(w)
	if err := next.Checkpoint(t.Context()); !errors.Is(err, guard.ErrCheckpointAsked) {
		t.Errorf("by the Watch after it: %v", err)
	}
	w.Wrote(1)
	if err := w.Checkpoint(t.Context()); err != nil {
		t.Errorf("after a batch: %v", err)
	}
}

// A slot without a reader retains WAL until it is dropped.
func TestSlot(t *testing.T) {
	t.Parallel()
	s := server(t, tight())
	x := connect(t, s.DSN("postgres"), "")
	w := watchAt(t, s, guard.Config{WALBacklog: levels(40*megabyte, 70*megabyte, none)})
	await(t, w, guard.Go)
	x.exec("SELECT pg_create_physical_replication_slot('reports', true)", fill("a", 50))
	says(t, await(t, w, guard.Slow), "wal_backlog", "the replication slot reports, which nothing reads, keeps|MB of WAL (slow at 40 MB)")
	if r := reading(t, w, "wal_backlog"); r.Share >= 0.5 || r.Share < 0.1 {
		t.Errorf("share %v between slow and pause, want it between 0.1 and 0.5", r.Share)
	}
	x.exec(fill("a", 30))
	says(t, await(t, w, guard.Pause), "wal_backlog", "reports|pause at 70 MB")
	room, err := w.Room(t.Context())
	if err != nil || len(room.Holders) == 0 || room.Holders[0].Name != "the replication slot reports (inactive)" || room.Holders[0].Bytes < 70*megabyte {
		t.Errorf("room %+v (%v), want the slot as a holder", room, err)
	}
	x.exec("SELECT pg_drop_replication_slot('reports')")
	if err := w.Checkpoint(t.Context()); err != nil {
		t.Error(err)
	}
	await(t, w, guard.Go)
}

// When WAL retained by a slot fills the storage, the slot is reported, because a
// checkpoint frees nothing. Once it is gone, the storage guard is reported itself.
func TestSlotThatFillsTheStorage(t *testing.T) {
	t.Parallel()
	s := server(t, tight("max_wal_size", "1GB"))
	x := connect(t, s.DSN("postgres"), "")
	c := guard.Config{WALBacklog: levels(none, 40*megabyte, none)}
	c.Storage.Signal = levels(none, 1, none)
	c.Storage.Limit = 1 << 40
	w := watchAt(t, s, c)
	says(t, await(t, w, guard.Pause), "storage", "database and WAL take")
	x.exec("SELECT pg_create_physical_replication_slot('reports', true)", fill("a", 50))
	backlog := func(want guard.State) {
		t.Helper()
		until(t, w, "wal_backlog that says "+want.String(), func() bool { return reading(t, w, "wal_backlog").State == want })
	}
	backlog(guard.Pause)
	a := w.Advice("")
	if says(t, a, "wal_backlog", "the replication slot reports, which nothing reads, keeps"); a.Checkpoint {
		t.Error("a checkpoint is to give back what a slot keeps")
	}
	x.exec("SELECT pg_drop_replication_slot('reports')")
	backlog(guard.Go)
	a = w.Advice("")
	if says(t, a, "storage", "database and WAL take"); !a.Checkpoint {
		t.Error("no checkpoint is to give back what nobody keeps any more")
	}
}

// A reader that keeps up retains no WAL beyond a checkpoint's and does not limit a run. One
// that falls behind the last checkpoint does.
func TestSlotThatIsRead(t *testing.T) {
	t.Parallel()
	s := server(t, tight("max_wal_size", "1GB"))
	x := connect(t, s.DSN("postgres"), "")
	x.exec("SELECT pg_create_physical_replication_slot('reader', true)")
	replica := dbtest.Replica(t, s, "reader")
	connect(t, replica.DSN("postgres"), "").exec("ALTER SYSTEM SET primary_slot_name = 'reader'", "SELECT pg_reload_conf()")
	x = connect(t, s.DSN("postgres"), "")
	w := watchAt(t, s, guard.Config{WALBacklog: levels(none, 1<<40, none)})
	holders := func() []guard.Holder {
		room, err := w.Room(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return room.Holders
	}
	sent := func() (ok bool) {
		err := x.QueryRow(t.Context(), "SELECT active AND restart_lsn >= pg_current_wal_flush_lsn() FROM pg_replication_slots").Scan(&ok)
		return err == nil && ok
	}
	until(t, w, "reader that has all WAL", sent)
	x.exec("CHECKPOINT", fill("a", 5))
	if all := holders(); len(all) != 0 {
		t.Errorf("%+v, want that a reader that keeps up holds nothing", all)
	}
	if err := replica.Kill(); err != nil {
		t.Fatal(err)
	}
	until(t, w, "slot without a reader", func() bool {
		var idle bool
		err := x.QueryRow(t.Context(), "SELECT NOT active FROM pg_replication_slots").Scan(&idle)
		return err == nil && idle
	})
	x.exec(fill("b", 1))
	if all := holders(); len(all) != 1 || all[0].Name != "the replication slot reader (inactive)" {
		t.Errorf("%+v, want the slot whose reader is gone", all)
	}
}

// A slot that the server has given up retains nothing, and is reported.
func TestLostSlot(t *testing.T) {
	t.Parallel()
	s := server(t, tight("max_slot_wal_keep_size", "20MB"))
	x := connect(t, s.DSN("postgres"), "")
	x.exec("SELECT pg_create_physical_replication_slot('left', true)", fill("a", 80), "CHECKPOINT")
	w := watchAt(t, s, guard.Config{WALBacklog: levels(none, 200*megabyte, none)})
	await(t, w, guard.Go)
	var state string
	if err := x.QueryRow(t.Context(), "SELECT wal_status FROM pg_replication_slots").Scan(&state); err != nil || state != "lost" {
		t.Fatalf("the slot is %s (%v), want it lost", state, err)
	}
	strict := watchAt(t, s, guard.Config{WALBacklog: levels(none, 0, none)})
	says(t, await(t, strict, guard.Pause), "wal_backlog", "the replication slot left is lost and keeps nothing")
}

// A failing archiver retains WAL until it can archive.
func TestArchiver(t *testing.T) {
	t.Parallel()
	s := server(t, tight("archive_mode", "on", "archive_command", "/bin/true"))
	x := connect(t, s.DSN("postgres"), "")
	w := watchAt(t, s, guard.Config{WALBacklog: levels(none, 60*megabyte, none)})
	x.exec("CREATE TABLE t(id int)", "INSERT INTO t VALUES (1)", "SELECT pg_switch_wal()")
	until(t, w, "first segment in the archive", func() bool {
		var n int
		err := x.QueryRow(t.Context(), "SELECT archived_count FROM pg_stat_archiver").Scan(&n)
		return err == nil && n > 0
	})
	await(t, w, guard.Go)
	x.exec("ALTER SYSTEM SET archive_command = '/bin/false'", "SELECT pg_reload_conf()", fill("a", 100))
	says(t, await(t, w, guard.Pause), "wal_backlog", "the archiver")
	until(t, w, "name of the segment that fails", func() bool {
		room, err := w.Room(t.Context())
		return err == nil && len(room.Holders) > 0 && room.Holders[0].Bytes >= 60*megabyte &&
			len(room.Holders[0].Name) > len("the archiver, which fails at 0000")
	})
	until(t, w, "reason with it", func() bool { return contains(w.Advice("").Reason, "the archiver, which fails at 0000000") })
	x.exec("ALTER SYSTEM SET archive_command = '/bin/true'", "SELECT pg_reload_conf()")
	until(t, w, "archiver that has caught up", func() bool { return !contains(w.Advice("").Reason, "archiver") })
	x.exec("CHECKPOINT") // pg_wal shrinks only now
	await(t, w, guard.Go)
}

// WAL beyond max_wal_size counts, whatever retains it.
func TestDirectory(t *testing.T) {
	t.Parallel()
	s := server(t, tight("wal_keep_size", "160MB"))
	x := connect(t, s.DSN("postgres"), "")
	w := watchAt(t, s, guard.Config{WALBacklog: levels(none, 60*megabyte, none)})
	await(t, w, guard.Go)
	x.exec(fill("a", 120), "CHECKPOINT")
	rounds(t, w, 2)
	if a := w.Advice(""); a.State != guard.Go {
		t.Errorf("with as much as wal_keep_size: %+v, want go", a)
	}
	x.exec("ALTER SYSTEM SET wal_keep_size = 0", "SELECT pg_reload_conf()")
	a := await(t, w, guard.Pause)
	if says(t, a, "wal_backlog", "pg_wal is|larger than max_wal_size and wal_keep_size allow"); !a.Checkpoint {
		t.Error("no checkpoint is to give it back")
	}
	x.exec(fill("a", 1), "CHECKPOINT", fill("a", 20), "CHECKPOINT")
	await(t, w, guard.Go)
}

// A burst of WAL counts while it lasts; reaper's own WAL is reported separately.
func TestWALRate(t *testing.T) {
	t.Parallel()
	s := server(t, tight())
	x := connect(t, s.DSN("postgres"), "")
	fast := guard.WALRate{Signal: levels(none, 20*megabyte, none)}
	w := watchAt(t, s, guard.Config{WALRate: fast})
	fast.Own = true
	own := watchAt(t, s, guard.Config{WALRate: fast})
	await(t, w, guard.Go)
	await(t, own, guard.Go)
	end, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-end:
				return
			default:
				x.exec("SELECT pg_logical_emit_message(true, 'x', repeat('x', 10000000))")
			}
		}
	}()
	a := await(t, w, guard.Pause)
	close(end)
	<-ended
	says(t, a, "wal_rate", "the server writes|/s of WAL (pause at 20 MB/s)")
	await(t, w, guard.Go)
	if a := own.Advice(""); a.State != guard.Go {
		t.Errorf("while others write: %+v, want go of reaper's own rate", a)
	}
	a = until(t, own, "pause of reaper's rate", func() bool {
		own.Wrote(100 * megabyte)
		return own.Advice("").State == guard.Pause
	})
	says(t, a, "wal_rate", "reaper writes|/s of WAL (pause at 20 MB/s)")
	await(t, own, guard.Go)
}

// WAL counts since the last checkpoint, until the next one.
func TestCheckpoint(t *testing.T) {
	t.Parallel()
	s := server(t, map[string]string{"max_wal_size": "100MB", "autovacuum": "off"})
	x := connect(t, s.DSN("postgres"), "")
	w := watchAt(t, s, guard.Config{Checkpoint: levels(0.2, 0.3, none)})
	x.exec("CHECKPOINT")
	await(t, w, guard.Go)
	x.exec(fill("a", 40))
	says(t, await(t, w, guard.Pause), "checkpoint", "the WAL since the last checkpoint is|% of max_wal_size (pause at 30%)")
	if err := w.Checkpoint(t.Context()); err != nil {
		t.Fatal(err)
	}
	await(t, w, guard.Go)
}
