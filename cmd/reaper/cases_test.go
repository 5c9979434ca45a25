package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"golang.org/x/tools/txtar"

	"github.com/reaperdb/reaper/internal/dbtest"
)

// Each archive in testdata/cases is a small database with something unusual
// about it, and what has to come out there. One case alone, or one kind:
//
//	go test -run 'TestCases/26-' ./cmd/reaper
//
// The head of an archive says why the values in it are right. Its files:
//
//	schema.sql    schema and rows, loaded as superuser into an empty database
//	reaper.yaml   the policy file
//	steps         what is done (cases_steps_test.go); absent: reaper purge --yes
//	expect        what has to hold; several such files are alternatives
//	roles         names, one a line: ${NAME} is a role that may log in
//	alone         why no other test may run on the server meanwhile
//	versions      "18" or "14-17": the servers that can have such a database
//
// An expect file has one condition a line:
//
//	exit: 0 3             the last reaper command ended with one of these codes
//	exit NAME: 2          so did the one of that name, or of that subcommand
//	says: TEXT            stdout and stderr of all commands contain TEXT
//	never: TEXT           they do not
//	noline: REGEXP        no line of it matches
//	atmost: 2 TEXT        they contain it at most so often
//	rows: QUERY => VALUE  the query returns this one value
//
// Two conditions hold in every case: no foreign key dangles, and no byte that
// drives a terminal is printed.
func TestCases(t *testing.T) {
	t.Parallel()
	for name, c := range parseCases(t) {
		if c.alone == "" {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				runCase(t, c, (*dbtest.DB).DSN)
			})
		}
	}
}

// TestCasesAlone runs the archives that other tests on the same server would disturb. Their file
// "alone" gives the reason.
func TestCasesAlone(t *testing.T) {
	for name, c := range parseCases(t) {
		if c.alone != "" {
			t.Run(name, func(t *testing.T) { runCase(t, c, (*dbtest.DB).DSN) })
		}
	}
}

// parseCases reads all archives, by name.
func parseCases(t *testing.T) map[string]*testCase {
	t.Helper()
	files, err := filepath.Glob("testdata/cases/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	cases := map[string]*testCase{}
	for _, file := range files {
		cases[strings.TrimSuffix(filepath.Base(file), ".txtar")] = parseCase(t, file)
	}
	return cases
}

// testCase is one archive.
type testCase struct {
	schema, policy, steps string
	roles                 []string
	versions, alone       string
	files                 map[string]string // all others, for the step "file"
	alternatives          []string
}

func parseCase(t *testing.T, path string) *testCase {
	t.Helper()
	archive, err := txtar.ParseFile(path)
	if err != nil {
		t.Fatal(err)
	}
	c := &testCase{steps: "reaper purge --yes", files: map[string]string{}}
	for _, f := range archive.Files {
		text := string(f.Data)
		switch f.Name {
		case "schema.sql":
			c.schema = text
		case "reaper.yaml":
			c.policy = text
		case "steps":
			c.steps = text
		case "expect":
			c.alternatives = append(c.alternatives, text)
		case "roles":
			c.roles = strings.Fields(text)
		case "versions":
			c.versions = strings.TrimSpace(text)
		case "alone":
			c.alone = text
		default:
			c.files[f.Name] = text
		}
	}
	if c.schema == "" || c.policy == "" || len(c.alternatives) == 0 {
		t.Fatalf("%s: a case needs schema.sql, reaper.yaml and expect", path)
	}
	return c
}

// existsOn reports whether a server of this major version can have the case's database.
func (c *testCase) existsOn(t *testing.T, major int) bool {
	t.Helper()
	if c.versions == "" {
		return true
	}
	from, to, isRange := strings.Cut(c.versions, "-")
	first, err := strconv.Atoi(from)
	if err != nil {
		t.Fatalf("versions: %v", err)
	}
	last := 1 << 10
	if isRange {
		if last, err = strconv.Atoi(to); err != nil {
			t.Fatalf("versions: %v", err)
		}
	}
	return first <= major && major <= last
}

// runCase loads the database, runs the steps and compares; dsn is where reaper connects.
func runCase(t *testing.T, c *testCase, dsn func(*dbtest.DB) string) {
	t.Helper()
	db := dbtest.New(t)
	if major := db.Int(t, `SELECT current_setting('server_version_num')::int / 10000`); !c.existsOn(t, major) {
		t.Logf("PostgreSQL %d cannot have such a database; %s can", major, c.versions)
		return
	}
	r := newCaseRun(t, db, c)
	r.load()
	r.dsn = dsn(db)
	r.all(c.steps)
	r.compare(c.alternatives)
	r.noOrphans()
	r.noControlBytes()
	if t.Failed() {
		t.Logf("printed:\n%s", tail(r.printed.String(), 40))
	}
}

// load runs the schema on its own connection, whose settings end with it.
func (r *caseRun) load() {
	r.t.Helper()
	schema := r.schema
	if strings.Contains(schema, "wait_for_gate") {
		schema = gates + schema
	}
	conn := dbtest.Connect(r.t, r.db.DSN())
	defer conn.Close(context.WithoutCancel(r.t.Context())) //nolint:errcheck // a test's own
	_, err := conn.PgConn().Exec(r.t.Context(), r.expand(schema)).ReadAll()
	var pg *pgconn.PgError
	if errors.As(err, &pg) && missingPart.MatchString(pg.Message) {
		r.t.Fatalf("this server lacks a part of PostgreSQL: %v; install it with `apt-get install postgresql postgresql-contrib`, or name another server's binaries by REAPER_TEST_PG_BIN", err)
	}
	if err != nil {
		r.t.Fatalf("loading the schema: %v", err)
	}
}

var missingPart = regexp.MustCompile(`^extension "\w+" is not available|^could not open extension control file|^collation "\S+" for encoding|ICU is not supported`)

// compare reports the differences to every alternative, unless one matches.
func (r *caseRun) compare(alternatives []string) {
	r.t.Helper()
	var all []string
	for _, one := range alternatives {
		differences := r.differences(r.expand(one))
		if len(differences) == 0 {
			return
		}
		all = append(all, strings.Join(differences, "\n"))
	}
	r.t.Errorf("not as expected:\n%s", strings.Join(all, "\n-- or --\n"))
}

func (r *caseRun) differences(expect string) []string {
	var found []string
	for line := range strings.Lines(expect) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		key, value, _ := strings.Cut(line, ": ")
		if difference := r.difference(key, value); difference != "" {
			found = append(found, difference)
		}
	}
	return found
}

func (r *caseRun) difference(key, value string) string {
	key, name, _ := strings.Cut(key, " ")
	printed := r.printed.String()
	switch key {
	case "exit":
		code, ran := r.exits[name]
		if !ran || !slices.Contains(strings.Fields(value), strconv.Itoa(code)) {
			return fmt.Sprintf("exit %s: got %d, want %s", name, code, value)
		}
	case "says":
		if !strings.Contains(printed, value) {
			return "it does not say: " + value
		}
	case "never":
		if strings.Contains(printed, value) {
			return "it says: " + value
		}
	case "noline":
		if found := regexp.MustCompile("(?m)" + value).FindString(printed); found != "" {
			return "a line of it matches " + value + ": " + found
		}
	case "atmost":
		number, text, _ := strings.Cut(value, " ")
		most, err := strconv.Atoi(number)
		if n := strings.Count(printed, text); err != nil || n > most {
			return fmt.Sprintf("it says %d times: %s (%v)", n, text, err)
		}
	case "rows":
		at := max(0, strings.LastIndex(value, " =>"))
		query, want := value[:at], strings.TrimSpace(strings.TrimPrefix(value[at:], " =>"))
		if got := r.value(query); got != want {
			return fmt.Sprintf("%s => %s, want %s", query, got, want)
		}
	default:
		return "no such condition: " + key
	}
	return ""
}

// value is the result of a query, as psql prints it unaligned. An error is a value too, since a
// missing table differs from what is expected.
func (r *caseRun) value(query string) string {
	results, err := r.control.PgConn().Exec(r.t.Context(), query).ReadAll()
	if err != nil {
		return err.Error()
	}
	var lines []string
	for _, result := range results {
		for _, row := range result.Rows {
			var values []string
			for _, v := range row {
				values = append(values, string(v))
			}
			lines = append(lines, strings.Join(values, "|"))
		}
	}
	return strings.Join(lines, "\n")
}

// noOrphans adds every foreign key again, as a valid one: PostgreSQL itself looks for orphans.
func (r *caseRun) noOrphans() {
	r.t.Helper()
	keys, err := r.control.Query(r.t.Context(), `SELECT format('ALTER TABLE %s DROP CONSTRAINT %I, ADD CONSTRAINT %2$I ', conrelid::regclass, conname)
		|| regexp_replace(pg_get_constraintdef(oid), ' NOT (VALID|ENFORCED)', '', 'g') FROM pg_constraint WHERE contype = 'f' AND conparentid = 0`)
	if err != nil {
		r.t.Fatal(err)
	}
	alters, err := pgx.CollectRows(keys, pgx.RowTo[string])
	if err != nil {
		r.t.Fatal(err)
	}
	for _, alter := range alters {
		// In the replica role, no event trigger of the case interferes.
		_, err := r.control.Exec(r.t.Context(), "BEGIN; SET LOCAL session_replication_role = replica; "+alter)
		if err != nil {
			r.t.Errorf("a foreign key dangles: %v", err)
		}
		if _, err := r.control.Exec(r.t.Context(), "ROLLBACK"); err != nil {
			r.t.Fatal(err)
		}
	}
}

var controlByte = regexp.MustCompile("[\x00-\x08\x0b-\x1f\x7f\u0080-\u009f\u202a-\u202e\u2066-\u2069]")

func (r *caseRun) noControlBytes() {
	r.t.Helper()
	if found := controlByte.FindString(r.printed.String()); found != "" {
		r.t.Errorf("what was printed holds %q, which a terminal obeys", found)
	}
}

func tail(text string, lines int) string {
	all := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// expand replaces ${db} and ${ROLE}.
func (r *caseRun) expand(text string) string {
	pairs := []string{"${db}", r.db.Name()}
	for name, role := range r.roles {
		pairs = append(pairs, "${"+name+"}", role)
	}
	return strings.NewReplacer(pairs...).Replace(text)
}
