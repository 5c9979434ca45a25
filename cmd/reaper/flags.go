package main

import (
	"errors"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// refuseEmpty makes an empty value of any flag, of this command and those below
// it, a mistake. In a script it is a variable that was not set: taken for "not
// given", it would widen what was to be narrowed.
func refuseEmpty(cmd *cobra.Command) {
	wrap := func(f *pflag.Flag) {
		if _, done := f.Value.(notEmpty); done {
			return
		}
		f.Value = notEmpty{f.Value}
		if f.DefValue == "[]" { // help knows an empty list by its type alone
			f.DefValue = ""
		}
	}
	cmd.PersistentFlags().VisitAll(wrap)
	cmd.Flags().VisitAll(wrap)
	for _, c := range cmd.Commands() {
		refuseEmpty(c)
	}
}

// notEmpty is a flag's value that cannot be set to nothing.
type notEmpty struct{ pflag.Value }

func (v notEmpty) Set(text string) error {
	if text == "" {
		return errors.New("it is empty; write a value, or leave the flag out")
	}
	return v.Value.Set(text)
}
