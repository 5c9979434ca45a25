// Package plantest compiles plans for tests, and compares text with golden files.
package plantest

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/internal/dbtest"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/policy"
)

var update = flag.Bool("update", false, "write the golden files anew")

// Compile makes the plan of the one policy of a file, on a database of its own with this
// schema. The plan has no errors.
func Compile(t *testing.T, schema, text string) *plan.Plan {
	t.Helper()
	return CompileAs(t, dbtest.New(t, schema).DSN(), text)
}

// CompileAs makes it on a database that is there, as whoever the connection string names.
func CompileAs(t *testing.T, dsn, text string) *plan.Plan {
	t.Helper()
	file, err := policy.Parse("reaper.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	server, err := plan.ReadServer(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	plans, err := plan.Compile(t.Context(), conn, file, server, nil)
	if err != nil || plans[0].HasErrors() {
		t.Fatalf("%v %+v", err, plans[0].Problems)
	}
	return plans[0]
}

// Golden compares a text with its file; -update writes it anew.
func Golden(t *testing.T, name, text string) {
	t.Helper()
	file := filepath.Join("testdata", name+".sql")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), text); diff != "" {
		t.Errorf("%s (-want +got); with -update the file is written anew:\n%s", file, diff)
	}
}
