package purge

import (
	"go/types"
	"path/filepath"
	"slices"
	"testing"

	"github.com/reaperdb/reaper/internal/gosource"
)

// stateTypes are the structs guarded by the mutex of a run; stateFiles are the files that may
// use their fields.
var (
	stateTypes = []string{"runState", "policyState", "pauses", "sizes"}
	stateFiles = []string{"run_state.go", "policy_*.go"}
)

// A field of shared state used outside its owner's methods is used without the mutex: the drop
// of a partition once raced with other policies' batches that way.
func TestStateIsReachedByItsMethodsAlone(t *testing.T) {
	t.Parallel()
	files, _, info := gosource.Read(t, "dial_other.go")
	fields := stateFields(t, info)
	for id, object := range info.Uses {
		at := files.Position(id.Pos())
		if fields[object] && !ownsState(at.Filename) {
			t.Errorf("%s: %s is a field of what workers share: use a method that locks, or add one beside it", at, id.Name)
		}
	}
}

// stateFields returns the fields of those structs.
func stateFields(t *testing.T, info *types.Info) map[types.Object]bool {
	t.Helper()
	fields := map[types.Object]bool{}
	found := 0
	for id, object := range info.Defs {
		name, is := object.(*types.TypeName)
		if !is || !slices.Contains(stateTypes, id.Name) || name.Parent() != name.Pkg().Scope() {
			continue
		}
		found++
		of := name.Type().Underlying().(*types.Struct)
		for i := range of.NumFields() {
			fields[of.Field(i)] = true
		}
	}
	if found != len(stateTypes) {
		t.Fatalf("%d of the structs %v are there", found, stateTypes)
	}
	return fields
}

func ownsState(file string) bool {
	return slices.ContainsFunc(stateFiles, func(pattern string) bool {
		matches, _ := filepath.Match(pattern, file)
		return matches
	})
}
