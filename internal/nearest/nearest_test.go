package nearest

import "testing"

func TestEdits(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"", "", 0},
		{"", "abc", 3},
		{"abc", "", 3},
		{"kitten", "sitting", 3},
		{"flaw", "lawn", 2},
		{"retention", "retentoin", 2},
		{"same", "same", 0},
	} {
		if got := edits(c.a, c.b); got != c.want {
			t.Errorf("from %q to %q: %d, want %d", c.a, c.b, got, c.want)
		}
	}
}

func TestIndex(t *testing.T) {
	t.Parallel()
	words := []string{"table", "tables", "age", "agee"}
	for _, c := range []struct {
		mistyped string
		most     int
		want     int
	}{
		{"tabel", 2, 0},
		{"tabless", 2, 1},
		{"agx", 1, 2},
		{"agxe", 1, 2}, // as close as agee, and before it
		{"tabel", 1, -1},
		{"", 2, -1},
		{"", 3, 2},
	} {
		if got := Index(c.mistyped, words, c.most); got != c.want {
			t.Errorf("%q within %d edits: %d, want %d", c.mistyped, c.most, got, c.want)
		}
	}
	if got := Index("any", nil, 9); got != -1 {
		t.Errorf("of no words: %d", got)
	}
}
