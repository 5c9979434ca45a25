package erasure_test

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/reaperdb/reaper/internal/dbtest"
)

// cascadeAll makes every foreign key ON DELETE CASCADE.
const cascadeAll = `DO $$ DECLARE k record; BEGIN
	FOR k IN SELECT conrelid::regclass AS child, conname, pg_get_constraintdef(oid) AS def FROM pg_constraint WHERE contype = 'f' AND confdeltype = 'a' LOOP
		EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I, ADD CONSTRAINT %I %s ON DELETE CASCADE', k.child, k.conname, k.conname, k.def);
	END LOOP; END $$`

// TestMail erases one organization of the mail service, with and without ON DELETE CASCADE, and
// compares every row with what one DELETE leaves where every key cascades.
func TestMail(t *testing.T) {
	t.Parallel()
	var setup []string
	for _, name := range []string{"schema", "fill", "no-action"} {
		data, err := os.ReadFile("../demo/mail/" + name + ".sql")
		if err != nil {
			t.Fatal(err)
		}
		setup = append(setup, strings.ReplaceAll(string(data), "{{n}}", "400"))
	}
	// Times differ from one database to the other.
	setup[1] = strings.ReplaceAll(setup[1], "now()", "timestamptz '2026-01-01 00:00Z'")
	copied := dbtest.New(t, setup[0]+setup[1])
	copied.Exec(t, cascadeAll)
	if n := copied.Exec(t, "DELETE FROM organizations WHERE id = 7"); n != 1 {
		t.Fatalf("the oracle has deleted %d organizations, want 1", n)
	}
	want := rows(t, copied)
	for name, db := range map[string]*dbtest.DB{
		"cascade":   dbtest.New(t, setup[0]+setup[1]),
		"no action": dbtest.New(t, setup...),
	} {
		if n := db.Int(t, "SELECT count(*) FROM outgoing_emails e JOIN domains d ON d.id = e.domain_id WHERE d.organization_id = 7"); n == 0 {
			t.Fatal("organization 7 has no mails")
		}
		conn := dbtest.Connect(t, db.DSN())
		text := "version: 1\ntenants: {table: organizations, key: id}\npolicies: [{name: x, table: organizations, age: x, tenant: none, retention: 1d}]\nerasure: {undecided: error}\n"
		p, problems := compile(t, conn, text)
		if found := errorsOf(problems); len(found) > 0 {
			t.Fatal(found)
		}
		if _, err := erase(t, conn, p, "7", 10); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, rows(t, db)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
