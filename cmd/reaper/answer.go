package main

import (
	"io"

	"github.com/spf13/pflag"
)

// answer is stdout where one JSON document is promised: a command that ends
// before it has begun one is given one that says why.
type answer struct {
	io.Writer
	begun bool
}

func (o *answer) Write(p []byte) (int, error) {
	o.begun = true
	return o.Writer.Write(p)
}

// asksForJSON looks for the output alone, past all mistakes: the flag may stand
// behind the one that cannot be read.
func (a *app) asksForJSON(args []string) bool {
	f := pflag.NewFlagSet("reaper", pflag.ContinueOnError)
	f.ParseErrorsAllowlist.UnknownFlags = true
	f.SetOutput(io.Discard)
	output := f.StringP("output", "o", a.Output, "")
	_ = f.Parse(args) // the command itself says what is wrong with them
	return *output == "json"
}
