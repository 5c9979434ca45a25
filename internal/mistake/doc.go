// Package mistake says what is wrong with a command line, with the environment or with a connection
// string: in one line that names the place and the remedy, and in no library's words.
package mistake
