package main

import (
	"regexp"
	"strings"
	"testing"

	"github.com/reaperdb/reaper/internal/dbtest"
)

const settingsSchema = `
	CREATE TABLE org (id int PRIMARY KEY, keeps interval);
	INSERT INTO org VALUES (1, '1 mon 10 days 02:03:04'), (2, '-3 days'), (3, NULL);
	CREATE TABLE doc (id bigint PRIMARY KEY, org_id int NOT NULL REFERENCES org, at timestamp NOT NULL, seen date);
	CREATE TABLE part (id bigint PRIMARY KEY, doc_id bigint NOT NULL REFERENCES doc ON DELETE CASCADE);
	INSERT INTO doc SELECT g, 1 + g % 3, now() - interval '100 days', '2001-02-03' FROM generate_series(1, 30) g;
	INSERT INTO part SELECT g, g FROM generate_series(1, 30) g;
	CREATE INDEX ON doc (org_id, at, id);
	CREATE INDEX ON part (doc_id);
	ANALYZE`

const settingsPolicy = `version: 1
tenants: {table: org, key: id, retention: keeps, default: 30d}
policies: [{name: doc, table: doc, age: at}]
`

// A role's settings for reading and printing values change no command's output, before and after a
// run.
func TestSettingsOfTheRole(t *testing.T) {
	t.Parallel()
	clock := regexp.MustCompile(`\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?Z?`)
	figure := regexp.MustCompile(`\d[\d.,]* *([KMG]iB|ms|s|B|days|h|min)\b( \d+ min)?|\d[\d.,]* %|run_id=\S+|─+|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`)
	blanks := regexp.MustCompile(` +`) // as wide as the widest number
	outputs := map[string][]string{}
	for name, settings := range map[string]string{
		"plain": "",
		"odd": `ALTER ROLE app SET "DateStyle" = 'German'; ALTER ROLE app SET "IntervalStyle" = 'sql_standard'; ALTER ROLE app SET "TimeZone" = 'Asia/Kolkata';
			ALTER ROLE app SET bytea_output = 'escape'; ALTER ROLE app SET extra_float_digits = -15`,
	} {
		db := dbtest.New(t, settingsSchema)
		role := db.Role(t, "app")
		db.Exec(t, "ALTER ROLE "+role+" SUPERUSER")
		if settings != "" {
			db.Exec(t, strings.ReplaceAll(settings, "ROLE app", "ROLE "+role))
		}
		for _, args := range []string{
			"init", "check", "plan", "plan -o json", "plan --sql", "grants --role x", "status", "purge --yes --max-rows 3", "status", "pause --reason x --for 1h", "status", "resume", "purge --yes",
		} {
			cmd := program(t, db.As(role), strings.Fields(args)...)
			write(t, cmd.Dir, settingsPolicy)
			out, err := cmd.CombinedOutput()
			text := strings.NewReplacer(role, "ROLE", db.Name(), "DB").Replace(string(out))
			text = blanks.ReplaceAllString(figure.ReplaceAllString(clock.ReplaceAllString(text, "TIME"), "N"), " ")
			outputs[name] = append(outputs[name], strings.Join([]string{args, string(rune('0' + exitCode(t, err))), text}, "\n"))
		}
	}
	for i, want := range outputs["plain"] {
		if got := outputs["odd"][i]; got != want {
			t.Errorf("got %s\nwant %s", got, want)
		}
	}
}
