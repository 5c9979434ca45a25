package starter

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/reaperdb/reaper/internal/visible"
	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/schema"
)

// ErrNothingChosen means that a person wants no table to be purged.
var ErrNothingChosen = errors.New("no table was chosen")

// ErrNoAnswer means that the answers ended before the questions.
var ErrNoAnswer = errors.New("the input ended before the last question was answered")

// Interview asks a person what a proposal leaves open. Its answers make the proposal a policy file in
// which nothing is left to choose.
type Interview struct {
	In  io.Reader // a line for each answer
	Out io.Writer // for the questions
	// Read makes a proposal in which the owner of the rows is a table, by name; "": there is none;
	// nil: as it seems.
	Read func(ctx context.Context, owner *string) (*Proposal, error)

	answers chan string
}

// Run asks, and returns the file. It ends with the context's error if that ends first.
func (v *Interview) Run(ctx context.Context) (string, error) {
	v.answers = make(chan string)
	go func() {
		defer close(v.answers)
		for s := bufio.NewScanner(v.In); s.Scan(); {
			select {
			case v.answers <- strings.TrimSpace(s.Text()):
			case <-ctx.Done():
				return
			}
		}
	}()
	p, err := v.owner(ctx)
	if err != nil {
		return "", err
	}
	var chosen []Root
	for _, root := range p.Roots {
		wanted, err := v.root(ctx, p, &root)
		if err != nil {
			return "", err
		}
		if wanted {
			chosen = append(chosen, root)
		} else {
			p.Others = append(p.Others, Other{root.Table, "left out by whoever answered"})
		}
	}
	if len(chosen) == 0 {
		return "", ErrNothingChosen
	}
	p.Roots, p.answered = chosen, true
	text := p.YAML()
	if _, err := policy.Parse("the file", []byte(text)); err != nil {
		return "", fmt.Errorf("writing the policy file: %w", err)
	}
	return text, nil
}

func (v *Interview) say(format string, args ...any) { fmt.Fprintf(v.Out, format+"\n", args...) }

// ask asks until accept takes the answer; it may change it.
func (v *Interview) ask(ctx context.Context, question string, accept func(answer string) error) error {
	for {
		fmt.Fprint(v.Out, question+" ")
		select {
		case answer, more := <-v.answers:
			if !more {
				v.say("")
				return ErrNoAnswer
			}
			err := accept(answer)
			if err == nil {
				return nil
			}
			v.say("%s", text(err.Error()))
		case <-ctx.Done():
			v.say("")
			return ctx.Err()
		}
	}
}

// oneOf asks for one of some words; an empty answer is the usual one, unless that is empty.
func (v *Interview) oneOf(ctx context.Context, question, usual string, words ...string) (word string, err error) {
	err = v.ask(ctx, question, func(answer string) error {
		if word = strings.ToLower(answer); word == "" {
			word = usual
		}
		if !slices.Contains(words, word) {
			return errors.New("answer with one of " + strings.Join(words, ", "))
		}
		return nil
	})
	return word, err
}

// owner asks which table owns the rows.
func (v *Interview) owner(ctx context.Context) (p *Proposal, err error) {
	if p, err = v.Read(ctx, nil); err != nil {
		return nil, err
	}
	question := "No table looks like the owner of the rows, such as organizations. Which one is it? [none]"
	if p.Tenants != nil {
		question = fmt.Sprintf("%s seems to own the rows: each of its rows is a tenant, with holds and a retention of its own. Is that so? [yes, none, or another table]", text(p.Tenants.Table.Name.String()))
	}
	err = v.ask(ctx, question, func(answer string) error {
		switch strings.ToLower(answer) {
		case "", "y", "yes":
			return nil
		case "n", "no", "none":
			answer = ""
		}
		other, err := v.Read(ctx, &answer)
		if err == nil {
			p = other
		}
		return err
	})
	return p, err
}

// root asks about a table: whether it is to be purged, whose its rows are, how long they are kept, and
// what happens to those that reference them.
func (v *Interview) root(ctx context.Context, p *Proposal, r *Root) (wanted bool, err error) {
	v.say("")
	name := text(r.Table.Name.String())
	answer, err := v.oneOf(ctx, fmt.Sprintf("%s has %s, aged by %s. Should old ones be deleted? [y/N]", name, about(r.Table.EstimatedRows), text(r.Age.Name)), "n", "y", "n", "yes", "no")
	if err != nil || answer[0] == 'n' {
		return false, err
	}
	if len(r.Paths) > 0 && !r.OnePath {
		if err := v.path(ctx, r); err != nil {
			return false, err
		}
	}
	due, err := v.retention(ctx, p, r)
	if err != nil {
		return false, err
	}
	return true, v.decisions(ctx, p, r, due)
}

// path asks by which of several paths rows reach their tenant.
func (v *Interview) path(ctx context.Context, r *Root) error {
	v.say("Several columns lead from %s to a tenant. Whose are its rows?", text(r.Table.Name.String()))
	for i, p := range r.Paths {
		v.say("  %d  %s", i+1, text(p.steps()))
	}
	return v.ask(ctx, fmt.Sprintf("Which? [1-%d]", len(r.Paths)), func(answer string) error {
		n, err := strconv.Atoi(answer)
		if err != nil || n < 1 || n > len(r.Paths) {
			return fmt.Errorf("answer with a number from 1 to %d", len(r.Paths))
		}
		r.Paths, r.OnePath = r.Paths[n-1:n], true
		return nil
	})
}

// retention asks how long rows are kept, and estimates how many are older; -1: unknown.
func (v *Interview) retention(ctx context.Context, p *Proposal, r *Root) (due float64, err error) {
	question, own := "For how long are its rows kept? [such as 90d, 1y6mo]", p.Tenants != nil && p.Tenants.Retention != "" && len(r.Paths) > 0
	if own {
		question = fmt.Sprintf("For how long are its rows kept? [such as 90d, 1y6mo; empty: %s of each tenant]", text(p.Tenants.Retention))
	}
	due = -1
	err = v.ask(ctx, question, func(answer string) error {
		if answer == "" && own {
			return nil
		}
		d, err := policy.ParseDuration(answer)
		switch {
		case err != nil:
			return err
		case d.IsZero() || d.Forever:
			return errors.New("write a duration above zero, such as 90d")
		}
		r.Retention = answer
		due, err = p.read.older(ctx, r, d)
		return err
	})
	if err == nil && due >= 0 {
		v.say("%s, by the planner's estimate, are older than that.", about(due))
	}
	return due, err
}

// decisions asks what happens to the rows behind each key that the schema leaves undecided, from the
// root down: only below rows that are deleted.
func (v *Interview) decisions(ctx context.Context, p *Proposal, r *Root, due float64) error {
	onPath := p.read.onPaths(r.Table, r.Paths)
	going, rows := []uint32{r.Table.OID}, map[uint32]float64{r.Table.OID: due}
	r.Decisions = nil
	for i := 0; i < len(going); i++ {
		for _, k := range p.read.graph.References(going[i]) {
			deletes := k.OnDelete == schema.Cascade
			behind := p.read.behind(k, going[i], rows[going[i]])
			if k.OnDelete == schema.NoAction || k.OnDelete == schema.Restrict {
				d := p.read.decision(k, going[i], i > 0, onPath)
				if err := v.decide(ctx, &d, rows[going[i]], behind); err != nil {
					return err
				}
				r.Decisions = append(r.Decisions, d)
				deletes = d.Action == "delete"
			}
			if deletes && !slices.Contains(going, k.Child) {
				going, rows[k.Child] = append(going, k.Child), behind
			}
		}
	}
	return nil
}

// decide asks what happens to the rows behind a key, of which so many reference the deleted ones.
func (v *Interview) decide(ctx context.Context, d *Decision, parents, behind float64) error {
	child, parent := text(d.Key.ChildName.String()), text(d.Key.ParentName.String())
	v.say("%s references %s (%s, ON DELETE %s). When a row of %[2]s is due:", child, parent, text(d.Key.Name), d.Key.OnDelete)
	of := "those that reference it"
	if behind >= 0 {
		of = about(behind) + " by now"
	}
	for _, action := range d.Allowed {
		switch action {
		case "delete":
			v.say("  delete   the rows of %s go with it, whatever their age: %s", child, of)
		case "nullify":
			v.say("  nullify  they stay, with %s set to NULL: %s", text(strings.Join(d.Key.ChildColumns, ", ")), of)
		default:
			most := ""
			if behind >= 0 {
				most = fmt.Sprintf(": at most %s of %s", about(min(parents, behind)), parent)
			}
			v.say("  keep     it stays as long as it is referenced%s", most)
		}
	}
	usual, options := "", strings.Join(d.Allowed, ", ")
	if d.Live {
		usual, options = "keep", options+"; empty: keep, since those rows are in use"
	}
	action, err := v.oneOf(ctx, "Which? ["+options+"]", usual, d.Allowed...)
	d.Action = action
	return err
}

// about is a number of rows that is an estimate.
func about(rows float64) string {
	return "about " + visible.Count(int64(max(rows, 0)), "row", "rows")
}
