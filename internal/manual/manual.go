// Package manual writes the manual page of a program from its commands.
package manual

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// Write writes one page, in roff with the man macros, of a command and all below it. version stands
// at the bottom of the page.
func Write(to io.Writer, root *cobra.Command, version string) error {
	p := page{bufio.NewWriter(to)}
	p.line(".TH %s 1 \"\" \"%s %s\" \"User Commands\"", strings.ToUpper(root.Name()), root.Name(), escaped(version))
	p.line(".SH NAME\n%s \\- %s", root.Name(), escaped(root.Short))
	p.line(".SH SYNOPSIS\n.B %s\n.I COMMAND\n[\\fIflags\\fR]", root.Name())
	p.line(".SH DESCRIPTION")
	p.text(root.Long)
	p.line(".SH FLAGS OF EVERY COMMAND")
	p.flags(root.PersistentFlags())
	p.line(".SH COMMANDS")
	p.commands(root, root.Name())
	return p.to.Flush()
}

// page is a page as it is written; the error of writing stays in to.
type page struct{ to *bufio.Writer }

func (p page) line(format string, args ...any) { fmt.Fprintf(p.to, format+"\n", args...) }

// commands writes what stands below a command, in alphabetical order.
func (p page) commands(parent *cobra.Command, path string) {
	for _, c := range parent.Commands() {
		if !c.IsAvailableCommand() {
			continue
		}
		use := path + " " + c.Use
		p.line(".SS %s", escaped(use))
		text := c.Long
		if text == "" {
			text = c.Short + "."
		}
		p.text(text)
		p.flags(c.LocalNonPersistentFlags())
		p.commands(c, path+" "+c.Name())
	}
}

// text writes paragraphs; lines that are indented, or examples, stay as they are.
func (p page) text(text string) {
	fixed := false
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		example := strings.HasPrefix(line, " ") || strings.HasPrefix(line, "\t")
		if example != fixed {
			p.line("%s", map[bool]string{true: ".nf", false: ".fi"}[example])
			fixed = example
		}
		if line == "" {
			p.line(".PP")
			continue
		}
		p.line("%s", escaped(line))
	}
	if fixed {
		p.line(".fi")
	}
}

func (p page) flags(flags *pflag.FlagSet) {
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden || f.Name == "help" {
			return
		}
		value, usage := pflag.UnquoteUsage(f)
		name := "--" + f.Name
		if f.Shorthand != "" {
			name = "-" + f.Shorthand + ", " + name
		}
		if f.Value.Type() == "bool" {
			value = ""
		}
		p.line(".TP\n\\fB%s\\fR %s\n%s", escaped(name), escaped(value), escaped(usage))
	})
}

// escaped is text that roff prints as it is.
func escaped(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`).Replace(strings.TrimSpace(text))
	if strings.HasPrefix(text, ".") || strings.HasPrefix(text, "'") {
		text = `\&` + text
	}
	return text
}
