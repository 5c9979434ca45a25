package main

import (
	"context"
	"embed"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/internal/lab"
)

//go:embed peers/*.sql
var peerFiles embed.FS

// peer is plain SQL that others would use to delete the mail workload.
type peer struct {
	name     string
	template string
	file     string
}

var (
	bigDelete = peer{"one big DELETE", cascading, "peers/delete.sql"}
	leafFirst = peer{"leaf-first script in one transaction", noAction, "peers/leaf-first.sql"}
	ctidLoop  = peer{"DO loop, 1000 by ctid", cascading, "peers/ctid-loop.sql"}
)

var peers = []peer{bigDelete, leafFirst, ctidLoop}

// method times the statements including COMMIT, but not connecting.
func (p peer) method() method {
	return method{name: p.name, template: p.template, run: func(ctx context.Context, dsn string) (d outcome, err error) {
		script, err := peerFiles.ReadFile(p.file)
		if err != nil {
			return d, err
		}
		err = lab.OnDatabase(ctx, dsn, func(conn *pgx.Conn) error {
			if d.base, err = now(ctx, conn); err != nil {
				return err
			}
			started := time.Now()
			_, err := conn.Exec(ctx, strings.ReplaceAll(string(script), "{{base}}", d.base))
			d.took = time.Since(started)
			return err
		})
		if err != nil {
			return d, fmt.Errorf("running %s: %w", p.file, err)
		}
		return d, nil
	}}
}

// now returns the database's clock as text.
func now(ctx context.Context, conn *pgx.Conn) (base string, err error) {
	err = conn.QueryRow(ctx, `SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')`).Scan(&base)
	return base, err
}
