package main

import (
	"bufio"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"

	"github.com/reaperdb/reaper/internal/lab"
)

var (
	//go:embed events.yaml
	eventsPolicy string
	//go:embed idle.sql
	idleSQL string
)

// logPrefix puts the application name before each line of the server's log.
const logPrefix = "%a|"

// Every statement the server received, including BEGIN, COMMIT and refused ones.
var logged = regexp.MustCompile(`^reaper\|(?:LOG:  (?:statement|execute [^:]*)|ERROR): *(.*)`)

var errDue = errors.New("something was due, and deleted")

// idle measures a purge when nothing is due: many tenants with a few fresh rows each.
func idle(ctx context.Context, b *bench) error {
	const part = "idle"
	tenants := b.tenants
	if tenants == 0 {
		tenants = b.mails * 5
	}
	sql := strings.ReplaceAll(idleSQL, "{{n}}", strconv.Itoa(tenants))
	if err := b.create(ctx, "idle", fmt.Sprintf("%d tenants", tenants), sql); err != nil {
		return err
	}
	dsn := b.server.DSN("idle")
	// The first run creates the ledger; later ones find it.
	first, statements, err := b.logged(ctx, dsn)
	if err != nil {
		return err
	}
	b.Tell(part, fmt.Sprintf("first run, which makes the ledger, %d tenants", tenants), fmt.Sprintf("%.2f s, %d statements", first.took.Seconds(), len(statements)))
	_, statements, err = b.logged(ctx, dsn)
	if err != nil {
		return err
	}
	var took []float64
	for range b.rounds {
		c, err := b.purgeChild(ctx, dsn, eventsPolicy)
		if err != nil {
			return err
		}
		if c.rows() > 0 {
			return errDue
		}
		took = append(took, c.took.Seconds())
	}
	b.Judge(part, fmt.Sprintf("time of the process, %d tenants", tenants), spread(took, "%.2f")+" s", "≤ 3 s", median(took) <= 3)
	b.Judge(part, "statements", strconv.Itoa(len(statements)), "≤ 30", len(statements) <= 30)
	if len(statements) > 30 {
		b.Say("the statements of an idle purge, their first lines:\n%s", strings.Join(statements, "\n"))
	}
	return nil
}

// logged runs a purge while the server logs every statement.
func (b *bench) logged(ctx context.Context, dsn string) (c child, statements []string, err error) {
	if err := lab.Execute(ctx, b.server.DSN("postgres"), `ALTER DATABASE idle SET log_statement = 'all'`); err != nil {
		return c, nil, err
	}
	log, err := os.Open(b.server.LogFile())
	if err != nil {
		return c, nil, err
	}
	defer log.Close()
	if _, err := log.Seek(0, io.SeekEnd); err != nil {
		return c, nil, err
	}
	if c, err = b.purgeChild(ctx, dsn, eventsPolicy); err != nil {
		return c, nil, err
	}
	if c.rows() > 0 {
		return c, nil, errDue
	}
	lines := bufio.NewScanner(log)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line, last := lines.Text(), len(statements)-1
		if m := logged.FindStringSubmatch(line); m != nil {
			statements = append(statements, m[1])
		} else if last >= 0 && statements[last] == "" {
			statements[last] = strings.TrimSpace(line) // it began with a new line
		}
	}
	if len(statements) == 0 {
		return c, nil, errors.New("the server logged no statement of reaper")
	}
	return c, statements, errors.Join(lines.Err(), lab.Execute(ctx, b.server.DSN("postgres"), `ALTER DATABASE idle RESET log_statement`))
}
