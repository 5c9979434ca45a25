package main

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

//go:embed catalog.sql
var catalogSQL string

// catalogPolicy contains two of the policies that init proposes for catalog.sql.
const catalogPolicy = `version: 1
tenants: {table: organizations, key: id, retention: retention_days}
policies:
  - {name: events, table: module12_events, age: created_at, tenant: [organization_id]}
  - {name: messages, table: module13_messages, age: created_at, tenant: [parent_id, parent_id], undecided: delete}
`

// catalog measures init and check on a schema of 1,400 tables and 2,300 foreign keys.
func catalog(ctx context.Context, b *bench) error {
	const part = "catalog"
	if err := b.create(ctx, "catalog", "1,400 tables", catalogSQL, "INSERT INTO organizations VALUES (1, 'one', NULL, 90, now())"); err != nil {
		return err
	}
	dsn := b.server.DSN("catalog")
	dir := filepath.Dir(b.Binary)
	two, all := filepath.Join(dir, "two.yaml"), filepath.Join(dir, "all.yaml")
	if err := os.WriteFile(two, []byte(catalogPolicy), 0o600); err != nil {
		return err
	}
	measure := func(name string, target float64, args ...string) ([]byte, error) {
		return b.judgeCommand(ctx, part, name, dsn, target, args...)
	}
	proposed, err := measure("`reaper init`, 1,400 tables", 3, "init")
	if err != nil {
		return err
	}
	if _, err := measure("`reaper check` of two policies there", 2, "check", "--policy-file", two); err != nil {
		return err
	}
	chosen := strings.ReplaceAll(string(proposed), "retention: CHOOSE", "retention: 90d")
	if err := os.WriteFile(all, []byte(chosen), 0o600); err != nil {
		return err
	}
	c, _, err := b.command(ctx, dsn, "check", "--policy-file", all)
	b.Tell(part, fmt.Sprintf("`reaper check` of all %d policies that init proposes", strings.Count(chosen, "\n  - name: ")), fmt.Sprintf("%.2f s", c.took.Seconds()))
	return err
}
