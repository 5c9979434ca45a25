package svg

import (
	"encoding/xml"
	"math"
	"slices"
	"strconv"
	"testing"
)

// A curve goes through its points, and all texts are escaped.
func TestCanvas(t *testing.T) {
	t.Parallel()
	c := &Canvas{Width: 100}
	c.Curve("reaper", []Point{{1, 2}, {3, 4.25}})
	c.Text("muted", 1, 2, "<a> & b")
	var p struct {
		Height float64 `xml:"height,attr"`
		Title  string  `xml:"title"`
		Curves []struct {
			Points string `xml:"points,attr"`
		} `xml:"polyline"`
		Texts []string `xml:"text"`
	}
	if err := xml.Unmarshal([]byte(c.File(50, "a < b", "in words")), &p); err != nil {
		t.Fatal(err)
	}
	if p.Height != 50 || p.Title != "a < b" || len(p.Curves) != 1 || p.Curves[0].Points != "1.0,2.0 3.0,4.2" || !slices.Equal(p.Texts, []string{"<a> & b"}) {
		t.Errorf("%+v", p)
	}
}

// Text, bars and curves can be told from the background in both modes: the contrasts that WCAG 2 asks
// of text, 4.5, and of graphics, 3.
func TestPalettes(t *testing.T) {
	t.Parallel()
	for name, p := range map[string]palette{"light": light, "dark": dark} {
		for color, least := range map[string]float64{p.text: 4.5, p.muted: 4.5, p.peer: 3, p.reaper: 3, p.proven: 3} {
			if c := contrast(t, color, p.background); c < least {
				t.Errorf("%s: the contrast of %s to %s is %.2f, want %.1f", name, color, p.background, c, least)
			}
		}
	}
}

func contrast(t *testing.T, a, b string) float64 {
	t.Helper()
	x, y := luminance(t, a), luminance(t, b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

// luminance is the relative luminance of WCAG 2 of a color like #0969da.
func luminance(t *testing.T, color string) (sum float64) {
	t.Helper()
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		n, err := strconv.ParseUint(color[1+2*i:3+2*i], 16, 8)
		if err != nil {
			t.Fatal(err)
		}
		v := float64(n) / 255
		if v <= 0.04045 {
			sum += weight * v / 12.92
		} else {
			sum += weight * math.Pow((v+0.055)/1.055, 2.4)
		}
	}
	return sum
}
