package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/reaperdb/reaper/internal/dbtest"
	"github.com/reaperdb/reaper/internal/pgtemp"
)

// Where one stream of run --once is JSON both are, however it ends: they meet in one log.
func TestRun_OnceJSON(t *testing.T) {
	t.Parallel()
	db := dbtest.New(t, letters)
	const nowhere = "postgres://app:hunter2@127.0.0.1:1/shop"
	for name, c := range map[string]struct {
		dsn, where string
		args       []string
		code       int
		says       string // in a record
	}{
		"it deletes":                        {db.DSN(), "", []string{"-o", "json"}, 0, "run ended"},
		"by the format of the logs":         {db.DSN(), "", []string{"--log-format", "json"}, 0, "run ended"},
		"the database stays away":           {nowhere, "", []string{"-o", "json"}, 1, "waiting for it"},
		"the same, by the logs":             {nowhere, "", []string{"--log-format=json"}, 1, "cannot be reached"},
		"an error in the policy":            {db.DSN(), ", where: no_such_column > 1", []string{"-o", "json"}, 2, "no_such_column"},
		"a flag that there is not":          {db.DSN(), "", []string{"-o", "json", "--nonsense"}, 2, "nonsense"},
		"a text format of the logs besides": {db.DSN(), "", []string{"-o", "json", "--log-format", "text"}, 0, "run ended"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := program(t, c.dsn, append([]string{"run", "--once"}, c.args...)...)
			cmd.Env = append(cmd.Env, "REAPER_PATIENCE=300ms")
			write(t, cmd.Dir, lettersPolicy("@daily", c.where))
			var stdout, stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			if code := exitCode(t, cmd.Run()); code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			if !json.Valid(stdout.Bytes()) || strings.Count(stdout.String(), "\n") != 1 {
				t.Errorf("stdout is not one line of JSON: %s", &stdout)
			}
			for line := range strings.Lines(stderr.String()) {
				if !json.Valid([]byte(line)) {
					t.Errorf("stderr has a line that is not JSON: %s", line)
				}
			}
			if !strings.Contains(stderr.String(), c.says) || strings.Contains(stderr.String(), "hunter2") {
				t.Errorf("stderr: %s", &stderr)
			}
		})
	}
}

// A run that begins while the server restarts waits for it, and then does all of it.
func TestRun_OnceWaits(t *testing.T) {
	t.Parallel()
	server := dbtest.Server(t, pgtemp.Options{})
	sqlOn(t, server.DSN("postgres"), letters)
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd := program(t, server.DSN("postgres"), "run", "--once", "-o", "json")
	write(t, cmd.Dir, lettersPolicy("@daily", ""))
	if code, said := afterRestart(t, cmd, server); code != 0 {
		t.Errorf("exit code %d, want 0\n%s", code, said)
	}
}
