package mistake

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/reaperdb/reaper/internal/nearest"
)

// nearestWord is the word that a mistyped one was probably meant to be; empty: it resembles none.
func nearestWord(mistyped string, words []string) string {
	if i := nearest.Index(mistyped, words, max(1, len(mistyped)/3)); i >= 0 {
		return words[i]
	}
	for _, w := range words {
		if len(mistyped) >= 3 && (strings.HasPrefix(w, mistyped) || strings.HasPrefix(mistyped, w+"-")) {
			return w
		}
	}
	return ""
}

// Flag explains an error of package pflag about a flag of a command.
func Flag(cmd *cobra.Command, err error) error {
	if missing, ok := errors.AsType[*pflag.NotExistError](err); ok {
		return unknownFlag(cmd, missing)
	}
	if bare, ok := errors.AsType[*pflag.ValueRequiredError](err); ok {
		return fmt.Errorf("--%s needs a value; see %s --help", bare.GetFlag().Name, cmd.CommandPath())
	}
	if invalid, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
		f := invalid.GetFlag()
		if errors.Is(err, errEmpty) {
			return fmt.Errorf("--%s is empty; write a value, or leave the flag out", f.Name)
		}
		return fmt.Errorf("--%s %q: write %s", f.Name, invalid.GetValue(), valid(f.Value.Type(), f.Usage))
	}
	if bad, ok := errors.AsType[*pflag.InvalidSyntaxError](err); ok {
		return fmt.Errorf("%s is no flag; see %s --help", bad.GetSpecifiedFlag(), cmd.CommandPath())
	}
	return err
}

func unknownFlag(cmd *cobra.Command, missing *pflag.NotExistError) error {
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			names = append(names, f.Name)
		}
	})
	command := shortPath(cmd)
	written, word := "--"+missing.GetSpecifiedName(), missing.GetSpecifiedName()
	if short := missing.GetSpecifiedShortnames(); short != "" {
		written, word = "-"+short, short
		name, _, _ := strings.Cut(short, "=")
		if slices.Contains(names, name) {
			return fmt.Errorf("%s has no flag -%s: write it with two dashes, --%s", command, name, name)
		}
	}
	if near := nearestWord(word, names); near != "" {
		return fmt.Errorf("%s has no flag %s; did you mean --%s?", command, written, near)
	}
	return fmt.Errorf("%s has no flag %s; %s --help lists its flags", command, written, cmd.CommandPath())
}

// valid are the values of a type, as package pflag names it, or as Go does.
func valid(kind, usage string) string {
	switch kind {
	case "bool":
		return "true or false"
	case "int", "int64", "*int64", "uint", "uint64":
		return "a whole number"
	case "float64":
		return "a number"
	case "duration", "time.Duration":
		return "a time in s, m or h, such as 30s or 24h"
	case "stringSlice", "[]string":
		return "names with commas between them, without quotes"
	case "", "slog.Level": // a flag that reads text has no name for its type
		return "debug, info, warn or error"
	}
	return usage
}

// shortPath is a command as a person writes it after the program's name.
func shortPath(cmd *cobra.Command) string {
	if !cmd.HasParent() {
		return cmd.Name()
	}
	return strings.TrimPrefix(cmd.CommandPath(), cmd.Root().Name()+" ")
}

// Command explains cobra's error about an unknown command; others it leaves alone. The root must
// have its suggestions disabled.
func Command(root *cobra.Command, err error) error {
	var word, path string
	if n, _ := fmt.Sscanf(err.Error(), "unknown command %q for %q", &word, &path); n != 2 {
		return err
	}
	return unknownCommand(root, word)
}

func unknownCommand(parent *cobra.Command, word string) error {
	before := ""
	if parent.HasParent() {
		before = shortPath(parent) + " "
	}
	if near := nearestWord(word, commands(parent)); near != "" {
		return fmt.Errorf("there is no command %s%s; did you mean %s%s?", before, word, before, near)
	}
	return fmt.Errorf("there is no command %s%s; %s --help lists the commands", before, word, parent.CommandPath())
}

func commands(parent *cobra.Command) (names []string) {
	for _, c := range parent.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	return names
}

// Groups has commands refuse to run that only have others below them, the commands help and
// completion of package cobra included. wrap gives an error its exit code.
func Groups(root *cobra.Command, wrap func(error) error) {
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		switch {
		case c.Name() == "help":
			help := c.Run
			c.Run, c.RunE = nil, func(cmd *cobra.Command, args []string) error {
				if _, _, err := root.Find(args); err != nil {
					return wrap(Command(root, err))
				}
				help(cmd, args)
				return nil
			}
		case c.HasSubCommands():
			c.Args = func(_ *cobra.Command, args []string) error {
				if len(args) > 0 {
					return wrap(unknownCommand(c, args[0]))
				}
				return wrap(fmt.Errorf("%s needs a command: %s; see %s --help", shortPath(c), strings.Join(commands(c), ", "), c.CommandPath()))
			}
			c.Run, c.RunE = nil, func(*cobra.Command, []string) error { return nil }
		}
	}
}

var errEmpty = errors.New("it is empty")

// RefuseEmpty makes an empty flag value an error, for this command and its subcommands. In a script
// it is an unset variable; treating it as absent would widen what was to be restricted.
func RefuseEmpty(cmd *cobra.Command) {
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
		RefuseEmpty(c)
	}
}

// notEmpty is a flag value that refuses the empty string.
type notEmpty struct{ pflag.Value }

func (v notEmpty) Set(text string) error {
	if text == "" {
		return errEmpty
	}
	return v.Value.Set(text)
}
