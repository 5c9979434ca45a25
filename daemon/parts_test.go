package daemon

import (
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"path/filepath"
	"strings"
	"testing"
)

// A part of the daemon is reached by its methods alone: a field that another file uses
// is used without the mutex.
func TestPartsAreReachedByTheirMethods(t *testing.T) {
	t.Parallel()
	files := token.NewFileSet()
	info := &types.Info{Uses: map[*ast.Ident]types.Object{}, Defs: map[*ast.Ident]types.Object{}}
	parsed := programFiles(t, files)
	config := types.Config{Importer: noPackages{}, Error: func(error) {}} // of what is not known
	_, _ = config.Check("daemon", files, parsed, info)

	fields := map[types.Object]bool{}
	for _, file := range parsed {
		for _, name := range guardedFields(file) {
			fields[info.Defs[name]] = true
		}
	}
	if len(fields) < 50 {
		t.Fatalf("only %d fields of parts are found", len(fields))
	}
	for id, object := range info.Uses {
		if !fields[object] {
			continue
		}
		if at, home := files.Position(id.Pos()), files.Position(object.Pos()); at.Filename != home.Filename {
			t.Errorf("%s: %s belongs to %s: use a method, or add one there", at, id.Name, home.Filename)
		}
	}
}

// programFiles are those of the package, tests left out.
func programFiles(t *testing.T, files *token.FileSet) (parsed []*ast.File) {
	t.Helper()
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
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

// noPackages imports packages as empty ones: what is of this one is known all the same.
type noPackages struct{}

func (noPackages) Import(path string) (*types.Package, error) {
	p := types.NewPackage(path, filepath.Base(path))
	p.MarkComplete()
	return p, nil
}

// guardedFields are the fields of the structs that have a mutex.
func guardedFields(file *ast.File) (names []*ast.Ident) {
	ast.Inspect(file, func(n ast.Node) bool {
		s, ok := n.(*ast.StructType)
		if !ok {
			return true
		}
		var all []*ast.Ident
		guarded := false
		for _, f := range s.Fields.List {
			all = append(all, f.Names...)
			if of, ok := f.Type.(*ast.SelectorExpr); ok && of.Sel.Name == "Mutex" {
				guarded = true
			}
		}
		if guarded {
			names = append(names, all...)
		}
		return true
	})
	return names
}
