package starter_test

import (
	"context"
	"errors"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/reaperdb/reaper/internal/dbtest"
	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/starter"
)

// interview answers the questions about a database with lines, and returns the file and what was
// asked.
func interview(t *testing.T, schema string, answers ...string) (text, asked string, err error) {
	t.Helper()
	pool := open(t, dbtest.New(t, schema), "postgres")
	var out strings.Builder
	v := starter.Interview{In: strings.NewReader(strings.Join(answers, "\n") + "\n"), Out: &out, Read: func(ctx context.Context, owner *string) (*starter.Proposal, error) {
		return starter.Read(ctx, pg.Pinned(pool), "reaper", owner)
	}}
	text, err = v.Run(t.Context())
	return text, out.String(), err
}

// The questions follow what was answered before: below rows that are kept, nothing is asked. Each
// answer says how many rows it is about.
func TestInterview(t *testing.T) {
	t.Parallel()
	text, asked, err := interview(t, helpdesk+`;
CREATE TABLE quotes (id bigint PRIMARY KEY, message_id bigint NOT NULL REFERENCES messages);
INSERT INTO accounts VALUES (1, 'a', 30, false, 5);
INSERT INTO tickets SELECT g, 1, NULL, NULL, 'closed', now() - interval '1 year', now() - g * interval '1 day' FROM generate_series(1, 200) g;
INSERT INTO messages SELECT g, 1 + g % 200, NULL, 'x', now() - interval '1 year' FROM generate_series(1, 1000) g;
ANALYZE`,
		"nothing like it", "yes", // the owner
		"maybe", "y", "90", "0d", "100d", // tickets
		"delete", "nullify", "delete", "", // macros, whose rows stay; messages; quotes, which reference messages
		"n", "") // the other tables
	if err != nil {
		t.Fatalf("%v\n%s", err, asked)
	}
	for _, want := range []string{
		"there is no table nothing like it", "answer with one of y, n", "public.tickets has about 200 rows, aged by closed_at", "duration 90 has no unit",
		"about [0-9]+ rows, by the planner's estimate, are older", "  delete   the rows of public.messages go with it, whatever their age: about [1-9][0-9]+ rows by now\n",
		"  keep     it stays as long as it is referenced: at most about [1-9][0-9]+ rows of public.tickets\n", "answer with one of nullify, keep", "those rows are in use",
	} {
		if !regexp.MustCompile(want).MatchString(asked) {
			t.Errorf("not said: %s\n%s", want, asked)
		}
	}
	file, err := policy.Parse("reaper.yaml", []byte(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	var decided []string
	for _, d := range file.Policies[0].Dependents {
		decided = append(decided, d.Table.String()+" "+string(d.Action))
	}
	slices.Sort(decided)
	if want := []string{"public.macros nullify", "public.messages delete", "public.quotes keep"}; len(file.Policies) != 1 || !slices.Equal(decided, want) {
		t.Errorf("decided: %q, want %q\n%s", decided, want, text)
	}
}

// What ends before the last answer gives no file.
func TestInterviewEnds(t *testing.T) {
	t.Parallel()
	const schema = `CREATE TABLE logs (id bigint PRIMARY KEY, created_at timestamptz NOT NULL)`
	if text, asked, err := interview(t, schema, "", "y"); !errors.Is(err, starter.ErrNoAnswer) || text != "" {
		t.Errorf("%v, %q\n%s", err, text, asked)
	}
	if _, asked, err := interview(t, schema, "", "n"); !errors.Is(err, starter.ErrNothingChosen) {
		t.Errorf("%v\n%s", err, asked)
	}
	text, asked, err := interview(t, schema, "none", "y", "forever", "1y6mo")
	if err != nil || !strings.HasPrefix(text, policy.Modeline+"\n") || !strings.Contains(text, "\n    retention: 1y6mo\n") {
		t.Errorf("%v\n%s\n%s", err, asked, text)
	}
}

// An interrupt ends it at once, though nobody answers.
func TestInterviewInterrupted(t *testing.T) {
	t.Parallel()
	pool := open(t, dbtest.New(t, `CREATE TABLE logs (id bigint PRIMARY KEY, created_at timestamptz NOT NULL)`), "postgres")
	ctx, cancel := context.WithCancel(t.Context())
	in, out := io.Pipe()
	defer out.Close() //nolint:errcheck // ends the reader
	v := starter.Interview{In: in, Out: interruptWriter(cancel), Read: func(ctx context.Context, owner *string) (*starter.Proposal, error) {
		return starter.Read(ctx, pg.Pinned(pool), "reaper", owner)
	}}
	if text, err := v.Run(ctx); !errors.Is(err, context.Canceled) || text != "" {
		t.Errorf("%v, %q", err, text)
	}
}

// interruptWriter interrupts when the first question is asked.
type interruptWriter context.CancelFunc

func (w interruptWriter) Write(p []byte) (int, error) {
	w()
	return len(p), nil
}
