package main

import (
	"errors"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// refuseEmpty makes an empty flag value an error, for this command and its subcommands. In a script
// it is an unset variable; treating it as absent would widen what was to be restricted.
func refuseEmpty(cmd *cobra.Command) {
	wrap := func(f *pflag.Flag) {
		if _, done := f.Value.(notEmpty); done {
			return
		}
		f.Value = notEmpty{f.Value}
		if f.DefValue == "[]" { // help recognizes an empty list only by its type
			f.DefValue = ""
		}
	}
	cmd.PersistentFlags().VisitAll(wrap)
	cmd.Flags().VisitAll(wrap)
	for _, c := range cmd.Commands() {
		refuseEmpty(c)
	}
}

// notEmpty is a flag value that refuses the empty string.
type notEmpty struct{ pflag.Value }

func (v notEmpty) Set(text string) error {
	if text == "" {
		return errors.New("it is empty; write a value, or leave the flag out")
	}
	return v.Value.Set(text)
}
