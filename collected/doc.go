// Package collected holds the rows that a batch has collected – where they lie, and the values by
// which others reference them – and writes the statements that read, lock, check, clear and delete
// rows by them. Which edges there are, and what becomes of each, is in package plan; what is run
// when, in package deletion.
package collected
