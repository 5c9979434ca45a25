package purge

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/token"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/reaperdb/reaper/deletion"
	"github.com/reaperdb/reaper/internal/gosource"
	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/preview"
)

// Every named error of the package.
var sentinels = map[string]error{
	"errBusy": errBusy, "errPausedByHand": errPausedByHand, "errGuarded": errGuarded, "errHalted": errHalted,
	"errOverflow": deletion.ErrOverflow, "errKept": deletion.ErrKept, "errStillReferenced": deletion.ErrStillReferenced, "errInterfered": deletion.ErrInterfered,
	"errChanged": deletion.ErrChanged, "errUnproven": deletion.ErrUnproven, "errSlow": deletion.ErrSlow,
	"errFacts": plan.ErrSchemaChanged, "errReplicaRole": plan.ErrReplicaRole, "errWrites": pg.ErrWrites, "errDefault": deletion.ErrDefault,
	"ErrTenants": preview.ErrTenants, "errNoTenants": preview.ErrNoTenants, "errKeyTwice": preview.ErrKeyTwice, "errLongKey": preview.ErrLongKey,
	"errOneConnection": errOneConnection, "errCrowded": errCrowded, "errMoved": errMoved,
	"errMaxDuration": errMaxDuration, "errArchive": errArchive,
}

// The situations in which an error can occur: those of a batch, and others.
var situations = []struct {
	name string
	of   attempt
}{
	{"many", attempt{roots: 8, size: 20, options: deletion.Options{Method: deletion.Cascade}}},
	{"many, locked, counted", attempt{roots: 8, size: 20, stepwise: true, options: deletion.Options{Method: deletion.Closure, LockRoots: true, LockDependents: true}}},
	{"many, proven", attempt{roots: 8, size: 20, options: deletion.Options{Method: deletion.Proven, LockRoots: true}}},
	{"one", attempt{roots: 1, size: 20, options: deletion.Options{Method: deletion.Cascade}}},
	{"one, proven", attempt{roots: 1, size: 20, options: deletion.Options{Method: deletion.Proven, LockRoots: true}}},
	{"one, locked, counted", attempt{roots: 1, size: 20, stepwise: true, options: deletion.Options{Method: deletion.Closure, LockRoots: true, LockDependents: true}}},
	{"one, again", attempt{try: 1, roots: 1, size: 20, stepwise: true, options: deletion.Options{Method: deletion.Closure, LockRoots: true, LockDependents: true}}},
	{"one, for the last time", attempt{try: retries, roots: 1, size: 20, stepwise: true, options: deletion.Options{Method: deletion.Closure, LockRoots: true, LockDependents: true}}},
	{"drain", attempt{roots: 1, size: 20, options: deletion.Options{Method: deletion.Drain, LockRoots: true, LockDependents: true}}},
	{"drain, again", attempt{try: 1, roots: 1, size: 20, options: deletion.Options{Method: deletion.Drain, LockRoots: true, LockDependents: true}}},
	{"drain, for the last time", attempt{try: retries, roots: 1, size: 20, options: deletion.Options{Method: deletion.Drain, LockRoots: true, LockDependents: true}}},
	{"many tenants, one of them named", attempt{tenants: 3, roots: 8, size: 20, options: deletion.Options{Method: deletion.Cascade}}},
	{"many tenants", attempt{tenants: 3, roots: 8, size: 20, options: deletion.Options{Method: deletion.Proven, LockRoots: true}}},
	{"many tenants, together", attempt{tenants: 3, roots: 8, size: 20, options: deletion.Options{Method: deletion.Proven, LockRoots: true, Together: true}}},
}

// named is the situation in which an error names its tenant.
const named = "many tenants, one of them named"

// String is a decision as written in the table: the action and its change, and with + what
// precedes it: notifying the observer (notify), logging (log), a delay (backoff), a new size,
// and counting before deleting from now on (count).
func (d decision) String() string {
	text := string(d.action)
	if d.change != noChange {
		text += ", " + string(d.change)
	}
	for _, x := range []struct {
		is   bool
		name string
	}{{d.notify, "notify"}, {d.log, "log"}, {d.backoff, "backoff"}, {d.countFirst, "count"}, {d.size != 20, fmt.Sprintf("size %d", d.size)}} {
		if x.is {
			text += " +" + x.name
		}
	}
	return text
}

// everywhere is the same decision in all situations of a batch.
func everywhere(want string) (all []string) {
	return slices.Repeat([]string{want}, len(situations))
}

// kinds are the kinds of errors and their decisions, one per situation.
var kinds = []struct {
	errors []string // names of sentinels, or SQLSTATEs
	want   []string
	// others are the decisions where a server is waited for, and after a COMMIT.
	server, commit action
}{
	{
		errors: []string{"errBusy"},
		want:   everywhere("leave, busy"),
		server: giveUp, commit: resolveCommit,
	},
	{
		errors: []string{"errPausedByHand"},
		want:   everywhere("await resume"),
		server: giveUp, commit: resolveCommit,
	},
	{
		errors: []string{"errGuarded"},
		want:   everywhere("await guards"),
		server: giveUp, commit: resolveCommit,
	},
	{
		errors: []string{"errKept"},
		want: []string{
			"split", "split", "split",
			"leave", "leave", "leave", "leave", "leave",
			"leave", "leave", "leave",
			"isolate tenant +notify +log", "split tenants +notify +log", "retry, separately +notify +log",
		},
		server: giveUp, commit: giveUp,
	},
	{
		errors: []string{"errOverflow"},
		want: []string{
			"retry, count first +notify +count +size 4", "split +notify +count +size 4", "split +notify +size 4",
			"retry, count first +notify +count +size 1", "drain +notify +size 1", "drain +notify +count +size 1", "drain +notify +count +size 1", "drain +notify +count +size 1",
			"fail policy", "fail policy", "fail policy", // a drain handles it earlier
			"split tenants +notify +log +size 4", "split tenants +notify +log +size 4", "split tenants +notify +log +size 4",
		},
		server: giveUp, commit: resolveCommit,
	},
	{ // rows that cannot be deleted
		errors: []string{"errStillReferenced", "errInterfered", "23505", "22012", "P0001", "55006", "57000", "58000", "XX000", "XX001", "raised 42501", "raised 55000"},
		want: []string{
			"split +notify +log +size 10", "split +notify +log +size 10", "split +notify +log +size 10",
			"fail tenant +notify +log", "fail tenant +notify +log", "fail tenant +notify +log", "fail tenant +notify +log", "fail tenant +notify +log",
			"fail tenant", "fail tenant", "fail tenant",
			"isolate tenant +notify +log", "split tenants +notify +log", "retry, separately +notify +log",
		},
		server: giveUp, commit: giveUp,
	},
	{ // a new reference to the rows, or the rows changed
		errors: []string{"errChanged"},
		want: []string{
			"retry, lock dependents +notify +log", "split +notify +log +backoff +size 10", "retry, lock dependents +notify +log",
			"retry, lock dependents +notify +log", "retry, lock dependents +notify +log", "retry +notify +log +backoff", "leave, busy +notify +log", "leave, busy +notify +log",
			"retry +notify +backoff", "leave, busy", "leave, busy",
			"isolate tenant +notify +log", "split tenants +notify +log", "retry, separately +notify +log",
		},
		server: giveUp, commit: giveUp,
	},
	{
		errors: []string{"23503", "23001"},
		want: []string{
			"retry, lock dependents +notify +log", "split +notify +log +backoff +size 10", "retry, lock dependents +notify +log",
			"retry, lock dependents +notify +log", "retry, lock dependents +notify +log", "retry +notify +log +backoff", "retry +notify +log +backoff", "fail tenant +notify +log",
			"retry +notify +backoff", "retry +notify +backoff", "fail tenant",
			"isolate tenant +notify +log", "split tenants +notify +log", "retry, separately +notify +log",
		},
		server: giveUp, commit: giveUp,
	},
	{ // another transaction has a lock
		errors: []string{"55P03"},
		want: []string{
			"retry, lock roots +notify +log", "split +notify +log +backoff +size 10", "split +notify +log +backoff +size 10",
			"retry, lock roots +notify +log", "retry +notify +log +backoff", "retry +notify +log +backoff", "leave, busy +notify +log", "leave, busy +notify +log",
			"retry +notify +backoff", "leave, busy", "leave, busy",
			"isolate tenant +notify +log", "split tenants +notify +log", "retry, separately +notify +log",
		},
		server: giveUp, commit: giveUp,
	},
	{
		errors: []string{"40P01"},
		want: []string{
			"split +notify +log +backoff +size 10", "split +notify +log +backoff +size 10", "split +notify +log +backoff +size 10",
			"retry +notify +log +backoff", "retry +notify +log +backoff", "retry +notify +log +backoff", "leave, busy +notify +log", "leave, busy +notify +log",
			"retry +notify +backoff", "leave, busy", "leave, busy",
			"isolate tenant +notify +log", "split tenants +notify +log", "retry, separately +notify +log",
		},
		server: giveUp, commit: giveUp,
	},
	{
		errors: []string{"40001"},
		want: []string{
			"split +notify +log +backoff +size 10", "split +notify +log +backoff +size 10", "split +notify +log +backoff +size 10",
			"retry +notify +log +backoff", "retry +notify +log +backoff", "retry +notify +log +backoff", "retry +notify +log +backoff", "fail tenant +notify +log",
			"retry +notify +backoff", "retry +notify +backoff", "fail tenant",
			"isolate tenant +notify +log", "split tenants +notify +log", "retry, separately +notify +log",
		},
		server: giveUp, commit: giveUp,
	},
	{ // too slow
		errors: []string{"57014"},
		want: []string{
			"split, count first +notify +log +backoff +count +size 10", "split +notify +log +backoff +size 10", "split +notify +log +backoff +size 10",
			"retry, count first +notify +log +backoff +count", "retry, ordinary checks +notify", "retry +notify +log +backoff", "retry +notify +log +backoff", "fail tenant +notify +log",
			"retry +notify +backoff", "retry +notify +backoff", "fail tenant",
			"isolate tenant +notify +log", "split tenants +notify +log", "split tenants +notify +log +size 10",
		},
		server: giveUp, commit: giveUp,
	},
	{ // proven method only
		errors: []string{"errSlow"},
		want: []string{
			"split +notify +log +backoff +size 10", "split +notify +log +backoff +size 10", "split +notify +log +backoff +size 10",
			"retry +notify +log +backoff", "retry, ordinary checks +notify", "retry +notify +log +backoff", "retry +notify +log +backoff", "fail tenant +notify +log",
			"retry +notify +backoff", "retry +notify +backoff", "fail tenant",
			"split tenants +notify +log +size 10", "split tenants +notify +log +size 10", "split tenants +notify +log +size 10",
		},
		server: giveUp, commit: giveUp,
	},
	{
		errors: []string{"errUnproven"},
		want: []string{
			"split +notify +log +backoff +size 10", "split +notify +log +backoff +size 10", "retry, ordinary checks +notify",
			"retry +notify +log +backoff", "retry, ordinary checks +notify", "retry +notify +log +backoff", "retry +notify +log +backoff", "fail tenant +notify +log",
			"retry +notify +backoff", "retry +notify +backoff", "fail tenant",
			"isolate tenant +notify +log", "split tenants +notify +log", "retry, separately +notify +log",
		},
		server: giveUp, commit: giveUp,
	},
	{ // a trigger changed a row about to be deleted
		errors: []string{"27000"},
		want: []string{
			"retry, table by table +notify", "fail policy", "retry, table by table +notify",
			"retry, table by table +notify", "retry, table by table +notify", "fail policy", "fail policy", "fail policy",
			"fail policy", "fail policy", "fail policy",
			"isolate tenant +notify +log", "split tenants +notify +log", "retry, separately +notify +log",
		},
		server: giveUp, commit: giveUp,
	},
	{ // the schema or the role
		errors: []string{"errReplicaRole", "errWrites", "errDefault", "42501", "42P01", "42703", "55000", "0A000"},
		want:   everywhere("fail policy"),
		server: giveUp, commit: giveUp,
	},
	{ // the plan
		errors: []string{"errFacts"},
		want:   everywhere("stop policy"),
		server: giveUp, commit: giveUp,
	},
	{ // the server, or the connection to it
		errors: []string{
			"57P01", "57P02", "57P03", "57P04", "57P05", "25P03", "25006", "58030", "08006", "53100", "53300", "raised 53200", "raised 08006",
			"a lost connection", "a closed pool", "an ended context",
		},
		want:   everywhere("fail policy"),
		server: awaitServer, commit: resolveCommit,
	},
	{ // of batches of many tenants alone
		errors: []string{"errCrowded"},
		want:   append(slices.Repeat([]string{"fail policy"}, len(situations)-3), slices.Repeat([]string{"split tenants +notify +log"}, 3)...),
		server: giveUp, commit: resolveCommit,
	},
	{ // not waited for, since the run is stopping
		errors: []string{"errArchive", "errHalted"},
		want:   everywhere("fail policy"),
		server: giveUp, commit: resolveCommit,
	},
	{ // other steps of a run, not batches: handled like a lost connection
		errors: []string{
			"ErrTenants", "errNoTenants", "errKeyTwice", "errLongKey", "errOneConnection", "errMoved",
			"errMaxDuration",
		},
		want:   everywhere("fail policy"),
		server: awaitServer, commit: resolveCommit,
	},
}

// kind makes an error from its name in the table.
func kind(name string) error {
	switch name {
	case "a lost connection":
		return &pgconn.ConnectError{}
	case "a closed pool":
		return errors.New("closed pool")
	case "an ended context":
		return context.DeadlineExceeded
	}
	if err := sentinels[name]; err != nil {
		return err
	}
	if code, raised := strings.CutPrefix(name, "raised "); raised {
		return &pgconn.PgError{Code: code, Routine: raisedRoutine}
	}
	return &pgconn.PgError{Code: name}
}

func TestDecide(t *testing.T) {
	t.Parallel()
	for _, k := range kinds {
		for _, name := range k.errors {
			err := fmt.Errorf("deleting from public.mails: %w", kind(name))
			for i, s := range situations {
				err := err
				if s.name == named {
					err = &deletion.TenantError{Tenant: &plan.TenantCutoff{}, Err: err}
				}
				if got := decide(err, s.of).String(); got != k.want[i] {
					t.Errorf("%s, %s: %q, want %q", name, s.name, got, k.want[i])
				}
			}
			for what, x := range map[string][2]action{
				"server": {decideServer(err, false, 0), k.server}, "commit": {decideCommit(err), k.commit},
			} {
				if x[0] != x[1] {
					t.Errorf("%s, %s: %q, want %q", name, what, x[0], x[1])
				}
			}
		}
	}
}

// Whatever goes wrong with a batch of a policy with an archive, it goes on in that way: in any other,
// rows would go that were not copied.
func TestDecide_Archived(t *testing.T) {
	t.Parallel()
	one, again, last, many, tenants := attempt{roots: 1}, attempt{roots: 1, try: 1}, attempt{roots: 1, try: copyTries - 1}, attempt{roots: 8}, attempt{roots: 8, tenants: 3}
	for _, c := range []struct {
		err  error
		of   attempt
		want string
	}{
		{deletion.ErrChanged, one, "retry +notify +log +backoff"},
		{deletion.ErrChanged, again, "retry +notify +log +backoff"},
		{deletion.ErrChanged, last, "leave uncopied +notify +log"},
		{deletion.ErrChanged, many, "split +notify +log +backoff +size 10"},
		{deletion.ErrChanged, tenants, "split tenants +notify +log"},
		{deletion.ErrSlow, last, "leave uncopied +notify +log"},
		{deletion.ErrSlow, many, "split +notify +log +backoff +size 10"},
		{deletion.ErrSlow, tenants, "split tenants +notify +log +size 10"},
		{kind("57014"), many, "split +notify +log +backoff +size 10"},
		{kind("55P03"), last, "leave uncopied +notify +log"},
		{kind("23503"), many, "split +notify +log +backoff +size 10"},
		{deletion.ErrOverflow, one, "leave uncopied"},
		{deletion.ErrOverflow, many, "split +notify +count +size 4"},
		{deletion.ErrInterfered, one, "fail tenant +notify +log"},
		{kind("27000"), many, "retry, table by table +notify"},
		{plan.ErrSchemaChanged, many, "stop policy"},
	} {
		c.of.size, c.of.options = 20, archiving
		if got := decide(c.err, c.of).String(); got != c.want {
			t.Errorf("%v with %d roots, try %d: %q, want %q", c.err, c.of.roots, c.of.try, got, c.want)
		}
	}
}

// A root that is too large is divided, where that may be, and its pieces are made smaller until they fit
// into a segment.
func TestDecidePieces(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		of     attempt
		action action
		piece  int
	}{
		{attempt{divides: true, options: archiving}, drainRoot, 0},
		{attempt{options: archiving}, leaveUncopied, 0},
		{attempt{divides: true, piece: 60, options: archivingPieces}, retryBatch, 30},
		{attempt{divides: true, piece: 1, options: archivingPieces}, leaveUncopied, 0},
	} {
		c.of.roots, c.of.tenants, c.of.size = 1, 1, 20
		if d := decide(deletion.ErrOverflow, c.of); d.action != c.action || d.piece != c.piece {
			t.Errorf("%+v: %+v, want %s with %d rows", c.of, d, c.action, c.piece)
		}
	}
}

// Retries come to an end.
func TestDecideEnds(t *testing.T) {
	t.Parallel()
	lost := kind("08006")
	for name, got := range map[string]action{
		"a context that has ended":       decideServer(lost, true, 0),
		"a run that was to end long ago": decideServer(lost, false, haltTimeout+time.Second),
	} {
		if got != giveUp {
			t.Errorf("%s: %s", name, got)
		}
	}
	if got := decideServer(lost, false, haltTimeout); got != awaitServer {
		t.Errorf("a run that is to end: %s", got)
	}
}

// The table has every named error of the package, and every SQLSTATE that it distinguishes.
func TestDecideKnowsEveryError(t *testing.T) {
	t.Parallel()
	listed := map[string]bool{}
	for _, k := range kinds {
		for _, name := range k.errors {
			if listed[name] {
				t.Errorf("%s is twice in the table", name)
			}
			listed[name] = true
		}
	}
	for _, name := range append(namedErrors(t), slices.Collect(maps.Keys(sentinels))...) {
		if !listed[name] || sentinels[name] == nil {
			t.Errorf("%s is not in the table", name)
		}
	}
	for _, file := range []string{"errors.go", "retry.go"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, code := range regexp.MustCompile(`"([0-9]{2}[0-9A-Z]{0,3})"`).FindAllStringSubmatch(string(text), -1) {
			if !slices.ContainsFunc(slices.Collect(maps.Keys(listed)), func(name string) bool { return strings.HasPrefix(name, code[1]) }) {
				t.Errorf("SQLSTATE %s of %s is not in the table", code[1], file)
			}
		}
	}
}

// namedErrors are the package's variables with names of errors.
func namedErrors(t *testing.T) (names []string) {
	t.Helper()
	_, files, _ := gosource.Read(t, "dial_other.go")
	for _, file := range files {
		for _, d := range file.Decls {
			g, is := d.(*ast.GenDecl)
			if !is || g.Tok != token.VAR {
				continue
			}
			for _, s := range g.Specs {
				for _, id := range s.(*ast.ValueSpec).Names {
					if strings.HasPrefix(strings.ToLower(id.Name), "err") {
						names = append(names, id.Name)
					}
				}
			}
		}
	}
	return names
}

// A loop in the server that takes too long is divided until few tenants are left, and then redone
// tenant by tenant: the slow one is named, and stays by itself for the rest of the run.
func TestDecide_SlowLoop(t *testing.T) {
	slow := &pgconn.PgError{Code: "57014"}
	for tenants, want := range map[int]string{
		2: "retry, separately +notify +log +size 10", 3: "retry, separately +notify +log +size 10",
		4: "split tenants +notify +log +size 10", 300: "split tenants +notify +log +size 10",
	} {
		a := attempt{tenants: tenants, roots: 300, size: 20, options: deletion.Options{Method: deletion.Cascade, Together: true}}
		if got := decide(slow, a).String(); got != want {
			t.Errorf("%d tenants: %s, want %s", tenants, got, want)
		}
	}
}
