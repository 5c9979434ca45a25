package manual_test

import (
	"bytes"
	"testing"

	"github.com/spf13/cobra"

	"github.com/reaperdb/reaper/internal/manual"
)

func TestWrite(t *testing.T) {
	t.Parallel()
	root := &cobra.Command{Use: "tool", Short: "Do it - gently", Long: "tool does it:\n    tool one > file.d\n\n.dots and \\ stay."}
	root.PersistentFlags().StringP("output", "o", "text", "`text` or json")
	one := &cobra.Command{Use: "one ID", Short: "One", Run: func(*cobra.Command, []string) {}}
	one.Flags().Bool("yes", false, "without asking")
	root.AddCommand(one, &cobra.Command{Use: "secret", Hidden: true, Run: one.Run})
	var b bytes.Buffer
	if err := manual.Write(&b, root, "1.2-rc"); err != nil {
		t.Fatal(err)
	}
	const want = `.TH TOOL 1 "" "tool 1.2\-rc" "User Commands"
.SH NAME
tool \- Do it \- gently
.SH SYNOPSIS
.B tool
.I COMMAND
[\fIflags\fR]
.SH DESCRIPTION
tool does it:
.nf
tool one > file.d
.fi
.PP
\&.dots and \e stay.
.SH FLAGS OF EVERY COMMAND
.TP
\fB\-o, \-\-output\fR text
text or json
.SH COMMANDS
.SS tool one ID
One.
.TP
\fB\-\-yes\fR 
without asking
`
	if b.String() != want {
		t.Errorf("got\n%s\nwant\n%s", b.String(), want)
	}
}
