// Package reservoir keeps quantiles of any number of values in bounded memory, by reservoir
// sampling.
package reservoir

import (
	"math/rand/v2"
	"slices"
)

// most is how many values are kept.
const most = 4096

// Sample is a sample of the values that were added to it. The zero value is empty.
type Sample struct {
	kept []float64
	seen int
	max  float64
}

// Add adds a value that is not negative.
func (s *Sample) Add(x float64) {
	s.seen++
	s.max = max(s.max, x)
	if len(s.kept) < most {
		s.kept = append(s.kept, x)
	} else if i := rand.IntN(s.seen); i < most {
		s.kept[i] = x
	}
}

// Max is the largest value of all; 0: there is none.
func (s *Sample) Max() float64 { return s.max }

// Quantiles are the values below which these shares (0 to 1) of all lie; zeros: there are
// none.
func (s *Sample) Quantiles(shares ...float64) []float64 {
	at := make([]float64, len(shares))
	if len(s.kept) == 0 {
		return at
	}
	sorted := slices.Sorted(slices.Values(s.kept))
	for i, q := range shares {
		at[i] = sorted[int(q*float64(len(sorted)-1))]
	}
	return at
}
