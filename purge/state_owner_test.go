package purge

import (
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// stateTypes are the structs that the mutex of a run guards, and stateFiles the files
// that may use their fields.
var (
	stateTypes = []string{"runState", "policyState", "pauses", "sizes"}
	stateFiles = []string{"run_state.go", "policy_*.go"}
)

// A field of what workers share that is used outside the methods of its owner is used
// without the mutex: so the drop of a partition once raced with other policies' batches.
func TestStateIsReachedByItsMethodsAlone(t *testing.T) {
	t.Parallel()
	files := token.NewFileSet()
	info := checked(t, files, sourceFiles(t, files))
	fields := stateFields(t, info)
	for id, object := range info.Uses {
		at := files.Position(id.Pos())
		if fields[object] && !ownsState(at.Filename) {
			t.Errorf("%s: %s is a field of what workers share: use a method that locks, or add one beside it", at, id.Name)
		}
	}
}

// sourceFiles parses the package, tests left out.
func sourceFiles(t *testing.T, files *token.FileSet) (parsed []*ast.File) {
	t.Helper()
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") || name == "dial_other.go" {
			continue
		}
		file, err := parser.ParseFile(files, name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		parsed = append(parsed, file)
	}
	return parsed
}

// nothing imports packages as empty ones: what is of other packages is not known then,
// but what is of this one is.
type nothing struct{}

func (nothing) Import(name string) (*types.Package, error) {
	p := types.NewPackage(name, path.Base(name))
	p.MarkComplete()
	return p, nil
}

func checked(t *testing.T, files *token.FileSet, parsed []*ast.File) *types.Info {
	t.Helper()
	info := &types.Info{Uses: map[*ast.Ident]types.Object{}, Defs: map[*ast.Ident]types.Object{}}
	config := types.Config{Importer: nothing{}, Error: func(error) {}} // of what is not known
	_, _ = config.Check("purge", files, parsed, info)
	return info
}

// stateFields are the fields of those structs.
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
