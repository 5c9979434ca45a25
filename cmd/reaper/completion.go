package main

import (
	"errors"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/reaperdb/reaper/internal/manual"
	"github.com/reaperdb/reaper/internal/terminal"
)

// completions are what a shell may complete of flags, for a command and its subcommands: the
// policies' names from the policy file, words of a fixed list, and otherwise files only where a
// flag names one.
func (a *app) completions(root *cobra.Command) error {
	fixed := map[string]cobra.CompletionFunc{
		"policy": a.completePolicy, "output": words("text", "json"), "log-format": words("text", "json"), "log-level": words("debug", "info", "warn", "error"), "color": words(terminal.Choices...),
	}
	var failures []error
	register := func(f *pflag.Flag) {
		if complete, ok := fixed[f.Name]; ok {
			failures = append(failures, root.RegisterFlagCompletionFunc(f.Name, complete))
		}
	}
	root.PersistentFlags().VisitAll(register)
	root.Flags().VisitAll(register)
	for _, c := range root.Commands() {
		failures = append(failures, a.completions(c))
	}
	return errors.Join(failures...)
}

func words(all ...string) cobra.CompletionFunc {
	return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return all, cobra.ShellCompDirectiveNoFileComp
	}
}

// completePolicy offers the policies of the file; none if it cannot be read.
func (a *app) completePolicy(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	file, err := a.readPolicy()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for _, p := range file.Policies {
		names = append(names, p.Name)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// manCommand is for those who package reaper: make man.
func (a *app) manCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use: "man", Short: "Print the manual page, in roff", Args: noArgs, Hidden: true,
		RunE: func(*cobra.Command, []string) error { return manual.Write(a.stdout, root, version) },
	}
}
