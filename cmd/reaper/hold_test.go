package main

import (
	"strings"
	"testing"
)

func TestCheckKeys(t *testing.T) {
	t.Parallel()
	if err := checkKeys("--tenant", []string{"1", "Ümläut", " x "}); err != nil {
		t.Error(err)
	}
	for _, key := range []string{"a\xff", "a\x00b"} {
		if err := checkKeys("--tenant", []string{"1", key}); err == nil || !strings.Contains(err.Error(), "not valid UTF-8") {
			t.Errorf("%q: %v", key, err)
		}
	}
}

// No length of a hold is taken for a shorter one, and none that is refused is taken.
func TestHoldLength(t *testing.T) {
	t.Parallel()
	for text, ok := range map[string]bool{
		"1s": true, "100y": true, "1200mo": true, "36500d": true,
		"101y": false, "1201mo": false, "600y": false, "7000mo": false, "213510d": false, "106751997d": false, "21350404d": false, "0d": false, "forever": false,
	} {
		if _, err := holdLength(text); (err == nil) != ok {
			t.Errorf("--for %s: %v", text, err)
		}
	}
}
