// Package nearest finds the word that a mistyped one was probably meant to be.
package nearest

// Index returns the index of the word with the smallest edit distance to a mistyped one, the
// first among equals, or -1 if every distance exceeds most.
func Index(mistyped string, words []string, most int) int {
	best, fewest := -1, most+1
	for i, w := range words {
		if d := edits(mistyped, w); d < fewest {
			best, fewest = i, d
		}
	}
	return best
}

// edits is the Levenshtein distance of two strings, in bytes.
func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], cost
		}
	}
	return row[len(b)]
}
