package svg

import (
	"slices"
	"testing"
)

func TestAxis(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		most float64
		want []string
	}{
		{5, []string{"0", "1", "2", "3", "4", "5"}},
		{5.1, []string{"0", "2", "4", "6"}},
		{276_000, []string{"0", "100,000", "200,000", "300,000"}},
		{0.0042, []string{"0", "0.001", "0.002", "0.003", "0.004", "0.005"}},
		{1, []string{"0", "0.2", "0.4", "0.6", "0.8", "1"}},
	} {
		a := NewAxis(c.most, 100)
		var labels []string
		var last float64
		a.Each(func(at float64, label string) { labels, last = append(labels, label), at })
		if !slices.Equal(labels, c.want) {
			t.Errorf("up to %g: %q, want %q", c.most, labels, c.want)
		}
		if last != 100 || a.At(c.most) > 100 || a.At(c.most) < 60 {
			t.Errorf("up to %g: the last tick is at %g, and %g at %g", c.most, last, c.most, a.At(c.most))
		}
	}
}

func TestFigure(t *testing.T) {
	t.Parallel()
	for value, want := range map[float64]string{0: "0", 275_912: "276,000", 172.4: "172", 6.2551: "6.26", 0.00512: "0.00512", 1e6: "1,000,000", 9.999: "10"} {
		if got := Figure(value); got != want {
			t.Errorf("%g is %q, want %q", value, got, want)
		}
	}
}
