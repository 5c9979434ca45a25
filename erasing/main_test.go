package erasing_test

import (
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/reaperdb/reaper/internal/dbtest"
)

func TestMain(m *testing.M) { os.Exit(dbtest.Main(m, func() error { return goleak.Find() })) }
