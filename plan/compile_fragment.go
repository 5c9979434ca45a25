package plan

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/internal/usersql"
	"github.com/reaperdb/reaper/policy"
)

// reader parses SQL of the policy file in the planning transaction.
func (c *compiler) reader() *usersql.Reader {
	return &usersql.Reader{Ctx: c.ctx, Tx: c.conn, TimeZone: c.server.TimeZone, Path: c.server.path, Tables: c.plannedTables(), Known: c.known.fragments}
}

// expression has PostgreSQL parse a user's SQL over one relation; nil after recording a problem.
// The SQL also appears in a WHERE clause: there PostgreSQL refuses aggregates, window functions and
// set-returning functions, which a SELECT list would accept.
func (c *compiler) expression(what string, text policy.Text, relation string) (*usersql.Fragment, error) {
	if c.schemaDenied {
		return nil, nil
	}
	sql := "(" + text.Value + "\n)"
	f, err := c.reader().Understand("SELECT "+sql+" FROM "+relation+" WHERE "+sql+" IS NULL", "SELECT "+sql+" AS "+usersql.FragmentView+" FROM "+relation+usersql.Besides)
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) && !pg.HasCode(err, "55P03") {
		c.fail(text.Pos, usersql.QueryFix(pgErr, c.server.Role, expressionFix(pgErr)), "%s: %s", what, pgErr.Message)
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("checking %s: %w", what, err)
	}
	if f.AsWritten {
		f.SQL = text.Value
	} else {
		body := strings.TrimPrefix(strings.TrimSpace(f.SQL), "SELECT ")
		f.SQL = body[:strings.LastIndex(body, " AS "+usersql.FragmentView)]
	}
	c.recordNeeds(what, text.Pos, f)
	return f, nil
}

func expressionFix(pgErr *pgconn.PgError) string {
	switch {
	case pgErr.Code == "42803", pgErr.Code == "42P20", strings.HasPrefix(pgErr.Message, "set-returning"):
		return "write an expression over one row: no aggregate, no window function, no function that returns a set"
	case pgErr.Hint != "":
		return pgErr.Hint
	}
	return "it may use the columns of that table alone"
}

const boolOID = 16

// boolean has PostgreSQL parse a user's condition; "" after recording a problem.
func (c *compiler) boolean(what string, text policy.Text, relation string) (string, error) {
	f, err := c.expression(what, text, relation)
	if err != nil || f == nil {
		return "", err
	}
	if f.Columns[0].Type != boolOID {
		c.fail(text.Pos, "write a condition that is true or false", "%s is not boolean", what)
	}
	return f.SQL, nil
}

// recordNeeds records what a fragment depends on: privileges, the search_path, functions of other
// owners, and the time zone.
func (c *compiler) recordNeeds(what string, pos policy.Pos, f *usersql.Fragment) {
	if f.Unread {
		f.Needs.Unknown = []string{what}
	}
	c.plan.Needs.Add(f.Needs)
	for _, x := range f.Functions {
		if !x.Trusted {
			c.untrusted = true
			c.fail(pos, fmt.Sprintf("review it, then give it to a superuser or to the owner of the database or of the table: ALTER FUNCTION %s … OWNER TO …", x.Name),
				"%s calls %s, which belongs to role %s: whoever owns it decides what is deleted", what, x.Name, x.Owner)
		}
	}
	if f.AsWritten || slices.ContainsFunc(f.Functions, func(x usersql.CalledFunction) bool { return x.Looks }) {
		c.plan.ownPath.reading, c.plan.ownPath.writing = true, true
	}
	if f.Zoned && !slices.Contains(utcNames, strings.ToLower(c.server.TimeZone)) {
		text := fmt.Sprintf("%s depends on the TimeZone: it is evaluated in UTC, while other sessions of this role and database are in %s", what, c.server.TimeZone)
		c.plan.AddProblem(LevelWarning, c.file.Errorf(pos, "%s", text).Error(),
			fmt.Sprintf("say which time zone is meant, such as: hold_until AT TIME ZONE %s > now()", pg.Literal(c.server.TimeZone)))
	}
}

var utcNames = []string{"utc", "etc/utc", "gmt", "etc/gmt", "zulu", "etc/zulu", "uct", "etc/uct", "universal", "etc/universal", "greenwich", "gmt0", "etc/greenwich"}

// checkNeeds records the functions and relations used by SQL of the file for which the role lacks
// privileges. The plan's own tables are checked elsewhere.
func (c *compiler) checkNeeds() {
	planned := c.plannedTables()
	var reported []string
	for _, f := range c.plan.Needs.Functions {
		if !f.CanExecute && !slices.Contains(reported, f.SQL) {
			reported = append(reported, f.SQL)
			c.plan.AddProblem(LevelError, fmt.Sprintf("role %s lacks EXECUTE on %s", c.server.Role, f.SQL), fmt.Sprintf("GRANT EXECUTE ON ROUTINE %s TO %s;", f.SQL, pg.Ident(c.server.Role)))
		}
	}
	for _, r := range c.plan.Needs.Relations {
		if !r.CanSelect && !slices.Contains(planned, r.OID) {
			c.missingPrivilege(r.Name, "SELECT")
		}
	}
}
