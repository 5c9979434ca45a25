package purge_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/reaperdb/reaper/internal/dbtest"
)

func TestMain(m *testing.M) {
	if work := os.Getenv(childEnv); work != "" {
		os.Exit(child(work))
	}
	os.Exit(dbtest.Main(m, func() error { return goleak.Find() }))
}
