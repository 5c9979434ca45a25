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
)

//go:embed activerecord/purge.rb
var purgeRB string

const rubyRemedy = "install it: apt-get install --no-install-recommends ruby-activerecord ruby-pg (elsewhere: Ruby, then gem install activerecord pg)"

// activeRecord purges the mail workload as a Rails application would, and with
// reaper.
func activeRecord(ctx context.Context, b *bench) error {
	const part = "activerecord"
	version, err := rubyVersion(ctx)
	if err != nil {
		return err
	}
	mails := b.mails / 10
	if err := b.fill(ctx, "mail", mails); err != nil {
		return err
	}
	var ours, theirs, ratios []float64
	for round := range b.rounds {
		dsn, err := b.fresh(ctx, "mail_reaper")
		if err != nil {
			return err
		}
		r, _, base, err := purgeHere(ctx, dsn)
		if err != nil {
			return err
		}
		a, err := b.rails(ctx, "in_batches", base, r)
		if err != nil {
			return err
		}
		b.say("round %d: %d mails, reaper %s, ActiveRecord %s", round+1, a.mails, r.took.Round(1e6), a.took.Round(1e6))
		x, y := rate(r.mails, r.took), rate(a.mails, a.took)
		ours, theirs, ratios = append(ours, x), append(theirs, y), append(ratios, x/y)
		if round == 0 && b.destroyAll {
			d, err := b.rails(ctx, "destroy_all", base, r)
			if err != nil {
				return err
			}
			b.tell(part, "destroy_all, one round", fmt.Sprintf("%.0f mails/s", rate(d.mails, d.took)))
		}
		if err := b.drop(ctx, "mail_reaper"); err != nil {
			return err
		}
	}
	b.tell(part, fmt.Sprintf("reaper, n=%d", mails), spread(ours, "%.0f")+" mails/s")
	b.tell(part, fmt.Sprintf("ActiveRecord %s, in_batches(of: 50).destroy_all, n=%d", version, mails), spread(theirs, "%.0f")+" mails/s")
	b.judge(part, "reaper to ActiveRecord", spread(ratios, "%.0f")+" ×", "≥ 40 ×", median(ratios) >= 40)
	return nil
}

// rails runs the script on a copy of its own, and holds what stays against
// what reaper left.
func (b *bench) rails(ctx context.Context, how, base string, ours timed) (t timed, err error) {
	dsn, err := b.fresh(ctx, "mail_rails")
	if err != nil {
		return t, err
	}
	if t, err = destroy(ctx, dsn, how, base); err != nil {
		return t, err
	}
	if t.after, err = contents(ctx, dsn); err != nil {
		return t, err
	}
	if d := difference(ours.after, t.after); d != "" {
		return t, fmt.Errorf("reaper and ActiveRecord left different rows: %s", d)
	}
	return t, b.drop(ctx, "mail_rails")
}

// destroy runs the script, which times the deletion alone: neither Ruby's start
// nor the connection counts.
func destroy(ctx context.Context, dsn, how, base string) (t timed, err error) {
	config, err := pgx.ParseConfig(dsn)
	if err != nil {
		return t, err
	}
	cmd := exec.CommandContext(ctx, "ruby", "-", how, base)
	cmd.Stdin = strings.NewReader(purgeRB)
	cmd.Env = append(os.Environ(), "PGHOST="+config.Host, fmt.Sprintf("PGPORT=%d", config.Port), "PGUSER="+config.User, "PGDATABASE="+config.Database)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return t, fmt.Errorf("running the ActiveRecord script: %w: %s", err, stderr.Bytes())
	}
	var result struct {
		Mails   int64   `json:"mails"`
		Seconds float64 `json:"seconds"`
	}
	if err := json.Unmarshal(stdout.Bytes(), &result); err != nil {
		return t, fmt.Errorf("reading the ActiveRecord script's result: %w", err)
	}
	t.mails, t.took = result.Mails, time.Duration(result.Seconds*float64(time.Second))
	return t, nil
}

func rubyVersion(ctx context.Context) (string, error) {
	if _, err := exec.LookPath("ruby"); err != nil {
		return "", errors.New("there is no ruby; " + rubyRemedy)
	}
	out, err := exec.CommandContext(ctx, "ruby", "-e", `require "pg"; require "active_record"; puts ActiveRecord.version`).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("ruby has no ActiveRecord, or not the pg gem; %s: %w\n%s", rubyRemedy, err, out)
	}
	return strings.TrimSpace(string(out)), nil
}
