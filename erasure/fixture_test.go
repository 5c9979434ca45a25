package erasure_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/erasure"
	"github.com/reaperdb/reaper/internal/dbtest"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/schema"
)

func TestMain(m *testing.M) { os.Exit(dbtest.Main(m)) }

// section is a section erasure that grows as problems ask.
type section struct {
	key    string // of orgs
	tables []string
	global []string
	more   []string // other keys
}

func (s *section) file() string {
	key := s.key
	if key == "" {
		key = "id"
	}
	var b strings.Builder
	b.WriteString("version: 1\ntenants: {table: orgs, key: " + key + "}\npolicies:\n- {name: old, table: orgs, age: at, tenant: none, retention: 90d}\nerasure:\n")
	for _, m := range s.more {
		b.WriteString("  " + m + "\n")
	}
	b.WriteString("  leftovers: delete\n  tables: [" + strings.Join(s.tables, ",\n    ") + "]\n")
	b.WriteString("  global: [" + strings.Join(s.global, ", ") + "]\n")
	return b.String()
}

func (s *section) redactsTenant() bool {
	return slices.ContainsFunc(s.more, func(m string) bool { return strings.HasPrefix(m, "tenant_row") })
}

// apply pastes a remedy into the section, and reports whether it is one that can be.
func (s *section) apply(fix string) bool {
	fix, _, _ = strings.Cut(fix, " # ")
	if strings.HasPrefix(fix, "let the tenant's row stay") {
		if !s.redactsTenant() {
			s.more = append(s.more, "tenant_row: redact", `redact: {name: "'erased'"}`)
		}
		return true
	}
	rest, ok := strings.CutPrefix(fix, "write under erasure, ")
	if !ok {
		return false
	}
	list, isTables := strings.CutPrefix(rest, "tables: [")
	global, isGlobal := strings.CutPrefix(rest, "global: [")
	switch {
	case isTables:
		s.tables = append(s.tables, strings.TrimSuffix(list, "]"))
	case isGlobal:
		s.global = append(s.global, strings.TrimSuffix(global, "]"))
	default:
		return false
	}
	return true
}

// compile compiles a file, which must be one that parses.
func compile(t *testing.T, conn *pgx.Conn, text string) (*erasure.Plan, []plan.Problem) {
	t.Helper()
	file, err := policy.Parse("reaper.yaml", []byte(text))
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	server, err := plan.ReadServer(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	p, problems, err := erasure.Compile(t.Context(), conn, file, server, "reaper")
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return p, problems
}

type planProblem = plan.Problem

// propose is what reaper init --erasure writes.
func propose(t *testing.T, conn *pgx.Conn) string {
	t.Helper()
	server, err := plan.ReadServer(t.Context(), conn)
	if err != nil {
		t.Fatal(err)
	}
	found, err := erasure.Propose(t.Context(), conn, schema.Name{Schema: "public", Name: "orgs"}, "id", server, "reaper")
	if err != nil {
		t.Fatal(err)
	}
	return found.YAML()
}

func errorsOf(problems []plan.Problem) (found []plan.Problem) {
	for _, p := range problems {
		if p.Level == plan.LevelError {
			found = append(found, p)
		}
	}
	return found
}

// settle pastes remedies until there are no more errors.
func settle(t *testing.T, conn *pgx.Conn, s *section) *erasure.Plan {
	t.Helper()
	for range 30 {
		p, problems := compile(t, conn, s.file())
		wrong := errorsOf(problems)
		if len(wrong) == 0 {
			return p
		}
		applied := false
		for _, x := range wrong {
			applied = s.apply(x.Fix) || applied
			if strings.Contains(x.Fix, "tenant_row") {
				break // the others may go with it
			}
		}
		if !applied {
			t.Fatalf("no remedy can be pasted: %+v\n%s", wrong, s.file())
		}
	}
	t.Fatalf("remedies lead nowhere:\n%s", s.file())
	return nil
}

// remembered collects what steps remember.
type remembered map[*erasure.Table]map[string][]string

func (r remembered) add(s *erasure.Step, o erasure.Outcome) {
	for i, table := range s.Tables {
		for k, column := range table.Remember {
			if r[table] == nil {
				r[table] = map[string][]string{}
			}
			if len(o.Remembered) > 0 && len(o.Remembered[i]) > 0 {
				r[table][column] = append(r[table][column], o.Remembered[i][k]...)
			}
		}
	}
}

// erase runs all steps of an erasure, each in a transaction of its own.
func erase(t *testing.T, conn *pgx.Conn, p *erasure.Plan, key string, limit int) (remembered, error) {
	t.Helper()
	seen := remembered{}
	walk := p.Walk(limit)
	for range 100_000 {
		step := walk.Next()
		if step == nil {
			return seen, walk.Err()
		}
		o, err := runStep(t.Context(), conn, p, step, key, limit)
		if err != nil {
			return seen, err
		}
		if o.Total() > int64(limit) {
			t.Fatalf("%s of %s changed %d rows, more than %d", step.Kind, step.Tables[0].Name(), o.Total(), limit)
		}
		seen.add(step, o)
		walk.Did(o)
	}
	return seen, fmt.Errorf("the walk does not end")
}

func runStep(ctx context.Context, conn *pgx.Conn, p *erasure.Plan, step *erasure.Step, key string, limit int) (o erasure.Outcome, err error) {
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, p.Settings(time.Minute, 5*time.Second)); err != nil {
			return err
		}
		o, err = step.Run(ctx, tx, key, limit)
		return err
	})
	return o, err
}

// rows are all rows of all tables, sorted, by table.
func rows(t *testing.T, db *dbtest.DB) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	for _, name := range db.Texts(t, `SELECT c.oid::regclass::text FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition ORDER BY 1`) {
		all[name] = db.Texts(t, "SELECT x::text FROM "+name+" x ORDER BY 1")
	}
	return all
}
