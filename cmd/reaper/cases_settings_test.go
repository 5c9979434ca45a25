package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/reaperdb/reaper/internal/dbtest"
)

// foreignSettings are settings that a role or a database may have for other reasons. None changes
// what reaper does.
var foreignSettings = []string{
	`default_transaction_isolation = 'serializable'`,
	`default_transaction_isolation = 'repeatable read'`,
	`default_transaction_read_only = on`,
	`default_transaction_deferrable = on`,
	`lock_timeout = '1ms'`,
	`idle_session_timeout = '200ms'`,
	`row_security = on`,
	`search_path = 'pg_temp, public, pg_catalog'`,
	`"TimeZone" = 'Asia/Kolkata'`,
	`"DateStyle" = 'SQL, DMY'`,
	`"DateStyle" = 'German'`,
	`"IntervalStyle" = 'sql_standard'`,
	`bytea_output = 'escape'`,
	`standard_conforming_strings = off`,
	`extra_float_digits = -15`,
	`array_nulls = off`,
	`quote_all_identifiers = on`,
	`client_encoding = 'LATIN1'`,
	`work_mem = '64kB'`,
	`default_tablespace = 'pg_global'`,
	`constraint_exclusion = off`,
	`enable_indexscan = off`,
	`jit_above_cost = 0`,
	`plan_cache_mode = 'force_generic_plan'`,
	`lc_messages = 'C'`,
	`log_statement = 'none'`,
	`synchronous_commit = remote_apply`,
	`check_function_bodies = off`,
	`transform_null_equals = on`,
	`backslash_quote = off`,
}

// shortTimeouts may end commands that only read, without changes: exit code 2, and the reason names
// the timeout.
var shortTimeouts = []string{`statement_timeout = '20ms'`, `statement_timeout = '1ms'`}

const everythingDone = `
exit check: 0
exit plan: 0
exit purge: 0
exit status: 0
exit pause: 0
` + everythingGone

const everythingGone = `
rows: SELECT count(*) FROM public.doc => 0
rows: SELECT count(*) FROM public.part => 0
rows: SELECT count(doc_id) FROM public.ref => 0
`

const nothingTouched = `
exit purge: 2
says: statement timeout
rows: SELECT count(*) FROM public.doc => 600
rows: SELECT count(*) FROM public.part => 1800
rows: SELECT count(doc_id) FROM public.ref => 600
`

const refused = `
exit check: 2
exit purge: 2
says: track_counts
rows: SELECT count(*) FROM public.doc => 600
rows: SELECT count(*) FROM public.part => 1800
`

func TestForeignSettings(t *testing.T) {
	t.Parallel()
	for _, setting := range foreignSettings {
		testSetting(t, setting, everythingDone)
	}
	for _, setting := range shortTimeouts {
		testSetting(t, setting, everythingGone, nothingTouched)
	}
	// Without counters, the rows deleted by ON DELETE cannot be counted.
	testSetting(t, `track_counts = off`, everythingDone, refused)
}

// With a search_path of no existing schema, only qualified names are needed.
func TestForeignSearchPath(t *testing.T) {
	t.Parallel()
	for _, setting := range []string{`search_path = ''`, `search_path = 'nowhere'`} {
		testSetting(t, setting, everythingDone)
	}
}

// testSetting applies the setting to the role, and then to the database.
func testSetting(t *testing.T, setting string, alternatives ...string) {
	t.Helper()
	for _, whose := range []string{"ROLE ${worker}", "DATABASE ${db}"} {
		name := fmt.Sprintf("%s of the %s", setting, strings.ToLower(strings.Fields(whose)[0]))
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := parseCase(t, "testdata/settings.txtar")
			c.steps = strings.ReplaceAll(c.steps, "SETTING", "ALTER "+whose+" SET "+setting)
			c.alternatives = alternatives
			runCase(t, c, (*dbtest.DB).DSN)
		})
	}
}
