package pgtemp

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// oldest is the oldest supported major version.
const oldest = 14

// NotFoundError says that no PostgreSQL server is installed, and what to do.
type NotFoundError struct {
	Looked []string // places searched, in order
}

func (e *NotFoundError) Error() string {
	return "finding PostgreSQL: no initdb and postgres in " + strings.Join(e.Looked, ", ") +
		"; install them with `apt-get install postgresql`, or run `make postgres`"
}

// Find returns the directory of initdb and postgres: binDir only, if set; else PATH, the newest
// version installed by Debian's packages, and the newest installed by scripts/postgres.sh. The
// error is a *NotFoundError.
func Find(binDir string) (string, error) {
	if binDir != "" {
		if hasServer(binDir) {
			return binDir, nil
		}
		return "", &NotFoundError{Looked: []string{binDir}}
	}
	if path, err := exec.LookPath("initdb"); err == nil {
		// PATH may contain only a link; the other binaries are next to its target.
		if path, err = filepath.EvalSymlinks(path); err == nil && hasServer(filepath.Dir(path)) {
			return filepath.Dir(path), nil
		}
	}
	looked := []string{"PATH"}
	for _, pattern := range installed() {
		dirs, _ := filepath.Glob(pattern)
		dirs = slices.DeleteFunc(dirs, func(dir string) bool { return !hasServer(dir) || dirVersion(dir) < oldest })
		if len(dirs) > 0 {
			return slices.MaxFunc(dirs, func(a, b string) int { return cmp.Compare(dirVersion(a), dirVersion(b)) }), nil
		}
		looked = append(looked, pattern)
	}
	return "", &NotFoundError{Looked: looked}
}

// installed are the patterns of bin directories, each just below the version's directory. The
// last two are those of scripts/postgres.sh, for root and for others.
func installed() []string {
	patterns := []string{"/usr/lib/postgresql/*/bin", "/var/cache/reaper/postgres/*/bin"}
	if cache, err := os.UserCacheDir(); err == nil {
		patterns = append(patterns, filepath.Join(cache, "reaper", "postgres", "*", "bin"))
	}
	return patterns
}

// dirVersion returns the major version in …/17.10.0-beta.17/bin, or 0.
func dirVersion(bin string) int {
	major, _, _ := strings.Cut(filepath.Base(filepath.Dir(bin)), ".")
	n, _ := strconv.Atoi(major)
	return n
}

func hasServer(dir string) bool {
	for _, name := range []string{"initdb", "postgres"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.IsDir() {
			return false
		}
	}
	return true
}

// majorVersion asks the binary: "postgres (PostgreSQL) 15.18 (Debian …)".
func majorVersion(ctx context.Context, bin string) (int, error) {
	postgres := filepath.Join(bin, "postgres")
	out, err := exec.CommandContext(ctx, postgres, "--version").CombinedOutput()
	if err != nil {
		return 0, fmt.Errorf("asking %s for its version: %w: %s", postgres, err, strings.TrimSpace(string(out)))
	}
	m := regexp.MustCompile(`\(PostgreSQL\) (\d+)`).FindSubmatch(out)
	if m == nil {
		return 0, fmt.Errorf("asking %s for its version: %q is not PostgreSQL's answer", postgres, out)
	}
	version, _ := strconv.Atoi(string(m[1]))
	if version < oldest {
		return 0, fmt.Errorf("starting postgres: %s is version %d, too old; install %d or later, or run `scripts/postgres.sh 17` and name the directory that it prints", postgres, version, oldest)
	}
	return version, nil
}
