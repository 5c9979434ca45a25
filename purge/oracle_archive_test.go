package purge_test

import (
	"os"
	"testing"

	"github.com/reaperdb/reaper/archive"
)

// TestOracle_Archived is TestOracle with an archive: besides, what was there before is what is left
// and what can be put back.
func TestOracle_Archived(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute, and -short was given")
	}
	eachOracleCase(t, func(w *oracleWorld) { w.archives = t.TempDir() })
}

// archived begins an archive of the case.
func (x *trial) archived() {
	if x.archives == "" {
		return
	}
	var err error
	if x.folder, err = os.MkdirTemp(x.archives, "case-"); err == nil {
		x.archive, err = openArchive(x.folder)
	}
	if err == nil {
		x.initial, err = snapshot(x.ctx, x.own, x.everyTable())
	}
	if err != nil {
		x.fail("opening an archive: %v", err)
	}
}

func (x *trial) everyTable() map[archive.Name]string {
	tables := map[archive.Name]string{}
	for _, t := range x.c.tables {
		tables[archive.Name{Schema: t.name.Schema, Name: t.name.Name}] = t.sql()
	}
	return tables
}

// comesBack compares the rows before the purge with what is left and what was archived. Triggers of the
// case change rows that stay.
func (x *trial) comesBack() {
	x.t.Helper()
	if x.folder == "" {
		return
	}
	if len(x.c.triggers) == 0 {
		back, err := putBack(x.ctx, x.own, x.everyTable(), x.folder)
		if err != nil {
			x.fail("putting back what was archived: %v", err)
		}
		x.same("rows before the purge, and those put back", x.initial, back)
	}
	if err := os.RemoveAll(x.folder); err != nil {
		x.fail("removing the archive: %v", err)
	}
}
