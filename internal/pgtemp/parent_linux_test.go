package pgtemp_test

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/reaperdb/reaper/internal/pgtemp"
)

// asOwner makes this test binary start a server and wait to be killed.
const asOwner = "PGTEMP_TEST_OWNER"

func TestMain(m *testing.M) {
	if os.Getenv(asOwner) == "" {
		os.Exit(m.Run())
	}
	s, err := pgtemp.Start(context.Background(), pgtemp.Options{
		BinDir: os.Getenv("REAPER_TEST_PG_BIN"), Dir: os.Getenv(asOwner), FsyncOff: true,
	})
	if err != nil {
		os.Exit(1)
	}
	_, _ = os.Stdout.WriteString(s.Dir() + "\n")
	select {}
}

// A server dies with its owner, however that dies, and the next start removes what it left.
func TestOwnerKilled(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts PostgreSQL")
	}
	parent, err := os.MkdirTemp("", "reaper-owner-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(parent) })
	if err := os.Chmod(parent, 0o755); err != nil {
		t.Fatal(err)
	}
	owner := exec.CommandContext(t.Context(), os.Args[0])
	owner.Env = append(os.Environ(), asOwner+"="+parent)
	out, err := owner.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := owner.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("the owner did not start a server: %v", err)
	}
	dir := strings.TrimSpace(line)
	if err := owner.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = owner.Wait() // "signal: killed", as expected

	deadline := time.Now().Add(20 * time.Second)
	for !gone(dir + "/data/postmaster.pid") {
		if time.Now().After(deadline) {
			t.Fatal("the server has outlived its owner by 20 s")
		}
		time.Sleep(10 * time.Millisecond) // another process; nothing to wait on
	}
	start(t, pgtemp.Options{Dir: parent, FsyncOff: true})
	if !gone(dir) {
		t.Errorf("%s was not swept away", dir)
	}
}
