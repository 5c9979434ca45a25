// Package redact overwrites columns of rows that stay: which columns may be overwritten, by what, and
// the UPDATE that does it.
//
// A redaction must come to an end, and a second one must change nothing. So a new value may depend
// neither on time, chance or other rows nor on a column that is overwritten itself, and the UPDATE
// touches only rows that differ from what they are to become. Columns that identify rows, connect
// them, or decide what else happens to them cannot be overwritten.
package redact
