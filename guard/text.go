package guard

import (
	"math"
	"strconv"
	"strings"
	"unicode"
)

// amount formats a value for people.
func amount(v float64, unit string) string {
	switch unit {
	case Bytes:
		return size(v)
	case BytesPerSecond:
		return size(v) + "/s"
	case Seconds:
		return length(v)
	case Ratio:
		return number(v*100) + "%"
	}
	return number(v)
}

// size formats bytes as the policy file writes them: in powers of 1024.
func size(v float64) string {
	units := []string{"B", "KB", "MB", "GB", "TB"}
	i := 0
	for i < len(units)-1 && math.Abs(v) >= 1000 {
		v /= 1024
		i++
	}
	return number(v) + " " + units[i]
}

// number drops decimals that do not matter.
func number(v float64) string {
	decimals := 0
	if math.Abs(v) < 100 {
		decimals = 1
	}
	text := strconv.FormatFloat(v, 'f', decimals, 64)
	if v != 0 && math.Abs(v) < 0.95 {
		return strconv.FormatFloat(v, 'g', 2, 64)
	}
	return strings.TrimSuffix(text, ".0")
}

// length formats seconds, long durations in two units.
func length(v float64) string {
	switch {
	case math.Abs(v) < 1:
		return number(v*1000) + " ms"
	case math.Abs(v) < 120:
		return number(v) + " s"
	}
	seconds := int64(math.Round(v))
	if seconds < 3600 {
		return twoUnits(seconds, 60, "m", "s")
	}
	return twoUnits(seconds/60, 60, "h", "m")
}

// twoUnits formats n, counted in the smaller unit, in both units; a zero remainder is
// omitted.
func twoUnits(n, per int64, greater, lesser string) string {
	text := strconv.FormatInt(n/per, 10) + greater
	if n%per != 0 {
		text += strconv.FormatInt(n%per, 10) + lesser
	}
	return text
}

// maxBrief bounds text from outside.
const maxBrief = 200

// oneLine returns text from outside as one line of bounded length.
func oneLine(s string) string {
	s = strings.Join(strings.FieldsFunc(s, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) }), " ")
	if runes := []rune(s); len(runes) > maxBrief {
		return string(runes[:maxBrief]) + "…"
	}
	return s
}
