package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// hole replaces in a pattern what depends on the database or the file.
const hole = "…"

// fixSite is a place in the sources that makes a problem with a fix, with the patterns that the fix
// may have.
type fixSite struct {
	place string
	texts []string // patterns of the problem
	fix   string
}

// fixSources are packages, as far as it makes problems and fixes.
type fixSources struct {
	files   *token.FileSet
	funcs   map[string][]*fixFunc // and methods, by their name
	consts  map[string]ast.Expr
	structs map[string][]string // names of fields
	calls   map[string][]fixCall
	sites   []fixSite
}

// fixFunc is a function, or a closure in a variable of another.
type fixFunc struct {
	params, results []string // of results, the types
	receiver        string   // its type
	body            *ast.BlockStmt
	outer           *fixFunc
}

type fixCall struct {
	call *ast.CallExpr
	from *fixFunc
}

// fixScope is a function whose parameters may be known.
type fixScope struct {
	*fixFunc
	bound map[string][]string
	depth int
}

// readFixes reads packages that make problems and fixes together.
func readFixes(t *testing.T, dirs ...string) []fixSite {
	t.Helper()
	var paths []string
	for _, dir := range dirs {
		found, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil || len(found) == 0 {
			t.Fatalf("no sources in %s: %v", dir, err)
		}
		paths = append(paths, found...)
	}
	s := &fixSources{files: token.NewFileSet(), funcs: map[string][]*fixFunc{}, consts: map[string]ast.Expr{}, structs: map[string][]string{}, calls: map[string][]fixCall{}}
	var parsed []*ast.File
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		f, err := parser.ParseFile(s.files, path, text, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		parsed = append(parsed, f)
	}
	for _, f := range parsed {
		s.declare(f)
	}
	for _, all := range s.funcs {
		for _, f := range all {
			s.collectCalls(f)
		}
	}
	for _, all := range s.funcs {
		for _, f := range all {
			s.findSites(f)
		}
	}
	for name, m := range s.methodsNamed("Fix") {
		s.addReturns(name, m)
	}
	return s.sites
}

// declare records what a file declares.
func (s *fixSources) declare(f *ast.File) {
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if d.Body == nil {
				continue
			}
			fn := &fixFunc{params: fixFieldNames(d.Type.Params), results: fixResultTypes(d.Type.Results), body: d.Body}
			if d.Recv != nil {
				fn.receiver = fixTypeName(d.Recv.List[0].Type)
			}
			s.funcs[d.Name.Name] = append(s.funcs[d.Name.Name], fn)
			s.closures(fn)
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch spec := spec.(type) {
				case *ast.ValueSpec:
					for i, name := range spec.Names {
						if i < len(spec.Values) {
							s.consts[name.Name] = spec.Values[i]
						}
					}
				case *ast.TypeSpec:
					if st, ok := spec.Type.(*ast.StructType); ok {
						s.structs[spec.Name.Name] = fixFieldNames(st.Fields)
					}
				}
			}
		}
	}
}

// closures records functions in variables of another.
func (s *fixSources) closures(outer *fixFunc) {
	ast.Inspect(outer.body, func(n ast.Node) bool {
		a, ok := n.(*ast.AssignStmt)
		if !ok || len(a.Lhs) != 1 {
			return true
		}
		lit, isFunc := a.Rhs[0].(*ast.FuncLit)
		name, isName := a.Lhs[0].(*ast.Ident)
		if isFunc && isName {
			s.funcs[name.Name] = append(s.funcs[name.Name], &fixFunc{params: fixFieldNames(lit.Type.Params), results: fixResultTypes(lit.Type.Results), body: lit.Body, outer: outer})
		}
		return true
	})
}

func (s *fixSources) methodsNamed(name string) map[string]*fixFunc {
	found := map[string]*fixFunc{}
	for _, f := range s.funcs[name] {
		if f.receiver != "" && len(f.params) == 0 {
			found[f.receiver] = f
		}
	}
	return found
}

func fixFieldNames(fields *ast.FieldList) (names []string) {
	if fields == nil {
		return nil
	}
	for _, f := range fields.List {
		if len(f.Names) == 0 {
			names = append(names, "")
		}
		for _, n := range f.Names {
			names = append(names, n.Name)
		}
	}
	return names
}

func fixResultTypes(fields *ast.FieldList) (types []string) {
	if fields == nil {
		return nil
	}
	for _, f := range fields.List {
		for range max(1, len(f.Names)) {
			types = append(types, fixTypeName(f.Type))
		}
	}
	return types
}

func fixTypeName(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return fixTypeName(e.X)
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return e.Sel.Name
	}
	return ""
}

// inspect visits what belongs to a function itself, not to a closure in one of its variables.
func (s *fixSources) inspect(f *fixFunc, visit func(ast.Node)) {
	ast.Inspect(f.body, func(n ast.Node) bool {
		if lit, ok := n.(*ast.FuncLit); ok && s.isClosure(lit) && lit.Body != f.body {
			return false
		}
		if n != nil {
			visit(n)
		}
		return true
	})
}

func (s *fixSources) isClosure(lit *ast.FuncLit) bool {
	for _, all := range s.funcs {
		if slices.ContainsFunc(all, func(f *fixFunc) bool { return f.body == lit.Body }) {
			return true
		}
	}
	return false
}

func fixCallee(c *ast.CallExpr) string {
	switch f := c.Fun.(type) {
	case *ast.Ident:
		return f.Name
	case *ast.SelectorExpr:
		return f.Sel.Name
	}
	return ""
}

func (s *fixSources) collectCalls(f *fixFunc) {
	s.inspect(f, func(n ast.Node) {
		if c, ok := n.(*ast.CallExpr); ok {
			s.calls[fixCallee(c)] = append(s.calls[fixCallee(c)], fixCall{c, f})
		}
	})
}

// findSites finds where a function makes a fix: it calls a function with a parameter of that name,
// makes a struct with such a field, or sets the field.
func (s *fixSources) findSites(f *fixFunc) {
	s.inspect(f, func(n ast.Node) {
		switch n := n.(type) {
		case *ast.CallExpr:
			for _, callee := range s.funcs[fixCallee(n)] {
				at := slices.Index(callee.params, "fix")
				text := max(slices.Index(callee.params, "text"), slices.Index(callee.params, "format"))
				if at >= 0 && text >= 0 && len(n.Args) >= min(len(callee.params), max(at, text)+1) {
					s.add(n.Pos(), f, n.Args[text], n.Args[at])
				}
			}
		case *ast.CompositeLit:
			text, fix := s.fields(n)
			s.add(n.Pos(), f, text, fix)
		case *ast.AssignStmt:
			var text, fix ast.Expr
			for i, l := range n.Lhs {
				if to, ok := l.(*ast.SelectorExpr); ok && len(n.Lhs) == len(n.Rhs) {
					switch to.Sel.Name {
					case "Text":
						text = n.Rhs[i]
					case "Fix":
						fix = n.Rhs[i]
					}
				}
			}
			s.add(n.Pos(), f, text, fix)
		}
	})
}

// fields are the values of a struct's text and fix; nil: it has none.
func (s *fixSources) fields(c *ast.CompositeLit) (text, fix ast.Expr) {
	names := s.structs[fixTypeName(c.Type)]
	for i, e := range c.Elts {
		name, value := "", e
		if kv, ok := e.(*ast.KeyValueExpr); ok {
			name, value = fixTypeName(kv.Key), kv.Value
		} else if i < len(names) {
			name = names[i]
		}
		switch strings.ToLower(name) {
		case "text":
			text = value
		case "fix":
			fix = value
		}
	}
	return text, fix
}

// add records a fix, unless it comes from elsewhere.
func (s *fixSources) add(at token.Pos, f *fixFunc, text, fix ast.Expr) {
	switch x := fix.(type) {
	case nil:
		return
	case *ast.Ident:
		if slices.Contains(f.params, x.Name) {
			return
		}
	case *ast.SelectorExpr:
		return
	case *ast.CallExpr:
		if fixCallee(x) == "Fix" {
			return
		}
	}
	texts := []string{hole}
	if text != nil {
		texts = nil
		for _, pattern := range s.eval(text, fixScope{fixFunc: f}) {
			texts = append(texts, formatVerb.ReplaceAllString(pattern, hole)) // where it is a format
		}
	}
	p := s.files.Position(at)
	place := filepath.Base(filepath.Dir(p.Filename)) + "/" + filepath.Base(p.Filename) + ":" + strconv.Itoa(p.Line)
	for _, pattern := range s.eval(fix, fixScope{fixFunc: f}) {
		if pattern != "" {
			s.sites = append(s.sites, fixSite{place, texts, pattern})
		}
	}
}

// addReturns records what a type's method Fix returns, with what its method Text returns.
func (s *fixSources) addReturns(receiver string, fix *fixFunc) {
	text := s.methodsNamed("Text")[receiver]
	ast.Inspect(fix.body, func(n ast.Node) bool {
		if r, ok := n.(*ast.ReturnStmt); ok && text != nil {
			ast.Inspect(text.body, func(n ast.Node) bool {
				if said, ok := n.(*ast.ReturnStmt); ok {
					s.add(r.Pos(), fix, said.Results[0], r.Results[0])
				}
				return true
			})
		}
		return true
	})
}
