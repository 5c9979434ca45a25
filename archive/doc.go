// Package archive holds copies of rows before they are deleted: one object a segment, in a folder
// or in a bucket. An object needs nothing of reaper to be read: it is a tar, compressed by zstd and,
// where asked for, encrypted by age, of a manifest, of the statements that make the tables, and of
// one file a table in PostgreSQL's COPY text format. docs/ARCHIVE.md shows how.
//
// Beside a segment stand lists of what was deleted of it. A segment alone proves nothing: rows that
// were copied may have lived on. Only what is on a list may come back.
//
// The package knows no database. Who copies and deletes rows is in package purge, what puts them
// back in package restore.
package archive
