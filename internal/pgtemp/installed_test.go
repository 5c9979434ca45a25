package pgtemp

import "testing"

func TestDirVersion(t *testing.T) {
	t.Parallel()
	for dir, want := range map[string]int{
		"/usr/lib/postgresql/9.6/bin":                    9,
		"/usr/lib/postgresql/15/bin":                     15,
		"/var/cache/reaper/postgres/17.10.0-beta.17/bin": 17,
		"/var/cache/reaper/postgres/mine/bin":            0,
	} {
		if got := dirVersion(dir); got != want {
			t.Errorf("dirVersion(%q) is %d, want %d", dir, got, want)
		}
	}
}
