package expiry_test

import (
	"os"
	"testing"

	"github.com/reaperdb/reaper/internal/dbtest"
)

func TestMain(m *testing.M) { os.Exit(dbtest.Main(m)) }
