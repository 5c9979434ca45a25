package erasure

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/internal/visible"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/policy"
	"github.com/reaperdb/reaper/schema"
)

// Starter is a section erasure to begin with.
type Starter struct {
	Proposals []Proposal // in the order in which they were found
}

// Propose finds how the tables of a database could be decided for tenants in this table, with this
// key. What a person has to choose it takes one way, to find what comes behind it.
func Propose(ctx context.Context, conn *pgx.Conn, tenants schema.Name, key string, server plan.Server, ledger string) (*Starter, error) {
	s := &Starter{}
	for range maxRounds {
		file, err := policy.Parse("init", []byte(s.draft(tenants, key)))
		if err != nil {
			return nil, fmt.Errorf("proposing a section erasure: %w", err)
		}
		c, err := compiled(ctx, conn, file, server, ledger)
		if err != nil {
			return nil, err
		}
		before := len(s.Proposals)
		for _, p := range c.proposed {
			if !slices.ContainsFunc(s.Proposals, func(o Proposal) bool { return o.Table == p.Table }) {
				s.Proposals = append(s.Proposals, p)
			}
		}
		if len(s.Proposals) == before {
			return s, nil
		}
	}
	return s, nil
}

// maxRounds bounds how often decisions open others.
const maxRounds = 20

// draft is a policy file with what was proposed so far.
func (s *Starter) draft(tenants schema.Name, key string) string {
	table := policy.YAMLTable(tenants.Schema, tenants.Name)
	var entries, global []string
	for _, p := range s.Proposals {
		entries = append(entries, p.Entries...)
		if len(p.Entries) == 0 {
			global = append(global, policy.YAMLTable(p.Table.Schema, p.Table.Name))
		}
	}
	return "version: 1\ntenants: {table: " + table + ", key: " + policy.YAMLColumn(key) + "}\npolicies: [{name: x, table: " + table + ", age: x, tenant: none, retention: 1d}]\nerasure:\n" +
		"  tables: [" + strings.Join(entries, ", ") + "]\n  global: [" + strings.Join(global, ", ") + "]\n"
}

// YAML is the section as part of a policy file. One that a person has to complete contains CHOOSE, and
// is refused until then.
func (s *Starter) YAML() string {
	var b strings.Builder
	b.WriteString(`
# What becomes of a tenant's rows when it leaves. What foreign keys decide is not listed.
erasure:
  # when: closed_at < now() - interval '30 days'   # SQL over the tenants' table; omitted: by reaper erase alone
  undecided: error
  # To keep or to overwrite rows instead of deleting them:
  #   - {table: invoices, action: keep, for: 10y, age: issued_at, reason: tax law}   # needs tenant_row: redact
  #   - {table: audit_log, action: redact, set: {ip: "NULL"}}
`)
	s.list(&b, "tables", func(p Proposal) []string {
		entries := p.Entries
		if p.Choose && len(entries) == 0 {
			entries = []string{entry(p.Table, "")}
		}
		var lines []string
		for _, e := range entries {
			if p.Choose && (len(p.Entries) < 2 || strings.Contains(e, ", owner: none, where: ")) {
				e = chosen(e)
			}
			lines = append(lines, e)
		}
		return lines
	})
	s.list(&b, "global", func(p Proposal) []string {
		if p.Choose || len(p.Entries) > 0 {
			return nil
		}
		return []string{policy.YAMLTable(p.Table.Schema, p.Table.Name)}
	})
	b.WriteString("  tenant_row: delete   # or redact, with redact: {column: SQL}\n")
	return b.String()
}

// chosen leaves the owner of an entry to a person.
func chosen(e string) string {
	head, owner, found := strings.Cut(e, ", owner: ")
	if !found {
		return strings.TrimSuffix(e, "}") + ", owner: " + policy.Choose + "}"
	}
	end := strings.Index(owner, ", where: ")
	if end < 0 {
		return head + ", owner: " + policy.Choose + "}"
	}
	return head + ", owner: " + policy.Choose + owner[end:]
}

// list writes one list of the section, with what each entry was seen by.
func (s *Starter) list(b *strings.Builder, key string, lines func(Proposal) []string) {
	begun := false
	for _, p := range s.Proposals {
		for i, line := range lines(p) {
			if !begun {
				b.WriteString("  " + key + ":\n")
				begun = true
			}
			if i == 0 {
				writeComments(b, p)
			}
			b.WriteString("    - " + line + "\n")
		}
	}
}

// writeComments says why something is proposed.
func writeComments(b *strings.Builder, p Proposal) {
	text := p.Besides
	switch {
	case p.Choose && len(p.Entries) == 0:
		text = "nothing tells whose its rows are: name a column, a list of columns or SQL; or move the table to global, if they belong to nobody"
	case p.Choose && len(p.Entries) == 1:
		text = "such as " + p.Entries[0] + ": " + text
	case len(p.Entries) == 0:
		text = ""
	}
	for _, line := range []string{p.Why, text} {
		if line != "" {
			b.WriteString("    # " + visible.Text(line) + "\n")
		}
	}
}
