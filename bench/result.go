package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/reaperdb/reaper/internal/lab"
)

// result is what a run has measured: its table, and what the plot is drawn from. It is the JSON
// file that -out writes and -draw reads.
type result struct {
	Machine string        `json:"machine"` // with the date
	Server  string        `json:"server"`
	Load    string        `json:"load"`
	Mails   int           `json:"mails"` // -n
	Rounds  int           `json:"rounds"`
	Failed  []string      `json:"failed,omitempty"` // parts that ended with an error
	Table   []tableLine   `json:"table"`
	Rates   []rateGroup   `json:"rates,omitempty"`
	Pace    []paceFigures `json:"pace,omitempty"`
}

// tableLine is a line of the table; without a target, Met is false.
type tableLine struct {
	Part     string `json:"part"`
	Figure   string `json:"figure"`
	Measured string `json:"measured"`
	Target   string `json:"target,omitempty"`
	Met      bool   `json:"met,omitempty"`
}

// rateGroup is one workload: peers, and the sides of reaper that are compared with the first of
// them.
type rateGroup struct {
	Title string     `json:"title"`
	Peers []rateLine `json:"peers"`
	Sides []rateLine `json:"sides"`
}

// rateLine holds rows per second, by round.
type rateLine struct {
	Name   string    `json:"name"`
	Proven bool      `json:"proven,omitempty"`
	Rates  []float64 `json:"rows_per_second"`
}

// noPurge is the pace of the foreground that has the server to itself.
const noPurge = "no purge"

// paceFigures are a pace's figures, by round. Those of noPurge come first.
type paceFigures struct {
	Pace  string    `json:"pace"`
	Rates []float64 `json:"rows_per_second"` // of the purge
	P99   []float64 `json:"p99_seconds"`     // of the foreground
}

func (b *bench) newResult() result {
	return result{Machine: lab.Machine(time.Now()), Load: load(), Mails: b.mails, Rounds: b.rounds}
}

// Tell adds a line without a target to the table and to the result.
func (b *bench) Tell(part, name, found string) {
	b.Program.Tell(part, name, found)
	b.result.Table = append(b.result.Table, tableLine{Part: part, Figure: name, Measured: found})
}

// Judge adds a line with a target, and whether it was met, to the table and to the result.
func (b *bench) Judge(part, name, found, wanted string, met bool) {
	b.Program.Judge(part, name, found, wanted, met)
	b.result.Table = append(b.result.Table, tableLine{part, name, found, wanted, met})
}

// write writes the result as a JSON file.
func (r result) write(file string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err == nil {
		err = writeFile(file, append(text, '\n'))
	}
	if err != nil {
		return fmt.Errorf("writing the result: %w", err)
	}
	return nil
}

// writeFile makes the directory too: a measurement takes too long to be lost for want of it.
func writeFile(file string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		return err
	}
	return os.WriteFile(file, text, 0o644)
}

// readResult reads the file that write has written.
func readResult(file string) (r result, err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return r, fmt.Errorf("reading the result: %w", err)
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&r); err != nil {
		return r, fmt.Errorf("reading the result %s: %w", file, err)
	}
	return r, nil
}

// plottable refuses a result from which no honest plot can be drawn.
func (r result) plottable() error {
	if len(r.Failed) > 0 {
		return fmt.Errorf("not drawn: the parts %v failed", r.Failed)
	}
	if len(r.Rates) == 0 && len(r.Pace) == 0 {
		return errors.New("not drawn: the result has no figures of mail, tenants or pace")
	}
	for _, g := range r.Rates {
		if err := g.check(); err != nil {
			return fmt.Errorf("not drawn: %s: %w", g.Title, err)
		}
	}
	return checkPaces(r.Pace)
}

func (g rateGroup) check() error {
	if len(g.Peers) == 0 || len(g.Sides) == 0 {
		return errors.New("it has no peer, or no side of reaper")
	}
	rounds := len(g.Peers[0].Rates)
	for _, l := range append(append([]rateLine(nil), g.Peers...), g.Sides...) {
		if err := checkFigures(l.Rates, rounds); err != nil {
			return fmt.Errorf("%s: %w", l.Name, err)
		}
	}
	return nil
}

func checkPaces(paces []paceFigures) error {
	for i, p := range paces {
		if (p.Pace == noPurge) != (i == 0) {
			return fmt.Errorf("not drawn: the figures of pace must begin with those of %s, and have them once", noPurge)
		}
		err := checkFigures(p.P99, len(paces[0].P99))
		if i > 0 {
			err = errors.Join(err, checkFigures(p.Rates, len(p.P99)))
		}
		if err != nil {
			return fmt.Errorf("not drawn: pace %s: %w", p.Pace, err)
		}
	}
	return nil
}

// checkFigures requires a positive figure of every round.
func checkFigures(values []float64, rounds int) error {
	if len(values) == 0 || len(values) != rounds {
		return fmt.Errorf("it has figures of %d rounds, want %d", len(values), rounds)
	}
	for _, v := range values {
		if !(v > 0) {
			return fmt.Errorf("%g is not a figure above zero", v)
		}
	}
	return nil
}
