package main

import (
	"io"

	"github.com/spf13/pflag"
)

// answer is stdout where one JSON document is promised. If a command fails before it writes one, it
// writes a document with the error.
type answer struct {
	io.Writer
	begun bool
}

func (o *answer) Write(p []byte) (int, error) {
	o.begun = true
	return o.Writer.Write(p)
}

// asksForJSON looks only for the output flag and ignores all errors: the flag may follow one that
// is invalid.
func (a *app) asksForJSON(args []string) bool {
	f := pflag.NewFlagSet("reaper", pflag.ContinueOnError)
	f.ParseErrorsAllowlist.UnknownFlags = true
	f.SetOutput(io.Discard)
	output := f.StringP("output", "o", a.Output, "")
	_ = f.Parse(args) // the command itself reports errors
	return *output == "json"
}
