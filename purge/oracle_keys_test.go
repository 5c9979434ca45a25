package purge_test

import (
	"fmt"
	"strings"
	"time"
)

// keyKind is the type of a table's key.
type keyKind string

const (
	intKey    keyKind = "int"
	textKey   keyKind = "text"
	uuidKey   keyKind = "uuid"
	pairKey   keyKind = "pair" // (int, text)
	enumKey   keyKind = `app."Mood"`
	domainKey keyKind = `app."Name"`
	timeKey   keyKind = "timestamptz"
	dateKey   keyKind = "date"
	bytesKey  keyKind = "bytea"
	numberKey keyKind = "numeric"
	floatKey  keyKind = "float8"
	charKey   keyKind = "char(12)"

	// Kinds whose children may have another type or spell a value differently.
	citextKey   keyKind = "extensions.citext"
	caseKey     keyKind = "text COLLATE extensions.ci" // nondeterministic: case-insensitive
	germanKey   keyKind = "text COLLATE extensions.de"
	varcharKey  keyKind = "varchar(40)"
	wholeKey    keyKind = "numeric(20,2)"
	halfKey     keyKind = "double precision"
	intervalKey keyKind = "interval"
	stampKey    keyKind = "timestamp"
	momentKey   keyKind = "timestamptz(0)" // at midnight
)

// keyKinds are the kinds of roots and dependents, common ones more often.
var keyKinds = []keyKind{
	intKey, textKey, uuidKey, pairKey, intKey, textKey, uuidKey, pairKey,
	enumKey, domainKey, timeKey, dateKey, bytesKey, numberKey, floatKey, charKey,
}

// acrossKinds are further kinds of roots and dependents.
var acrossKinds = []keyKind{
	citextKey, citextKey, caseKey, germanKey, varcharKey, wholeKey, wholeKey, numberKey, charKey, halfKey, intervalKey, stampKey, momentKey, dateKey, textKey,
}

// spelledKinds are the kinds of tenants whose keys have several spellings.
var spelledKinds = []keyKind{citextKey, citextKey, numberKey, wholeKey, charKey, caseKey, uuidKey, intKey}

// oddTexts are keys that break naive conversion to arrays and back.
var oddTexts = []string{"", "NULL", `"`, `\`, "'", "{}", "{a,b}", "a b", "ä", ",", "$1::text", "1", "a", "A"}

func oddText(i int) string {
	if i < len(oddTexts) {
		return oddTexts[i]
	}
	return fmt.Sprintf("%s %d", oddTexts[i%len(oddTexts)], i)
}

// types are the column types of a key.
func (k keyKind) types() []string {
	if k == pairKey {
		return []string{"int", "text"}
	}
	return []string{string(k)}
}

// manyTexts reports whether a key has several spellings, so that text cannot reference it.
func (k keyKind) manyTexts() bool {
	switch k {
	case timeKey, dateKey, citextKey, caseKey, wholeKey, halfKey, intervalKey, stampKey, momentKey:
		return true
	}
	return false
}

// caseText is like oddText, but no two values differ only by case.
func caseText(i int) string {
	if i < 12 {
		return oddTexts[i]
	}
	return fmt.Sprintf("Ab %d", i)
}

// values is the key of the i-th row, as PostgreSQL prints it.
func (k keyKind) values(i int) []string {
	one := func(s string) []string { return []string{s} }
	switch k {
	case textKey, domainKey, germanKey, varcharKey:
		return one(oddText(i))
	case citextKey, caseKey:
		return one(caseText(i))
	case wholeKey:
		return one(fmt.Sprintf("%d.00", i))
	case halfKey:
		return one(fmt.Sprint(float64(i) * 0.5))
	case intervalKey:
		if i == 0 {
			return one("00:00:00")
		}
		return one(fmt.Sprintf("%d:00:00", 24*i))
	case stampKey:
		return one(time.Date(2020, 2, 28+i, 0, 0, 0, 0, time.UTC).Format("2006-01-02 15:04:05"))
	case momentKey:
		return one(time.Date(2020, 2, 28+i, 0, 0, 0, 0, time.UTC).Format("2006-01-02 15:04:05+00"))
	case charKey:
		return one(strings.TrimRight(oddText(i), " ") + "x")
	case enumKey:
		return one("m" + oddText(i))
	case uuidKey:
		return one(fmt.Sprintf("%08x-0000-4000-8000-%012x", i*7919%1000, i))
	case pairKey:
		return []string{fmt.Sprint(i % 3), oddText(i)}
	case timeKey:
		return one(time.Date(2020, 2, 28, i, 0, 0, 0, time.UTC).Format("2006-01-02 15:04:05+00"))
	case dateKey:
		return one(time.Date(2020, 2, 28+i, 0, 0, 0, 0, time.UTC).Format("2006-01-02"))
	case bytesKey:
		return one(fmt.Sprintf(`\x00ff%02x`, i))
	case numberKey:
		return one(fmt.Sprintf("%d.50", i))
	case floatKey:
		return one(fmt.Sprint(float64(i) * 0.1))
	}
	return one(fmt.Sprint(i))
}
