package restore_test

import (
	"testing"

	"github.com/reaperdb/reaper/restore"
)

// Roots that wait for a parent are tried again; nothing of their segment is counted twice.
func TestRestore_Orphans(t *testing.T) {
	t.Parallel()
	f := newFixture(t, "CREATE TABLE users (id int PRIMARY KEY); CREATE TABLE mails (id int PRIMARY KEY, owner int REFERENCES users, up int REFERENCES mails); "+
		"INSERT INTO users VALUES (1), (2); INSERT INTO mails VALUES (1, 1, NULL), (2, 2, NULL), (3, 1, NULL), (4, 1, 1), (5, 1, NULL)")
	o := f.copy("mails", nil, []part{{table: "mails", where: "id <> 1", key: "id"}})
	parent := f.copy("mails", nil, []part{{table: "mails", where: "id = 1", key: "id"}})
	f.Exec(t, "DELETE FROM mails")
	f.Exec(t, "DELETE FROM users WHERE id = 2")
	f.Exec(t, "INSERT INTO mails VALUES (5, NULL)")
	f.list(parent, 1, root("1"))
	f.list(o, 2, root("2"), root("3"), root("4"), root("5"))
	r, err := f.restore(restore.Options{})
	f.check(err)
	// 2 has no owner any more; 4 waits for 1, whose segment comes later; 5 is another.
	if r.Restored != 3 || r.Present != 0 || r.LeftCount != 2 || len(r.Left) != 2 || r.Segments != 2 {
		t.Errorf("report: %+v", r)
	}
}
