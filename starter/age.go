package starter

import (
	"slices"
	"strings"

	"github.com/reaperdb/reaper/schema"
)

// Names of columns that hold a row's age, best first, in lower case and without
// underscores.
var (
	// createdNames say when a row was created.
	createdNames = strings.Fields(`createdat created createdon createat createtime creationtime creationdate creationtimestamp creationts datecreated createddate createtimestamp
		insertedat insertdate occurredat happenedat receivedat sentat loggedat recordedat observedat capturedat eventtime eventtimestamp eventat
		actiontime dateadded addedat timestamp datetime time ts date at startedat starttime ranat performedat requestedat deliveredat publishedat executedat lastupdated`)
	// finishedNames say when something that was started ended: NULL until then, and what has
	// not ended never expires.
	finishedNames = strings.Fields(`closedat resolvedat completedat finishedat endedat solvedat doneat finishtime endtime endat stoppedat cancelledat`)
	// usedNames say when a session was last used, or ends.
	usedNames = strings.Fields(`lastactivity lastactivityat lastseenat lastseen lastusedat lastactiveat lastaccessedat lastaccess updatedat expiresat expireat expiredate expiry expires`)
	// finishing are the heads of tables whose rows have a beginning and an end.
	finishing = strings.Fields(`run execution job build deployment import export backup scan attempt call delivery`)
)

var ageTypes = []string{"timestamptz", "timestamp", "date"}

// ageOf returns the column that holds the age of a table's rows.
func ageOf(t *schema.Table, k kind) (schema.Column, bool) {
	names := createdNames
	switch h := head(t.Name.Name); {
	case h == "session":
		names = slices.Concat(usedNames, createdNames)
	case k == lifecycle || slices.Contains(finishing, h):
		names = slices.Concat(finishedNames, createdNames)
	}
	for _, name := range names {
		for _, c := range t.Columns {
			if plainName(c.Name) == name && (slices.Contains(ageTypes, c.TypeName) || slices.Contains([]string{"int4", "int8"}, c.TypeName)) {
				return c, true
			}
		}
	}
	return onlyTime(t)
}

// onlyTime returns the only column of a table that is a past point in time.
func onlyTime(t *schema.Table) (found schema.Column, ok bool) {
	for _, c := range t.Columns {
		if !slices.Contains(ageTypes, c.TypeName) || hasWord(c.Name, "updated", "expires", "expire", "expiry", "valid", "until", "deleted", "scheduled", "next", "birth", "birthday", "due", "archived", "trial", "confirmed", "locked", "remember", "reset") {
			continue
		}
		if ok {
			return schema.Column{}, false
		}
		found, ok = c, true
	}
	return found, ok
}

var unseparated = strings.NewReplacer("_", "", " ", "", "-", "")

// plainName lowercases a name and removes its separators.
func plainName(name string) string { return strings.ToLower(unseparated.Replace(name)) }

// isInteger reports whether a column counts units since 1970.
func isInteger(c schema.Column) bool { return !slices.Contains(ageTypes, c.TypeName) }
