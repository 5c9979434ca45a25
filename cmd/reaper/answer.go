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

// asksFor looks for the forms of the output alone, past all mistakes: the flags may
// stand behind the one that cannot be read. document: stdout has one JSON document.
// records: stderr has log records in JSON and nothing else, which is so for run where the
// logs are JSON. A run --once whose one stream is JSON has both so, for they end in one log.
func (a *app) asksFor(args []string) (document, records bool) {
	f := pflag.NewFlagSet("reaper", pflag.ContinueOnError)
	f.ParseErrorsAllowlist.UnknownFlags = true
	f.SetOutput(io.Discard)
	output := f.StringP("output", "o", a.Output, "")
	format := f.String("log-format", a.LogFormat, "")
	once := f.Bool("once", false, "")
	_ = f.Parse(args) // the command itself reports errors
	document = *output == "json"
	if f.Arg(0) != "run" {
		return document, false
	}
	records = *format == "json"
	if *once && (document || records) {
		return true, true
	}
	return document, records
}
