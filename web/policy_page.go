package web

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/reaperdb/reaper/preview"
)

// policyPage answers with the page of one policy.
func (s *server) policyPage(w http.ResponseWriter, r *http.Request) {
	now, status := s.Now(), s.Status()
	i := slices.IndexFunc(status.Policies, func(p Policy) bool { return p.Name == r.PathValue("name") })
	if i < 0 {
		http.Error(w, "there is no such policy; the main page lists those that there are", http.StatusNotFound)
		return
	}
	text, err := s.document.renderPolicy(status, status.Judge(now, s.MaxAge), now, status.Policies[i])
	if err != nil {
		s.Log.Error("page of a policy not rendered", "error", err)
		http.Error(w, "the page could not be rendered; /api/status has most of its content", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	s.send(w, http.StatusOK, text)
}

func (d document) renderPolicy(s Status, v Verdict, now time.Time, p Policy) ([]byte, error) {
	var b bytes.Buffer
	all := newView(s, v.of(p.Name), now)
	all.up = true
	err := d.template.ExecuteTemplate(&b, "policy", &policyView{view: all, P: p})
	return b.Bytes(), err
}

// of is the part of a verdict that concerns a policy: its own findings, and those about no single one.
func (v Verdict) of(name string) Verdict {
	other := func(f Finding) bool { return f.Policy != "" && f.Policy != name }
	for _, list := range []*[]Finding{&v.NotReady, &v.Broken, &v.Unhealthy, &v.Held, &v.Warnings} {
		*list = slices.DeleteFunc(slices.Clone(*list), other)
	}
	return v
}

// policyView is the data of a policy's page.
type policyView struct {
	*view
	P Policy
}

// Whole is the part that all pages share.
func (v *policyView) Whole() *view { return v.view }

// Title is the headline: the policy, and its state.
func (v *policyView) Title() string {
	word := v.State(v.P).Word
	if !strings.HasPrefix(word, "was ") {
		word = "is " + word
	}
	return v.P.Name + " " + word
}

// PolicyTone is the tone of a policy's page.
func (v *view) PolicyTone(p Policy) string {
	if tone := v.State(p).Tone; tone != "unknown" || !v.blind {
		return tone
	}
	return v.Tone()
}

// Tenants are the policy's most overdue ones.
func (v *policyView) Tenants() []policyTenant {
	return slices.DeleteFunc(v.Worst(), func(t policyTenant) bool { return t.Policy != v.P.Name })
}

// Now is the run in progress, as a list of at most one.
func (v *policyView) Now() []running {
	return slices.DeleteFunc(v.Running(), func(r running) bool { return r.Policy != v.P.Name })
}

// Runs are the runs in the table, newest first.
func (v *policyView) Runs() []policyRun {
	var list []policyRun
	for _, r := range v.P.ended() {
		list = append(list, policyRun{v.P.Name, r})
	}
	return list
}

// bar is a run in the history: a bar as high as the rows that it deleted.
type bar struct {
	X, Y, Height float64
	Tone, Label  string
}

// history is the history of runs as bars, oldest first, in a box of Width by 100.
type history struct {
	Bars     []bar
	Width    int
	Most     int64 // rows of the highest bar
	From, To time.Time
	Label    string
}

// barStep is the distance of two bars.
const barStep = 10

// fewestBars is how many bars have room at least, so that few of them are not broad.
const fewestBars = 30

// History draws the runs; nil if there is none.
func (v *policyView) History() *history {
	runs := v.P.Past
	if len(runs) == 0 {
		runs = v.P.ended()
	}
	if len(runs) == 0 {
		return nil
	}
	runs = slices.Clone(runs)
	slices.Reverse(runs)
	h := &history{Width: barStep * max(len(runs), fewestBars), From: runs[0].StartedAt, To: runs[len(runs)-1].StartedAt}
	bad := int64(0)
	for _, r := range runs {
		h.Most = max(h.Most, r.RowsTotal)
		if r.Tone() != "good" {
			bad++
		}
	}
	for i, r := range runs {
		const least = 3 // so that a run without rows is seen
		height := least + (100-least)*float64(r.RowsTotal)/float64(max(h.Most, 1))
		h.Bars = append(h.Bars, bar{
			X: float64(h.Width - barStep*(len(runs)-i)), Y: 100 - height, Height: height, Tone: r.Tone(),
			Label: fmt.Sprintf("%s, %s: %s", clock(r.StartedAt, v.now), brief(r.Status), plural(r.RowsTotal, "row", "rows")),
		})
	}
	h.Label = fmt.Sprintf("%s, of which %d did not complete; at most %s", plural(int64(len(runs)), "run", "runs"), bad, plural(h.Most, "row", "rows"))
	return h
}

// lagPlot is the lag over time, in a box of 100 by 100.
type lagPlot struct {
	Line, Area string
	Limit      *float64 // where the limit is; nil if there is none, or it is out of the box
	Most       float64  // seconds at the top of the line
	From, To   time.Time
	Label      string
}

// LagPlot draws the lag; nil if it was not measured twice.
func (v *policyView) LagPlot() *lagPlot {
	points := v.P.Lags
	if len(points) < 2 {
		return nil
	}
	p := &lagPlot{From: points[0].At, To: points[len(points)-1].At}
	for _, x := range points {
		p.Most = max(p.Most, x.Seconds)
	}
	top := max(p.Most, 1)
	if limit := v.P.MaxLagSeconds; limit != nil && *limit < 3*top {
		top = max(top, *limit)
		p.Limit = new(y(*limit, top))
	}
	width := p.To.Sub(p.From).Seconds()
	if width <= 0 {
		return nil
	}
	var line strings.Builder
	for i, x := range points {
		letter := 'L'
		if i == 0 {
			letter = 'M'
		}
		fmt.Fprintf(&line, "%c%.1f %.1f", letter, 100*x.At.Sub(p.From).Seconds()/width, y(x.Seconds, top))
	}
	p.Line = line.String()
	p.Area = p.Line + "L100 100L0 100Z"
	p.Label = fmt.Sprintf("lag over %s: %s at most, now %s", span(p.To.Sub(p.From)), spanOf(p.Most), spanOf(points[len(points)-1].Seconds))
	return p
}

// y is where a value is drawn, with a little room above.
func y(value, top float64) float64 { return 100 - 92*value/top }

// branch is a table of the tree.
type branch struct {
	preview.TablePreview
	Indent string
}

// Branches are the tables that a run deletes from.
func (v *policyView) Branches() []branch {
	var list []branch
	for _, t := range v.P.Tree {
		b := branch{TablePreview: t}
		if t.Parent != "" {
			b.Indent = strings.Repeat("\u00a0\u00a0", max(t.Depth()-1, 0)) + "└\u00a0"
		}
		list = append(list, b)
	}
	return list
}
