package restore

import (
	"slices"
	"testing"

	"github.com/reaperdb/reaper/archive"
)

// A manifest cannot change what statements are read under.
func TestCheckSettings(t *testing.T) {
	t.Parallel()
	if err := checkSettings(archive.Settings); err != nil {
		t.Error(err)
	}
	for _, x := range []archive.Setting{{Name: "client_encoding", Value: "SJIS"}, {Name: "standard_conforming_strings", Value: "off"}, {Name: "session_replication_role", Value: "replica"}} {
		if checkSettings(append(slices.Clone(archive.Settings), x)) == nil {
			t.Errorf("%s = %s was accepted", x.Name, x.Value)
		}
	}
}
