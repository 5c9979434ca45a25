//go:build ops

// Package ops_test provokes what reaper's alerts are for, and looks at what reaches a person: daemons
// on real databases, scraped by a real Prometheus with the rules of deploy/alerts, whose alerts go to
// a real Alertmanager with the inhibit rules beside them. `make ops-test` brings the programs and
// runs it; docs/runbooks is what the person then reads.
package ops_test

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/reaperdb/reaper/internal/dbtest"
)

const repository = "../../.."

// patience is the time that anything may take. It is long: what is waited for is a state.
const patience = 4 * time.Minute

func TestMain(m *testing.M) {
	// The situations wait most of the time, and all of them at once.
	if err := flag.Set("test.parallel", "32"); err != nil {
		panic(err)
	}
	code := dbtest.Main(m, func() error { return goleak.Find() })
	if dir := filepath.Dir(built); built != "" {
		_ = os.RemoveAll(dir)
	}
	os.Exit(code)
}

var built string // the program, once a test has needed it

// program builds the program, once for all tests.
var program = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "reaper-ops-")
	if err != nil {
		return "", err
	}
	built = filepath.Join(dir, "reaper")
	cmd := exec.CommandContext(context.Background(), "go", "build", "-o", built, "./cmd/reaper")
	cmd.Dir = repository
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the program: %w\n%s", err, out)
	}
	return built, nil
})

// await waits until something holds; explain says what is the case instead.
func await(t *testing.T, what string, holds func() bool, explain func() string) {
	t.Helper()
	for end := time.Now().Add(patience); !holds(); time.Sleep(200 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %s: %s\n%s", patience, what, explain())
		}
	}
}
