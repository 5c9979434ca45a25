package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/reaperdb/reaper/internal/dbtest"
	"github.com/reaperdb/reaper/internal/pgtemp"
)

// The program as a person has it: each script in testdata/script runs with an
// empty database of its own, whose address is DATABASE_URL. Besides
// testscript's own commands a script has
//
//	exits CODE COMMAND…   runs a command that must end with this exit code
//	sql FILE | SQL…       runs statements as superuser, and prints rows
//	role NAME             makes a role that may log in; $NAME is its name, $NAME_URL its address
//	json PATH WANT        compares a value of the JSON on the last stdout: policies.0.status
//	choose FILE           writes what init has printed, with a retention for every CHOOSE
//	shape COMMAND         decodes the last stdout strictly as the contract has it
type scriptCommand = func(ts *testscript.TestScript, neg bool, args []string)

var scriptCommands = map[string]scriptCommand{
	"exits": exits, "sql": sql, "role": role, "json": jsonValue, "choose": choose, "shape": shape,
}

type tests struct{ *testing.M }

func (t tests) Run() int { return dbtest.Main(t.M) }

func TestMain(m *testing.M) {
	testscript.Main(tests{m}, map[string]func(){"reaper": main})
}

func TestScripts(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			runScript(t, file, nil)
		})
	}
}

// runScript runs a script with its own database and, beside scriptCommands, more commands.
func runScript(t *testing.T, file string, more map[string]scriptCommand) {
	t.Helper()
	db := dbtest.New(t)
	commands := maps.Clone(scriptCommands)
	maps.Copy(commands, more)
	testscript.Run(t, testscript.Params{
		Files: []string{file}, RequireExplicitExec: true, RequireUniqueNames: true, Cmds: commands,
		Setup: func(e *testscript.Env) error {
			e.Values["t"], e.Values["db"] = t, db
			e.Setenv("DATABASE_URL", db.DSN())
			// A directory that other users may enter: the demo's server does not run as
			// root.
			e.Setenv("TMPDIR", os.TempDir())
			bin, err := pgtemp.Find(os.Getenv("REAPER_TEST_PG_BIN"))
			e.Setenv("PGBIN", bin)
			return err
		},
	})
}

func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}

func choose(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: choose FILE")
	}
	text := strings.ReplaceAll(ts.ReadFile("stdout"), "retention: CHOOSE", "retention: 30d")
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o600))
}

func sql(ts *testscript.TestScript, neg bool, args []string) {
	text := strings.Join(args, " ")
	if len(args) == 1 {
		if data, err := os.ReadFile(ts.MkAbs(args[0])); err == nil {
			text = string(data)
		}
	}
	text = strings.NewReplacer("${db}", testDatabase(ts).Name()).Replace(text)
	t := ts.Value("t").(*testing.T)
	conn, err := pgx.Connect(t.Context(), ts.Getenv("DATABASE_URL"))
	ts.Check(err)
	defer conn.Close(t.Context()) //nolint:errcheck // a test's own
	results, err := conn.PgConn().Exec(t.Context(), text).ReadAll()
	var pg *pgconn.PgError
	if neg != errors.As(err, &pg) {
		ts.Fatalf("%v", err)
	}
	for _, r := range results {
		for _, row := range r.Rows {
			_, _ = fmt.Fprintln(ts.Stdout(), string(bytes.Join(row, []byte("\t"))))
		}
	}
}

func testDatabase(ts *testscript.TestScript) *dbtest.DB { return ts.Value("db").(*dbtest.DB) }

func role(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: role NAME")
	}
	db := testDatabase(ts)
	name := db.Role(ts.Value("t").(*testing.T), args[0])
	ts.Setenv(args[0], name)
	ts.Setenv(args[0]+"_URL", db.As(name))
}

// document decodes the last stdout, which must be exactly one JSON document.
func document(ts *testscript.TestScript, into any) {
	d := json.NewDecoder(strings.NewReader(ts.ReadFile("stdout")))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		ts.Fatalf("stdout: %v", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		ts.Fatalf("stdout goes on after the document")
	}
}

func jsonValue(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: json PATH WANT")
	}
	var at any
	document(ts, &at)
	for step := range strings.SplitSeq(args[0], "/") {
		switch x := at.(type) {
		case map[string]any:
			v, ok := x[step]
			if !ok {
				ts.Fatalf("there is no %s on the way %s", step, args[0])
			}
			at = v
		case []any:
			i, err := strconv.Atoi(step)
			if step == "len" {
				at = len(x)
				continue
			}
			if err != nil || i >= len(x) {
				ts.Fatalf("there is no %s on the way %s", step, args[0])
			}
			at = x[i]
		default:
			ts.Fatalf("%s on the way %s: that is %v", step, args[0], at)
		}
	}
	got := fmt.Sprint(at)
	if f, ok := at.(float64); ok {
		got = strconv.FormatFloat(f, 'f', -1, 64)
	}
	if (got == args[1]) == neg {
		ts.Fatalf("%s is %q", args[0], got)
	}
}
