package reservoir

import "testing"

// Up to the size of the reservoir quantiles are exact, beyond it close; the largest value
// is exact always.
func TestQuantiles(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 100, 100_000} {
		var s Sample
		for i := range n {
			s.Add(float64(i))
		}
		if want := float64(max(n-1, 0)); s.Max() != want {
			t.Errorf("of %d values the largest is %v, want %v", n, s.Max(), want)
		}
		if len(s.kept) > most {
			t.Errorf("of %d values %d are kept", n, len(s.kept))
		}
		for i, q := range s.Quantiles(0.5, 0.99) {
			want := []float64{0.5, 0.99}[i] * float64(max(n-1, 0))
			if off := q - want; n <= most && (off > 0 || off <= -1) || max(off, -off) > float64(n)/10 {
				t.Errorf("of %d values quantile %d is %v, want about %v", n, i, q, want)
			}
		}
	}
}
