package arrows

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"testing"
)

// The bounds of code, tests aside: what is larger than that cannot be kept in mind. Lines
// are counted as they stand, comments and blank ones among them.
const (
	mostFile    = 400
	mostPackage = 6000
	mostMedian  = 12 // lines of a function
	mostP90     = 40
)

// size is how large a package is.
type size struct {
	lines     int
	files     map[string]int // lines, by path
	functions []int          // lines of each
}

func TestSizes(t *testing.T) {
	t.Parallel()
	sizes, err := measure("../..")
	if err != nil {
		t.Fatal(err)
	}
	if len(sizes) < 20 {
		t.Fatalf("only %d packages found; is this the module's root?", len(sizes))
	}
	var all []int
	for name, s := range sizes {
		if s.lines > mostPackage {
			t.Errorf("package %s has %d lines, more than %d: something in it can stand alone", name, s.lines, mostPackage)
		}
		for file, n := range s.files {
			if n > mostFile {
				t.Errorf("%s has %d lines, more than %d: split it", file, n, mostFile)
			}
		}
		if p90 := quantile(s.functions, 9); p90 > mostP90 {
			t.Errorf("a tenth of the functions of %s have more than %d lines (%d)", name, mostP90, p90)
		}
		all = append(all, s.functions...)
	}
	if median := quantile(all, 5); median > mostMedian {
		t.Errorf("half of the functions have more than %d lines (%d)", mostMedian, median)
	}
}

// quantile is the number at so many tenths of others; 0: there are none.
func quantile(of []int, tenths int) int {
	if len(of) == 0 {
		return 0
	}
	return slices.Sorted(slices.Values(of))[len(of)*tenths/10]
}

// measure measures the packages below root.
func measure(root string) (map[string]*size, error) {
	sizes := map[string]*size{}
	err := eachFile(root, func(dir, path string) error {
		s := sizes[dir]
		if s == nil {
			s = &size{files: map[string]int{}}
			sizes[dir] = s
		}
		lines, functions, err := measureFile(path)
		s.lines += lines
		s.files[filepath.Join(dir, filepath.Base(path))] = lines
		s.functions = append(s.functions, functions...)
		return err
	})
	return sizes, err
}

func measureFile(path string) (lines int, functions []int, err error) {
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, path, nil, parser.SkipObjectResolution)
	if err != nil {
		return 0, nil, err
	}
	for _, d := range file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok {
			functions = append(functions, files.Position(f.End()).Line-files.Position(f.Pos()).Line+1)
		}
	}
	return files.File(file.Pos()).LineCount(), functions, nil
}
