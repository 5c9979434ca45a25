package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/internal/lab"
)

//go:embed activerecord/purge.rb
var purgeRB string

const rubyRemedy = "install it: apt-get install --no-install-recommends ruby-activerecord ruby-pg (elsewhere: Ruby, then gem install activerecord pg)"

// activeRecord purges the mail workload as a Rails application would, and with reaper.
func activeRecord(ctx context.Context, b *bench) error {
	const part = "activerecord"
	version, err := rubyVersion(ctx)
	if err != nil {
		return err
	}
	small, err := b.fill(ctx, b.mails/10)
	if err != nil {
		return err
	}
	turns, err := b.runRounds(ctx, small, []method{b.method(defaultSide), rails("in_batches")})
	if err != nil {
		return err
	}
	all, err := b.turn(ctx, small, rails("destroy_all"))
	if err != nil {
		return err
	}
	large, err := b.fullSize(ctx)
	if err != nil {
		return err
	}
	alike, theirs, ours := each(turns[0], turn.mailRate), each(turns[1], turn.mailRate), each(large, turn.mailRate)
	b.Tell(part, fmt.Sprintf("ActiveRecord %s, in_batches(of: 50).destroy_all, n=%d", version, small.mails), spread(theirs, "%.0f")+" mails/s")
	b.Tell(part, fmt.Sprintf("destroy_all, one round, n=%d", small.mails), fmt.Sprintf("%.0f mails/s", all.mailRate()))
	b.Tell(part, fmt.Sprintf("%s, n=%d", defaultSide.title(), small.mails),
		fmt.Sprintf("%s mails/s, %.0f × in_batches", spread(alike, "%.0f"), median(ratios(alike, theirs))))
	b.Tell(part, fmt.Sprintf("%s, n=%d", defaultSide.title(), b.mails), spread(ours, "%.0f")+" mails/s")
	values := ratios(ours, theirs)
	b.Judge(part, fmt.Sprintf("reaper, n=%d, to in_batches, n=%d, mails/s", b.mails, small.mails), spread(values, "%.0f")+" ×", "≥ 80 ×", median(values) >= 80)
	return nil
}

// fullSize runs reaper on all -n mails instead of the tenth that suffices for ActiveRecord's
// rate: the slow peer is compared by rate.
func (b *bench) fullSize(ctx context.Context) ([]turn, error) {
	if err := b.drop(ctx, cascading); err != nil {
		return nil, err
	}
	load, err := b.fill(ctx, b.mails)
	if err != nil {
		return nil, err
	}
	turns, err := b.runRounds(ctx, load, []method{b.method(defaultSide)})
	if err != nil {
		return nil, err
	}
	return turns[0], nil
}

// rails runs the script, which times the deletion only: neither Ruby's start nor connecting
// counts.
func rails(how string) method {
	return method{name: "ActiveRecord " + how, template: cascading, run: func(ctx context.Context, dsn string) (d outcome, err error) {
		err = lab.OnDatabase(ctx, dsn, func(conn *pgx.Conn) error {
			d.base, err = now(ctx, conn)
			return err
		})
		if err != nil {
			return d, err
		}
		d.took, err = destroy(ctx, dsn, how, d.base)
		return d, err
	}}
}

func destroy(ctx context.Context, dsn, how, base string) (took time.Duration, err error) {
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		return 0, err
	}
	cmd := exec.CommandContext(ctx, "ruby", "-", how, base)
	cmd.Stdin = strings.NewReader(purgeRB)
	cmd.Env = append(os.Environ(), "PGHOST="+config.Host, fmt.Sprintf("PGPORT=%d", config.Port), "PGUSER="+config.User, "PGDATABASE="+config.Database)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return 0, fmt.Errorf("running the ActiveRecord script: %w: %s", err, stderr.Bytes())
	}
	var result struct {
		Seconds float64 `json:"seconds"`
	}
	if err := json.Unmarshal(stdout.Bytes(), &result); err != nil {
		return 0, fmt.Errorf("reading the ActiveRecord script's result: %w", err)
	}
	return time.Duration(result.Seconds * float64(time.Second)), nil
}

func rubyVersion(ctx context.Context) (string, error) {
	if _, err := exec.LookPath("ruby"); err != nil {
		return "", errors.New("ruby not found; " + rubyRemedy)
	}
	out, err := exec.CommandContext(ctx, "ruby", "-e", `require "pg"; require "active_record"; puts ActiveRecord.version`).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("ruby lacks ActiveRecord or the pg gem; %s: %w\n%s", rubyRemedy, err, out)
	}
	return strings.TrimSpace(string(out)), nil
}
