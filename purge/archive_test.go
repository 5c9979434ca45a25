package purge_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/archive"
	"github.com/reaperdb/reaper/deletion"
	"github.com/reaperdb/reaper/guard"
	"github.com/reaperdb/reaper/internal/dbtest"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/purge"
)

// steps is an archive whose steps a test takes part in. A hook that is nil does nothing; the error of
// one is that of the store.
type steps struct {
	deletion.Archive
	begun, spooled, copied, sent, deleted, listed func() error
}

func (s *steps) Begin(m archive.Manifest) (deletion.Segment, error) {
	segment, err := s.Archive.Begin(m)
	if err == nil {
		err = at(s.begun)
	}
	return &stepSegment{segment, s}, err
}

type stepSegment struct {
	deletion.Segment
	steps *steps
}

func at(step func() error) error {
	if step == nil {
		return nil
	}
	return step()
}

func (s *stepSegment) Table(t archive.Table) (io.Writer, error) {
	if err := at(s.steps.spooled); err != nil {
		return nil, err
	}
	return s.Segment.Table(t)
}

func (s *stepSegment) Send(ctx context.Context) (archive.Object, error) {
	if err := at(s.steps.copied); err != nil {
		return archive.Object{}, err
	}
	o, err := s.Segment.Send(ctx)
	if err == nil {
		err = at(s.steps.sent)
	}
	return o, err
}

func (s *steps) WriteList(ctx context.Context, o archive.Object, l archive.List) error {
	if err := at(s.deleted); err != nil {
		return err
	}
	err := s.Archive.WriteList(ctx, o, l)
	if err == nil {
		err = at(s.listed)
	}
	return err
}

// archiving is a bed whose policies have an archive.
type archiving struct {
	*bed
	folder  string
	steps   *steps
	initial map[archive.Name][]string
}

// mood is a shop with a table whose references are emptied, and a column of an enum.
const mood = shop + `;
CREATE TYPE mood AS ENUM ('good', 'bad');
ALTER TABLE parts ADD mood mood DEFAULT 'good';
CREATE TABLE notes (id int PRIMARY KEY, mail_id int REFERENCES mails ON DELETE SET NULL, part_id int DEFAULT 171 REFERENCES parts ON DELETE SET DEFAULT, text text);
CREATE INDEX ON notes (mail_id);
CREATE INDEX ON notes (part_id);
INSERT INTO notes SELECT n, n, n * 10 + 1, 'note ' || n FROM generate_series(1, 20) n`

func archivingBed(t *testing.T, schema, policy string) *archiving {
	t.Helper()
	policy = "archive: {url: 'file:///unused', encryption: none, keep: forever}\n" + strings.Replace(policy, "age: at,", "age: at, archive: true,", 1)
	return archived(t, prepare(t, schema, policy))
}

func archived(t *testing.T, b *bed) *archiving {
	t.Helper()
	a := &archiving{bed: b, folder: t.TempDir()}
	into, err := openArchive(a.folder)
	if err != nil {
		t.Fatal(err)
	}
	a.steps = &steps{Archive: into}
	a.runner.Archive = a.steps
	return a
}

func (a *archiving) tables() map[archive.Name]string {
	tables := map[archive.Name]string{}
	for _, name := range a.Texts(a.t, `SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition`) {
		tables[archive.Name{Schema: "public", Name: name}] = "public." + name
	}
	return tables
}

// see records all rows.
func (a *archiving) see() {
	a.t.Helper()
	var err error
	if a.initial, err = snapshot(a.t.Context(), a.Pool(a.t), a.tables()); err != nil {
		a.t.Fatal(err)
	}
}

// comesBack wants the rows that were seen: those left, and those on lists of the archive.
func (a *archiving) comesBack() {
	a.t.Helper()
	back, err := putBack(a.t.Context(), a.Pool(a.t), a.tables(), a.folder)
	if err != nil {
		a.t.Fatal(err)
	}
	if diff := cmp.Diff(a.initial, back); diff != "" {
		a.t.Errorf("rows before, and those that came back (-before +back):\n%s", diff)
	}
	a.count(`SELECT count(*) FROM reaper.segment WHERE list IS NOT NULL`, 0)
}

func (a *archiving) listed() (roots int) {
	a.t.Helper()
	objects, err := readObjects(a.folder)
	if err != nil {
		a.t.Fatal(err)
	}
	for _, o := range objects {
		for _, l := range o.lists {
			roots += len(l.Roots)
		}
	}
	return roots
}

func TestArchive(t *testing.T) {
	t.Parallel()
	a := archivingBed(t, mood, shopPolicy)
	a.see()
	a.purge().complete().rows(map[string]int64{"public.mails": 15, "public.parts": 45, "public.clicks": 45})
	a.count(`SELECT count(*) FROM notes WHERE mail_id IS NULL`, 15)
	a.count(`SELECT count(*) FROM notes WHERE part_id = 171 AND id < 17`, 15)
	if n := a.listed(); n != 15 {
		t.Errorf("%d roots are on lists", n)
	}
	a.comesBack()
}

// What changed after it was copied is not deleted by that copy.
func TestArchive_ChangedAfterTheCopy(t *testing.T) {
	t.Parallel()
	for name, sql := range map[string]string{
		"a dependent":            `UPDATE parts SET mood = 'bad' WHERE id = 11`,
		"a dependent, twice":     `UPDATE parts SET mood = 'bad' WHERE id = 11; UPDATE parts SET mood = 'good' WHERE id = 11`,
		"a new dependent":        `INSERT INTO parts VALUES (1000, 1)`,
		"a new leaf":             `INSERT INTO clicks (part_id) VALUES (11)`,
		"a dependent that left":  `UPDATE parts SET mail_id = 20 WHERE id = 11`,
		"a dependent that went":  `DELETE FROM clicks WHERE part_id = 11`,
		"a root":                 `UPDATE mails SET state = 'read' WHERE id = 1`,
		"a root that is younger": `UPDATE mails SET at = now() WHERE id = 1`,
		"a root that went":       `UPDATE notes SET mail_id = NULL WHERE mail_id = 1; DELETE FROM mails WHERE id = 1`,
		"a hold":                 `UPDATE orgs SET held = true WHERE id = 1`,
		"a new reference":        `INSERT INTO notes VALUES (1000, 1, NULL, 'new')`,
		"a reference":            `UPDATE notes SET mail_id = 2 WHERE id = 1`,
		"a label":                `ALTER TYPE mood RENAME VALUE 'good' TO 'fine'`,
		"a column":               `ALTER TABLE clicks ADD more text DEFAULT 'more'`,
		"a type":                 `ALTER TABLE notes ALTER text TYPE varchar`,
		"rows that moved":        `CLUSTER parts USING parts_pkey`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := archivingBed(t, mood, shopPolicy)
			var once sync.Once
			a.steps.sent = func() error {
				once.Do(func() {
					a.Exec(t, sql)
					a.before = a.sizes()
					a.see()
				})
				return nil
			}
			a.purge().complete()
			a.count(`SELECT count(*) FROM mails WHERE at < now() - interval '65 days'`, 0)
			if name != "a hold" {
				a.count(`SELECT count(*) FROM mails WHERE id <= 10 AND at < now() - interval '35 days'`, 0)
			}
			a.comesBack()
		})
	}
}

// A table that is rewritten has rows in the places of others, with the same xmin.
func TestArchive_Rewritten(t *testing.T) {
	t.Parallel()
	a := archivingBed(t, mood+`; TRUNCATE clicks; INSERT INTO clicks SELECT id, id FROM parts ORDER BY id`, shopPolicy)
	a.Exec(t, `VACUUM ANALYZE`)
	var once sync.Once
	a.steps.sent = func() error {
		once.Do(func() {
			a.Exec(t, `DELETE FROM clicks WHERE id = 11`)
			a.Exec(t, `VACUUM clicks`)
			a.Exec(t, `CLUSTER clicks USING clicks_pkey`) // each click moves into the place of the one before
			a.before = a.sizes()
			a.see()
		})
		return nil
	}
	a.purge().complete().rows(map[string]int64{"public.mails": 15, "public.parts": 45, "public.clicks": 44})
	a.count(`SELECT count(*) FROM clicks`, 15)
	a.comesBack()
}

// A note that only says something else, beside the reference that is emptied, is not copied again: it
// stays as it is.
func TestArchive_EmptiedRowsMayChange(t *testing.T) {
	t.Parallel()
	a := archivingBed(t, mood, shopPolicy)
	sends := 0
	a.steps.sent = func() error {
		if sends++; sends == 1 {
			a.Exec(t, `UPDATE notes SET text = 'changed' WHERE id = 1`)
			a.see()
		}
		return nil
	}
	a.runner.Connections = 1
	a.purge().complete()
	a.comesBack()
	if n := a.Int(t, `SELECT count(*) FROM reaper.segment`); n != sends {
		t.Errorf("%d segments were sent, and %d used", sends, n)
	}
}

// A store that fails for a while pauses the policy; one that fails on ends its run, with nothing
// deleted that was not copied.
func TestArchive_StoreAway(t *testing.T) {
	t.Parallel()
	a := archivingBed(t, mood, small(shopPolicy))
	a.see()
	fails := 3
	away := func() error {
		if fails--; fails >= 0 {
			return errors.New("no route to the store")
		}
		return nil
	}
	a.runner.Connections = 1
	a.steps.copied = away
	o := a.purge().complete()
	if o.one().PausedSeconds == 0 {
		t.Error("the policy was not paused")
	}
	a.comesBack()
}

func TestArchive_StoreGone(t *testing.T) {
	t.Parallel()
	a := archivingBed(t, mood, shopPolicy)
	a.see()
	a.steps.copied = func() error { return errors.New("no route to the store") }
	a.runner.MaxPause = 100 * time.Millisecond
	a.purge().is(purge.Incomplete, guard.Archive, "no route to the store")
	a.count(`SELECT count(*) FROM mails`, 20)
	a.steps.copied = nil
	a.purge().complete()
	a.comesBack()
}

// A list that the store does not take is written by the next run, before it deletes anything.
func TestArchive_ListsMissing(t *testing.T) {
	t.Parallel()
	a := archivingBed(t, mood, small(shopPolicy))
	a.see()
	a.steps.deleted = func() error { return errors.New("no route to the store") }
	a.runner.MaxPause = 100 * time.Millisecond
	a.purge().is(purge.Incomplete, "lists of deleted rows are missing", "no route to the store")
	if n := a.listed(); n != 0 {
		t.Fatalf("%d roots are on lists", n)
	}
	gone := 20 - a.Int(t, `SELECT count(*) FROM mails`)
	a.steps.deleted = nil
	var once sync.Once
	a.steps.copied = func() error {
		once.Do(func() {
			if n := a.listed(); n != gone {
				t.Errorf("%d of %d roots are on lists as the next run begins to delete", n, gone)
			}
		})
		return nil
	}
	a.purge().complete()
	a.comesBack()
}

// So it is if the policy has no archive any more.
func TestArchive_ListsOfAFormerArchive(t *testing.T) {
	t.Parallel()
	a := archivingBed(t, mood, small(shopPolicy))
	a.see()
	a.steps.deleted = func() error { return errors.New("no route to the store") }
	a.runner.MaxPause = 100 * time.Millisecond
	a.purge().is(purge.Incomplete, "lists of deleted rows are missing")
	a.policy = strings.Replace(a.policy, "archive: true,", "", 1)
	a.opts.MaxRows = 1
	a.purge().is(purge.Incomplete, "lists of deleted rows are missing")
	a.steps.deleted = nil
	a.purge()
	a.count(`SELECT count(*) FROM reaper.segment WHERE list IS NOT NULL`, 0)
	if n, gone := a.listed(), 20-a.Int(t, `SELECT count(*) FROM mails`); n == 0 || n >= gone {
		t.Errorf("%d roots are on lists, %d have gone", n, gone)
	}
}

// So it is where a gate refuses the run; but that does not wait for the store.
func TestArchive_ListsOfARefusedRun(t *testing.T) {
	t.Parallel()
	a := archivingBed(t, mood, small(shopPolicy))
	a.see()
	a.steps.deleted = func() error { return errors.New("no route to the store") }
	a.runner.MaxPause = 100 * time.Millisecond
	a.purge().is(purge.Incomplete, "lists of deleted rows are missing")
	gone := 20 - a.Int(t, `SELECT count(*) FROM mails`)
	a.runner.MaxPause, a.runner.Gate = time.Hour, refusing{}
	a.purge().is(purge.Refused, "not today", "lists of deleted rows are missing")
	a.steps.deleted = nil
	o := a.purge()
	o.is(purge.Refused, "not today")
	if n := a.listed(); n != gone || gone == 0 || strings.Contains(o.one().Reason, "lists") {
		t.Errorf("%d of %d roots are on lists; the reason is %q", n, gone, o.one().Reason)
	}
	a.count(`SELECT count(*) FROM mails`, 20-gone)
	a.runner.Gate = nil
	a.purge().complete()
	a.comesBack()
}

// refusing is a gate that refuses every run.
type refusing struct{ killingGate }

func (g refusing) Pass(context.Context, string, *plan.Plan) (purge.Passage, error) { return g, nil }

func (refusing) Refusal() string { return "not today" }

// A default that writes cannot be known before: that ends the policy's run, and is no server that is
// away. Where it is one from the beginning, check says so.
func TestArchive_ChangingDefault(t *testing.T) {
	t.Parallel()
	a := archivingBed(t, mood+`; CREATE SEQUENCE s START 171`, small(shopPolicy))
	a.see()
	var once sync.Once
	a.steps.sent = func() error {
		once.Do(func() { a.Exec(t, `ALTER TABLE notes ALTER part_id SET DEFAULT nextval('s')`) })
		return nil
	}
	a.runner.Connections, a.runner.Patience = 1, time.Hour
	a.purge().is(purge.Failed, `the default of public.notes."part_id" writes`, "constant default")
	a.comesBack()
	a.refuses("archive: true", "part_id", "not the same each time")
	a.Exec(t, `CREATE FUNCTION vague() RETURNS int LANGUAGE sql VOLATILE AS 'SELECT 171'; ALTER TABLE notes ALTER part_id SET DEFAULT vague()`)
	a.refuses("archive: true", "part_id", "not the same each time")
	a.Exec(t, `ALTER TABLE notes ALTER part_id SET DEFAULT 171`)
	a.purge().complete()
	a.comesBack()
}

// large is a root with more dependents than a batch may hold, some of which have more themselves.
const large = mood + `;
INSERT INTO parts SELECT 1000 + n, 7 FROM generate_series(1, 100) n;
INSERT INTO clicks (part_id) SELECT 1001 + n % 50 FROM generate_series(1, 200) n;
INSERT INTO clicks (part_id) SELECT 1001 FROM generate_series(1, 150) n;
INSERT INTO notes SELECT 100 + n, NULL, 1000 + n, 'note' FROM generate_series(1, 40) n`

var largePolicy = strings.Replace(shopPolicy, "age: at,", "age: at, limits: {rows: 10, total_rows: 60},", 1)

// A root with more dependents than a batch may hold is copied and deleted in pieces, and comes back.
func TestArchive_Pieces(t *testing.T) {
	t.Parallel()
	a := archivingBed(t, large, largePolicy)
	a.see()
	a.runner.Observer = watcher{batch: func(e purge.BatchEvent) {
		if e.Rows > 60 {
			t.Errorf("a batch has deleted %d rows", e.Rows)
		}
	}}
	a.purge().complete()
	a.count(`SELECT count(*) FROM mails`, 5)
	a.count(`SELECT count(*) FROM parts WHERE mail_id = 7`, 0)
	a.ledgerIsTrue()
	a.comesBack()
	a.restored("pieces")
}

// One that lives on after some of it is gone keeps the rest, and what is gone comes back.
func TestArchive_PieceOfALivingRoot(t *testing.T) {
	t.Parallel()
	a := archivingBed(t, large+`; UPDATE mails SET at = now() WHERE id <> 7`, largePolicy)
	sends := 0
	a.steps.sent = func() error {
		if sends++; sends == 3 {
			a.Exec(t, `UPDATE mails SET state = 'read', at = now() WHERE id = 7`)
		}
		return nil
	}
	before := a.Int(t, `SELECT count(*) FROM parts WHERE mail_id = 7`)
	a.see()
	a.purge().complete()
	mails, err := snapshot(t.Context(), a.Pool(t), map[archive.Name]string{publicName("mails"): "public.mails"})
	if err != nil {
		t.Fatal(err)
	}
	a.initial[publicName("mails")] = mails[publicName("mails")]
	if n := a.Int(t, `SELECT count(*) FROM parts WHERE mail_id = 7`); n == 0 || n > before || sends != 3 {
		t.Errorf("%d of %d parts are left after %d segments", n, before, sends)
	}
	a.comesBack()
	r, err := restoreAll(t.Context(), a.Pool(t), a.folder)
	if err != nil || !r.Complete() || r.RowsTotal == 0 {
		t.Fatalf("%+v, %v", r, err)
	}
	back, err := snapshot(t.Context(), a.Pool(t), a.tables())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(a.initial, back); diff != "" {
		t.Error(diff)
	}
}

// Where rows keep others, a root must be seen as a whole: what cannot be copied is named, and stays.
func TestArchive_TooLarge(t *testing.T) {
	t.Parallel()
	a := archivingBed(t, mood+`; CREATE TABLE bills (id int PRIMARY KEY, part_id bigint REFERENCES parts); CREATE INDEX ON bills (part_id)`,
		strings.TrimSuffix(largePolicy, "}")+", dependents: [{table: bills, action: keep}]}")
	a.Exec(t, `INSERT INTO parts SELECT 1000 + n, 7 FROM generate_series(1, 100) n`)
	a.see()
	o := a.purge()
	o.is(purge.Incomplete, "7: it has more dependents than a segment may hold")
	if strings.Contains(o.one().Reason, "trigger") {
		t.Errorf("the reason is %q", o.one().Reason)
	}
	a.count(`SELECT count(*) FROM mails`, 6)
	a.count(`SELECT count(*) FROM parts WHERE mail_id = 7`, 103)
	a.comesBack()
}

// The snapshot of a copy ends in time, however many statements it takes.
func TestArchive_SlowCopy(t *testing.T) {
	t.Parallel()
	a := archivingBed(t, shop+`;
CREATE FUNCTION dawdles(n int) RETURNS bool LANGUAGE plpgsql STABLE AS $$ BEGIN PERFORM pg_sleep(1.5); RETURN true; END $$;
CREATE FUNCTION fails(n int) RETURNS bool LANGUAGE plpgsql STABLE AS $$ BEGIN RAISE 'the snapshot is still there'; END $$;
CREATE TABLE a (id int PRIMARY KEY, up int);
CREATE TABLE b (id int PRIMARY KEY, up int);
CREATE TABLE c (id int PRIMARY KEY, up int);
INSERT INTO a VALUES (1, 1); INSERT INTO b VALUES (1, 1); INSERT INTO c VALUES (1, 1);
DELETE FROM mails WHERE id > 1`, shopPolicy[:len(shopPolicy)-1]+`, dependents: [
     {table: a, match: {up: id}, where: dawdles(id), action: delete},
     {table: b, parent: a, match: {up: id}, where: dawdles(id), action: delete},
     {table: c, parent: b, match: {up: id}, where: fails(id), action: delete}]}`)
	a.purge().is(purge.Incomplete, "1: copying it takes too long")
	a.count(`SELECT count(*) FROM mails`, 1)
}

// A root that changes whenever it was copied is named.
func TestArchive_AlwaysChanging(t *testing.T) {
	t.Parallel()
	a := archivingBed(t, mood, shopPolicy)
	a.steps.sent = func() error {
		a.Exec(t, `UPDATE parts SET mood = 'bad' WHERE id = 11`)
		return nil
	}
	a.purge().is(purge.Incomplete, "1: it changed, or was locked, each of the 3 times that it was copied")
	a.count(`SELECT count(*) FROM mails`, 6)
	a.see()
	a.steps.sent = nil
	a.purge().complete()
	a.count(`SELECT count(*) FROM mails`, 5)
}

// Rows that a trigger deletes besides were not copied.
func TestArchive_Trigger(t *testing.T) {
	t.Parallel()
	a := archivingBed(t, mood+`;
CREATE FUNCTION also() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN DELETE FROM clicks WHERE part_id = 201; RETURN NULL; END $$;
CREATE TRIGGER also AFTER DELETE ON parts FOR EACH ROW WHEN (OLD.id = 11) EXECUTE FUNCTION also()`, shopPolicy)
	a.see()
	a.purge().is(purge.Incomplete, "rows of public.clicks went that were not copied")
	a.count(`SELECT count(*) FROM clicks WHERE part_id = 201`, 1)
	a.comesBack()
}

// A process that dies after any step leaves nothing that the next one cannot go on with.
func TestArchive_Killed(t *testing.T) {
	t.Parallel()
	for _, step := range []string{"copied", "sent", "deleted", "listed"} {
		for _, nth := range []int{1, 2} {
			t.Run(fmt.Sprintf("%s %d", step, nth), func(t *testing.T) {
				t.Parallel()
				a := archivingBed(t, mood, small(shopPolicy))
				a.see()
				a.mark()
				plans := a.plans()
				ctx, kill := context.WithCancel(t.Context())
				n := 0
				die := func() error {
					if n++; n == nth {
						kill()
						return errors.New("killed")
					}
					return nil
				}
				switch step {
				case "copied":
					a.steps.copied = die
				case "sent":
					a.steps.sent = die
				case "deleted":
					a.steps.deleted = die
				case "listed":
					a.steps.listed = die
				}
				a.runner.Connections = 1
				if _, err := a.runner.Run(ctx, plans, a.opts); err != nil && !errors.Is(err, context.Canceled) {
					t.Fatal(err)
				}
				*a.steps = steps{Archive: a.steps.Archive}
				a.purge().complete()
				a.count(`SELECT count(*) FROM mails`, 5)
				a.ledgerIsTrue()
				a.comesBack()
			})
		}
	}
}

// Without an archive nothing of such a policy is deleted.
func TestArchive_None(t *testing.T) {
	t.Parallel()
	a := archivingBed(t, mood, shopPolicy)
	a.runner.Archive = nil
	a.purge().is(purge.Failed, "archive")
	a.count(`SELECT count(*) FROM mails`, 20)
}

// A copy that cannot be written down here pauses as well.
func TestArchive_NoSpool(t *testing.T) {
	t.Parallel()
	a := archivingBed(t, mood, shopPolicy)
	folder := t.TempDir()
	into, err := archive.Open(archive.Config{URL: "file://" + a.folder, Spool: folder})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(folder); err != nil {
		t.Fatal(err)
	}
	a.runner.Archive, a.runner.MaxPause = deletion.ArchiveIn(into), 50*time.Millisecond
	a.purge().is(purge.Incomplete, guard.Archive, "spooling")
	a.count(`SELECT count(*) FROM mails`, 20)
}

// What reaper grants prints is enough, and no more than is needed: rows that go are locked, and no
// check of a foreign key is skipped.
func TestArchive_Grants(t *testing.T) {
	t.Parallel()
	policy := strings.Replace(strings.Replace(estatePolicy, "age: at", "age: at\n    archive: true", 1), "total_rows: 50", "total_rows: 5000", 1)
	b := prepare(t, estate, "safety: {foreign_key_checks: proven}\narchive: {url: 'file:///unused', encryption: none, keep: forever}"+policy)
	role := b.Role(t, "reaper")
	b.Exec(t, `ANALYZE; REVOKE ALL ON SCHEMA public FROM public`)
	grants := strings.Join(b.grantsFor(role), "\n")
	if strings.Contains(grants, "session_replication_role") {
		t.Errorf("not needed: %s", grants)
	}
	b.Exec(t, grants)
	b.connect(b.As(role))
	b.Exec(t, `REVOKE UPDATE (id) ON app.clicks FROM `+role)
	b.refuses("UPDATE", "app.clicks")
	b.Exec(t, grants)
	a := archived(t, b)
	a.purge().complete()
	a.left(`SELECT id FROM app.roots`, "4") // part 3 belongs to it, and has a bill
	if n := a.listed(); n != 11 {
		t.Errorf("%d roots are on lists", n)
	}
}

func TestArchive_Refused(t *testing.T) {
	t.Parallel()
	a := archivingBed(t, mood+`; CREATE TABLE loose (mail_id int REFERENCES mails ON DELETE SET NULL); CREATE INDEX ON loose (mail_id)`, shopPolicy)
	a.refuses("archive: true", "public.loose", "primary key")
	a.Exec(t, `DROP TABLE loose; CREATE RULE odd AS ON DELETE TO clicks DO INSTEAD NOTHING`)
	a.refuses("archive: true", "rule odd")
}

// A reference without foreign key has no lock behind it: what came in after the copy is found by
// comparing.
func TestArchive_Match(t *testing.T) {
	t.Parallel()
	for name, sql := range map[string]string{
		"deleted": `INSERT INTO marks VALUES (100, 1, 'mail'), (101, 1, 'other')`,
		"emptied": `INSERT INTO hints VALUES (100, 2)`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := archivingBed(t, shop+`;
CREATE TABLE marks (id int PRIMARY KEY, mail bigint, kind text);
CREATE INDEX ON marks (mail);
INSERT INTO marks SELECT n, n, 'mail' FROM generate_series(1, 20) n;
CREATE TABLE hints (id int PRIMARY KEY, mail bigint);
CREATE INDEX ON hints (mail);
INSERT INTO hints SELECT n, n FROM generate_series(1, 20) n`, shopPolicy[:len(shopPolicy)-1]+`,
     dependents: [{table: marks, match: {mail: id}, where: kind = 'mail', action: delete}, {table: hints, match: {mail: id}, action: nullify}]}`)
			var once sync.Once
			a.steps.sent = func() error {
				once.Do(func() {
					a.Exec(t, sql)
					a.before = a.sizes()
					a.see()
				})
				return nil
			}
			a.purge().complete()
			a.count(`SELECT count(*) FROM marks WHERE kind = 'mail'`, 5)
			a.count(`SELECT count(*) FROM hints WHERE mail IS NOT NULL`, 5)
			a.comesBack()
		})
	}
}

// schema.sql and the files of a segment need no more than an empty database.
func TestArchive_SchemaSQL(t *testing.T) {
	t.Parallel()
	a := archivingBed(t, shop+`;
CREATE SCHEMA "Odd.Types";
CREATE TYPE "Odd.Types"."Mood" AS ENUM ('it''s good', 'bad');
CREATE DOMAIN "Odd.Types".short AS varchar(9) CHECK (VALUE <> 'never');
CREATE TYPE "Odd.Types".pair AS ("One" "Odd.Types"."Mood", two numeric(9, 2)[]);
CREATE TYPE "Odd.Types".span AS RANGE (SUBTYPE = numeric);
CREATE EXTENSION citext SCHEMA "Odd.Types";
ALTER TABLE mails ADD mood "Odd.Types"."Mood"[] DEFAULT '{bad,NULL}', ADD short "Odd.Types".short DEFAULT E'\t\\N', ADD pair "Odd.Types".pair DEFAULT '("it''s good",{1.5})',
  ADD span "Odd.Types".span DEFAULT '[1,2)', ADD spans "Odd.Types".span_multirange DEFAULT '{[1,2)}', ADD c "Odd.Types".citext DEFAULT '', ADD f float8 DEFAULT 0.1, ADD n float8 DEFAULT 'NaN', ADD i interval DEFAULT '1 mon -3 days',
  ADD t timestamptz DEFAULT 'infinity', ADD b bytea DEFAULT '\x00ff', ADD j jsonb DEFAULT '{"a": "\n\\"}', ADD r regclass DEFAULT 'pg_class', ADD m money DEFAULT 12.5, ADD z text,
  ADD twice int GENERATED ALWAYS AS (id * 2) STORED`, shopPolicy)
	ctx := t.Context()
	a.see()
	a.purge().complete()
	objects, err := readObjects(a.folder)
	if err != nil || len(objects) == 0 {
		t.Fatalf("%d objects, %v", len(objects), err)
	}
	empty := dbtest.New(t)
	conn, err := pgx.Connect(ctx, empty.DSN())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := conn.Close(context.WithoutCancel(ctx)); err != nil {
			t.Error(err)
		}
	}()
	for i, o := range objects {
		if i == 0 {
			if _, err := conn.Exec(ctx, string(o.files["schema.sql"])); err != nil {
				t.Fatalf("%v\n%s", err, o.files["schema.sql"])
			}
		}
		for _, f := range o.Tables {
			var names []string
			for _, c := range f.Columns {
				names = append(names, pgx.Identifier{c.Name}.Sanitize())
			}
			copying := "COPY " + pgx.Identifier{f.Schema, f.Name.Name}.Sanitize() + " (" + strings.Join(names, ", ") + ") FROM STDIN"
			if _, err := conn.PgConn().CopyFrom(ctx, bytes.NewReader(o.files[f.File]), copying); err != nil {
				t.Fatalf("%s: %v", copying, err)
			}
		}
	}
	for name, was := range a.initial {
		if name.Name == "orgs" || name.Name == "projects" {
			continue
		}
		var loaded []string
		rows, err := conn.Query(ctx, `SELECT (x.*)::text FROM public.`+name.Name+` x`)
		if err == nil {
			loaded, err = pgx.CollectRows(rows, pgx.RowTo[string])
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range loaded {
			if !slices.Contains(was, row) {
				t.Errorf("%s was loaded into %s, and was not there before", row, name.Name)
			}
		}
		if want := len(was) - a.Int(t, `SELECT count(*) FROM `+name.Name); len(loaded) != want {
			t.Errorf("%d rows of %s were loaded, want %d", len(loaded), name.Name, want)
		}
	}
}
