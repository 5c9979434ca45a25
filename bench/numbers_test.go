package main

import (
	"slices"
	"testing"
)

func TestQuantile(t *testing.T) {
	t.Parallel()
	var hundred []float64
	for i := range 100 {
		hundred = append(hundred, float64(100-i))
	}
	for _, c := range []struct {
		values  []float64
		q, want float64
	}{
		{hundred, 0.5, 50},
		{hundred, 0.99, 99},
		{hundred, 1, 100},
		{hundred, 0, 1},
		{[]float64{7}, 0.99, 7},
		{[]float64{3, 1}, 0.5, 1},
	} {
		if got := quantile(c.values, c.q); got != c.want {
			t.Errorf("quantile %g of %d values is %g, want %g", c.q, len(c.values), got, c.want)
		}
	}
}

func TestSpread(t *testing.T) {
	t.Parallel()
	for want, values := range map[string][]float64{
		"4.0":              {4},
		"2.5 (1.0 to 9.0)": {9, 2, 1, 3},
		"2.0 (1.0 to 3.0)": {3, 1, 2},
	} {
		if got := spread(values, "%.1f"); got != want {
			t.Errorf("spread of %v is %q, want %q", values, got, want)
		}
	}
}

func TestRatios(t *testing.T) {
	t.Parallel()
	if got := ratios([]float64{6, 1}, []float64{3, 4}); !slices.Equal(got, []float64{2, 0.25}) {
		t.Errorf("got %v", got)
	}
}
