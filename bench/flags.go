package main

import (
	"errors"
	"flag"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/reaperdb/reaper/internal/lab"
	"github.com/reaperdb/reaper/internal/pg"
)

// parse parses the flags and returns the parts to run.
func (b *bench) parse(args []string) (chosen []part, err error) {
	flags, only := b.Flags(strings.Join(lab.Names(parts), ", ") + "; empty: all but archive, isolation and scale")
	flags.IntVar(&b.mails, "n", 200_000, "mails in the mail part; determines the size of the other parts")
	flags.IntVar(&b.rounds, "rounds", 3, "rounds in which the sides are timed in turn; the medians count")
	flags.IntVar(&b.connections, "connections", pg.DefaultConnections, "number of reaper's deleting connections")
	flags.IntVar(&b.tenants, "tenants", 0, "tenants of the part idle; 0 means five for each mail of -n")
	flags.IntVar(&b.factor, "factor", 10, "multiple of -n that the part scale compares with -n, as it does half of that")
	flags.DurationVar(&b.scaleLimit, "scale-limit", 90*time.Minute, "time limit of the part scale")
	flags.DurationVar(&b.window, "window", 15*time.Second, "time limit of each purge in the parts pace and isolation")
	paces := flags.String("paces", defaultPaces, "the paces of the part pace")
	ours := flags.String("sides", "", "reaper's sides of the part mail: a comma-separated list of "+strings.Join(sideNames(), ", ")+"; empty: all")
	flags.StringVar(&b.plot, "plot", "", "draw the figures of "+strings.Join(plotted, ", ")+" as SVG into this file")
	flags.StringVar(&b.draw, "draw", "", "measure nothing, and draw this result, a file that -out has written as JSON, into -plot")
	flags.Lookup("out").Usage = "also write the table to this file or, if its name ends with .json, the result for -draw"
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if filepath.Ext(b.Out) == ".json" {
		b.Out, b.jsonOut = "", b.Out
	}
	if err := b.validate(flags.NArg()); err != nil {
		return nil, err
	}
	if b.paces, err = choosePaces(*paces); err != nil {
		return nil, err
	}
	if b.sides, err = chooseSides(*ours); err != nil {
		return nil, err
	}
	if chosen, err = lab.Choose(parts, *only); err != nil {
		return nil, err
	}
	return chosen, b.validatePlot(flags, chosen)
}

// plotted are the parts whose figures are drawn.
var plotted = []string{"mail", "tenants", "pace"}

// validatePlot refuses a plot of nothing, and flags that have no meaning where nothing is
// measured.
func (b *bench) validatePlot(flags *flag.FlagSet, chosen []part) error {
	if b.draw == "" {
		if b.plot != "" && !slices.ContainsFunc(chosen, func(p part) bool { return slices.Contains(plotted, p.Name) }) {
			return fmt.Errorf("-plot draws the figures of %s: choose one of these parts", strings.Join(plotted, ", "))
		}
		return nil
	}
	if b.plot == "" || flags.NFlag() > 2 {
		return errors.New("-draw needs -plot, and no other flag")
	}
	return nil
}

// validate refuses numbers that measure nothing, and arguments.
func (b *bench) validate(words int) error {
	if b.mails < 1000 || b.rounds < 1 || b.factor < 2 || words > 0 {
		return errors.New("-n must be at least 1000, -rounds at least 1, -factor at least 2, and there must be no arguments")
	}
	if b.connections < 1 || b.tenants < 0 || b.window < time.Second || b.scaleLimit < time.Second {
		return errors.New("-connections must be at least 1, -tenants not negative, and -window and -scale-limit at least 1s")
	}
	return nil
}

// chooseSides finds reaper's sides by name; empty means all.
func chooseSides(only string) (chosen []side, err error) {
	if only == "" {
		return sides, nil
	}
	for name := range strings.SplitSeq(only, ",") {
		i := slices.Index(sideNames(), strings.TrimSpace(name))
		if i < 0 {
			return nil, fmt.Errorf("-sides %s: choose from %s", name, strings.Join(sideNames(), ", "))
		}
		chosen = append(chosen, sides[i])
	}
	return chosen, nil
}

func sideNames() []string {
	var all []string
	for _, s := range sides {
		all = append(all, s.name)
	}
	return all
}

var paceWords = regexp.MustCompile(`^(full|gentle|[0-9]+%)$`)

// choosePaces splits a list of paces. They are inserted into a policy file, so only valid
// paces are allowed.
func choosePaces(list string) (paces []string, err error) {
	for p := range strings.SplitSeq(list, ",") {
		if p = strings.TrimSpace(p); !paceWords.MatchString(p) {
			return nil, fmt.Errorf("-paces %s: write full, gentle or a percentage like 25%%", p)
		}
		paces = append(paces, p)
	}
	return paces, nil
}
