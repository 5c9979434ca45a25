// Package terminal writes what people read: colors, tables that fit, and the progress of a run.
//
// A [Writer] stands around stdout and stderr. It escapes whatever is invisible, lets the colors of
// this package through and nothing else, and knows its [Style]: whether it is a terminal, how wide,
// and whether it may have colors. Text for people is made for the writer that it goes to:
//
//	fmt.Fprintln(w, terminal.Of(w).Paint(terminal.Bad, "failed"))
//
// A table is as wide as its content where nobody looks at it directly, in a file or a pipe. On a
// terminal, columns wrap, then those are left out that may be, and a line below names them.
package terminal
