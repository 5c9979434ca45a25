package plan

import (
	"errors"
	"fmt"
	"slices"

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
func (c *compiler) expression(what string, text policy.Text, relation string) (*usersql.Fragment, error) {
	if c.schemaDenied {
		return nil, nil
	}
	f, err := c.reader().Expression(text.Value, relation)
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) && !pg.HasCode(err, "55P03") {
		c.fail(text.Pos, usersql.ExpressionFix(pgErr, c.server.Role), "%s: %s", what, pgErr.Message)
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("checking %s: %w", what, err)
	}
	c.recordNeeds(what, text.Pos, f)
	return f, nil
}

// boolean has PostgreSQL parse a user's condition; "" after recording a problem.
func (c *compiler) boolean(what string, text policy.Text, relation string) (string, error) {
	f, err := c.expression(what, text, relation)
	if err != nil || f == nil {
		return "", err
	}
	if f.Columns[0].Type != usersql.BoolOID {
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
	if f.Zoned && !c.server.InUTC() {
		text := fmt.Sprintf("%s depends on the TimeZone: it is evaluated in UTC, while other sessions of this role and database are in %s", what, c.server.TimeZone)
		c.plan.AddProblem(LevelWarning, c.file.Errorf(pos, "%s", text).Error(),
			fmt.Sprintf("say which time zone is meant, such as: hold_until AT TIME ZONE %s > now()", pg.Literal(c.server.TimeZone)))
	}
}

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
