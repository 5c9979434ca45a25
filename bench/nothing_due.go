package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/reaperdb/reaper/internal/lab"
)

// logPrefix puts the application name before each line of the server's log.
const logPrefix = "%a|"

// Every statement the server received, including BEGIN, COMMIT and refused ones.
var logged = regexp.MustCompile(`^reaper\|(?:LOG:  (?:statement|execute [^:]*)|ERROR): *(.*)`)

var errDue = errors.New("something was due, and deleted")

// nothingDue is a database and a policy file by which no row is due there.
type nothingDue struct {
	b        *bench
	database string
	policy   string
}

// idleFigures are those of purges that found nothing due.
type idleFigures struct {
	first           child    // created the ledger, and was logged
	firstStatements []string // first line of each
	statements      []string // of the second run, which was logged too
	seconds         []float64
}

func (f idleFigures) firstRun() string {
	return fmt.Sprintf("%.2f s, %d statements", f.first.took.Seconds(), len(f.firstStatements))
}

// measure runs a purge that creates the ledger, one whose statements count, and one per round
// whose time counts.
func (n nothingDue) measure(ctx context.Context) (f idleFigures, err error) {
	if f.first, f.firstStatements, err = n.logged(ctx); err != nil {
		return f, err
	}
	if _, f.statements, err = n.logged(ctx); err != nil {
		return f, err
	}
	for range n.b.rounds {
		c, err := n.purge(ctx)
		if err != nil {
			return f, err
		}
		f.seconds = append(f.seconds, c.took.Seconds())
	}
	return f, nil
}

func (n nothingDue) purge(ctx context.Context) (child, error) {
	c, err := n.b.purgeChild(ctx, n.b.server.DSN(n.database), n.policy)
	if err == nil && c.rows() > 0 {
		err = errDue
	}
	return c, err
}

// logged runs a purge while the server logs every statement.
func (n nothingDue) logged(ctx context.Context) (c child, statements []string, err error) {
	log, err := os.Open(n.b.server.LogFile())
	if err != nil {
		return c, nil, err
	}
	defer log.Close()
	if _, err := log.Seek(0, io.SeekEnd); err != nil {
		return c, nil, err
	}
	if err := n.logStatements(ctx, "SET log_statement = 'all'"); err != nil {
		return c, nil, err
	}
	if c, err = n.purge(ctx); err != nil {
		return c, nil, err
	}
	if err := n.logStatements(ctx, "RESET log_statement"); err != nil {
		return c, nil, err
	}
	statements, err = readStatements(log)
	return c, statements, err
}

func (n nothingDue) logStatements(ctx context.Context, setting string) error {
	return lab.Execute(ctx, n.b.server.DSN("postgres"), "ALTER DATABASE "+n.database+" "+setting)
}

// readStatements returns the first line of each of reaper's statements in the server's log.
func readStatements(log io.Reader) (statements []string, err error) {
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
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("reading the server's log: %w", err)
	}
	if len(statements) == 0 {
		return nil, errors.New("the server logged no statement of reaper")
	}
	return statements, nil
}

// mostFrequent returns the n statements that come most often, with how often they do.
func mostFrequent(statements []string, n int) (lines []string) {
	times := map[string]int{}
	for _, s := range statements {
		times[s]++
	}
	byTimes := slices.SortedFunc(maps.Keys(times), func(a, b string) int {
		return cmp.Or(times[b]-times[a], cmp.Compare(a, b))
	})
	for _, s := range byTimes[:min(n, len(byTimes))] {
		lines = append(lines, fmt.Sprintf("%d × %.120s", times[s], s))
	}
	return lines
}
