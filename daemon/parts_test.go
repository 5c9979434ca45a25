package daemon

import (
	"go/ast"
	"go/types"
	"testing"

	"github.com/reaperdb/reaper/internal/gosource"
)

// A part of the daemon is reached by its methods alone: a field that another file uses
// is used without the mutex.
func TestPartsAreReachedByTheirMethods(t *testing.T) {
	t.Parallel()
	files, parsed, info := gosource.Read(t)
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
