package main

import (
	"encoding/xml"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// seen is a replay in which both scenarios were played, with a look every 10 ms.
func seen() *replay {
	r := newReplay(nil)
	r.keep = 3 << 20
	for i := range int64(400) {
		r.outage.samples = append(r.outage.samples, sample{time.Duration(i) * 10 * time.Millisecond, max(40-i, 0) << 20})
	}
	r.outage.crashed = 400 * time.Millisecond
	for i := range int64(1000) {
		r.reaper.samples = append(r.reaper.samples, sample{time.Duration(i) * 10 * time.Millisecond, (40 - i%30) << 20})
	}
	r.Fact("2026-11-28, here")
	return r
}

// Both curves lie inside the picture, and end where they were last looked at; the words under
// it are the figures.
func TestPlot(t *testing.T) {
	t.Parallel()
	r := seen()
	r.plot = filepath.Join(t.TempDir(), "img", "replay.svg")
	if err := r.draw(); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(r.plot)
	if err != nil {
		t.Fatal(err)
	}
	var p struct {
		Height float64 `xml:"height,attr"`
		Desc   string  `xml:"desc"`
		Curves []struct {
			Points string `xml:"points,attr"`
		} `xml:"polyline"`
		Texts []string `xml:"text"`
	}
	if err := xml.Unmarshal(data, &p); err != nil || len(p.Curves) != 2 {
		t.Fatalf("%d curves: %v", len(p.Curves), err)
	}
	var ends [2]float64
	for i, c := range p.Curves {
		for place := range strings.FieldsSeq(c.Points) {
			x, y, _ := strings.Cut(place, ",")
			ends[i] = number(t, x)
			if free := number(t, y); ends[i] < plotLeft || ends[i] > plotRight || free < plotTop || free > plotBottom {
				t.Fatalf("%s is outside of the picture", place)
			}
		}
	}
	if want := plotLeft + (plotRight-plotLeft)*9.99/10; ends[1] < want-1 || ends[1] > want+1 || ends[0] > ends[1]/2 {
		t.Errorf("the curves end at %v, want that of reaper to end at %g", ends, want)
	}
	want := "One big DELETE: from 40 MiB free to 0 B, and PostgreSQL was down after 0.4 s. reaper: never under 11 MiB, done after 10.0 s."
	if d := cmp.Diff(want, p.Desc); d != "" {
		t.Error(d)
	}
	all := strings.Join(p.Texts, "\n")
	for _, want := range []string{"2026-11-28, here", "the storage guard keeps 3.0 MiB free", "down", "done after 10.0 s"} {
		if !strings.Contains(all, want) {
			t.Errorf("no %q in\n%s", want, all)
		}
	}
}

func number(t *testing.T, text string) float64 {
	t.Helper()
	v, err := strconv.ParseFloat(text, 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// Without one of its scenarios the picture is left as it is, and that is said.
func TestPlot_NotPlayed(t *testing.T) {
	t.Parallel()
	var said strings.Builder
	r := newReplay(&said)
	r.outage = seen().outage
	r.plot = filepath.Join(t.TempDir(), "replay.svg")
	if err := r.draw(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(r.plot); !os.IsNotExist(err) || !strings.Contains(said.String(), "was not drawn") {
		t.Errorf("%v; it says %q", err, said.String())
	}
}
