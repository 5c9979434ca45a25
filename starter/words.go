package starter

import (
	"slices"
	"strings"
	"unicode"
)

// kind is what a table's name says about its rows.
type kind int

const (
	unknown    kind = iota
	history         // past events: messages, deliveries, runs
	lifecycle       // things that begin and end: tickets, bookings
	content         // parts of something else: attachments, comments, items
	accounting      // records subject to law: invoices, payments
	live            // things in use: users, projects, keys, settings
)

// words are the names of tables of each kind, in the singular. The last word of a name
// counts: webhook_deliveries are deliveries, event_types are types.
var words = map[kind][]string{
	history: strings.Fields(`event message mail email log audit delivery run execution attempt session notification outbox ping heartbeat metric measurement
		sample reading observation span trace history job change changelog export import scan crash error failure occurrence result
		telemetry datapoint trail bounce invocation sighting checkin replay login signin visit pageview hit click open impression search
		sms push call`),
	lifecycle: strings.Fields(`ticket booking reservation appointment cart checkout enquiry inquiry incident`),
	content: strings.Fields(`attachment comment post note reaction like vote item line detail body part recipient header file blob image photo document upload
		entry payload chunk fragment embedding mention assignment follower read receipt tagging translation annotation answer reply
		response revision version release snapshot backup build deployment view score record digest`),
	accounting: strings.Fields(`invoice payment transaction refund charge order credit creditnote transfer usage statistic stat download balance wallet payout
		payroll ledger subscription bill fee tax commission coupon price plan quote cashflow settlement`),
	live: strings.Fields(`user account member membership organization organisation org tenant workspace company customer client contact person people
		profile role permission grant group team project domain site app application environment env key token secret credential
		certificate identity authenticator device setting config configuration preference option flag feature product catalog integration
		connection connector provider webhook endpoint destination source channel room conversation thread board list folder directory
		label tag category type status state template theme layout page article dashboard chart widget query filter rule policy trigger
		schedule workflow automation bot agent inbox mailbox form field question survey campaign segment audience address location country
		currency language locale timezone migration schema table model dataset repository repo branch package registry crate gem server
		host node cluster machine instance service region zone network resource limit quota ban block allowlist blocklist invitation
		invite follow friend friendship bookmark favorite participant link mapping map relation owner creator admin actor peer employee
		student teacher patient course lesson exam property asset vehicle store shop warehouse brand vendor supplier merchant partner cron
		monitor check alert pipeline stage milestone sprint epic library plugin extension module component collection space realm license
		registration enrollment waitlist queue topic stream subject variable definition index metadata info data timer pool contract lock
		lease counter`),
}

// tools are tables that a library maintains, with the library.
var tools = map[string]string{
	"schema_migrations": "migrations of the application", "ar_internal_metadata": "Rails", "django_migrations": "Django", "django_content_type": "Django",
	"_prisma_migrations": "Prisma", "migrations": "migrations of the application", "knex_migrations": "Knex", "knex_migrations_lock": "Knex",
	"flyway_schema_history": "Flyway", "alembic_version": "Alembic", "goose_db_version": "goose", "databasechangelog": "Liquibase",
	"databasechangeloglock": "Liquibase", "gorp_migrations": "sql-migrate", "__diesel_schema_migrations": "Diesel", "_sqlx_migrations": "sqlx",
	"schema_version": "migrations of the application", "schema_migration": "migrations of the application", "__efmigrationshistory": "Entity Framework",
	"pgmigrations": "node-pg-migrate", "drizzle_migrations": "Drizzle", "spatial_ref_sys": "PostGIS", "river_migration": "River", "db_migrations": "migrations of the application",
	"good_job_settings": "GoodJob", "data_migrations": "migrations of the application",
}

// queues are tables of background jobs. Their library prunes them, and pending jobs must not
// be deleted.
var queues = map[string]string{
	"good_jobs": "GoodJob", "delayed_jobs": "Delayed::Job", "que_jobs": "Que", "oban_jobs": "Oban", "river_job": "River", "jobs": "a queue of jobs", "job": "a queue of jobs",
	"solid_queue_jobs": "Solid Queue", "procrastinate_jobs": "Procrastinate", "queue_jobs": "a queue of jobs", "graphile_worker_jobs": "Graphile Worker",
	"queue_classic_jobs": "queue_classic", "background_jobs": "a queue of jobs", "async_jobs": "a queue of jobs", "job_queue": "a queue of jobs",
}

// pairs are two-word endings that differ in meaning from the last word alone.
var pairs = map[string]kind{
	"pull request": live, "merge request": live, "join request": live, "access request": live, "feature request": live, "friend request": live,
	"cron job": live, "scheduled job": live, "recurring job": live, "scheduled run": live, "saved search": live, "calendar event": content,
	"log entry": history, "audit entry": history, "log line": history, "page view": history, "audit record": history, "log record": history,
	"query log": history, "dead letter": history, "webhook call": history, "custom event": history, "push notification": history,
	"webhook request": history, "http request": history, "api request": history, "web request": history, "worker request": history,
	"inbound request": history, "outbound request": history, "reset request": history, "login request": history,
	"broadcast message": live, "targeted message": live, "system message": live, "welcome message": live, "default message": live, "canned message": live,
	"platform notification": live, "user activity": history, "activity event": history, "sent activity": history, "received activity": history,
	"alert notification": live, "custom metric": live, "billable metric": live,
}

// blueprints are words that, anywhere in a name, mark rows from which others are made.
var blueprints = strings.Fields(`recurring template preset saved draft blueprint definition`)

// split splits a name into words: outgoing_emails, TaskRun, taskRun, task run.
func split(name string) []string {
	var parts []string
	var b strings.Builder
	end := func() {
		if b.Len() > 0 {
			parts = append(parts, strings.ToLower(b.String()))
			b.Reset()
		}
	}
	runes := []rune(name)
	for i, r := range runes {
		switch {
		case !unicode.IsLetter(r) && !unicode.IsDigit(r):
			end()
			continue
		case unicode.IsUpper(r) && i > 0 && (!unicode.IsUpper(runes[i-1]) || i+1 < len(runes) && unicode.IsLower(runes[i+1])):
			end()
		}
		b.WriteRune(r)
	}
	end()
	return parts
}

// singular returns the singular of a word, as far as the rules of English go.
func singular(w string) string {
	for _, e := range []struct{ from, to string }{
		{"people", "person"}, {"histories", "history"}, {"ies", "y"}, {"sses", "ss"}, {"xes", "x"}, {"ches", "ch"}, {"shes", "sh"}, {"statuses", "status"}, {"indices", "index"}, {"aliases", "alias"},
	} {
		if strings.HasSuffix(w, e.from) && len(w) > len(e.from)+1 || w == e.from {
			return strings.TrimSuffix(w, e.from) + e.to
		}
	}
	if strings.HasSuffix(w, "s") && !strings.HasSuffix(w, "ss") && !strings.HasSuffix(w, "us") && !strings.HasSuffix(w, "is") && len(w) > 2 {
		return w[:len(w)-1]
	}
	return w
}

// head returns the last word of a name in the singular, without a trailing number or date.
// It says what the rows are.
func head(name string) string {
	parts := split(name)
	for len(parts) > 1 && strings.Trim(parts[len(parts)-1], "0123456789v") == "" {
		parts = parts[:len(parts)-1]
	}
	if len(parts) == 0 {
		return ""
	}
	return singular(parts[len(parts)-1])
}

// minSuffix is the minimum length of a word recognized at the end of another: Django writes
// usermessage for UserMessage.
const minSuffix = 5

// kindOf returns what a table's name says about its rows, and the word that says so.
func kindOf(name string) (kind, string) {
	h := head(name)
	for _, w := range blueprints {
		if hasWord(name, w) {
			return live, w
		}
	}
	if parts := split(name); len(parts) > 1 {
		if pair := singular(parts[len(parts)-2]) + " " + h; pairs[pair] != unknown {
			return pairs[pair], pair
		}
	}
	if k, ok := exactKind(h); ok {
		return k, h
	}
	found, longest := unknown, ""
	for _, k := range precedence {
		for _, w := range words[k] {
			if len(w) >= minSuffix && len(w) > len(longest) && strings.HasSuffix(h, w) {
				found, longest = k, w
			}
		}
	}
	if found == unknown && strings.HasSuffix(h, "log") && !slices.Contains(notLogs, h) {
		return history, "log"
	}
	return found, longest
}

// notLogs end in "log" but are no logs.
var notLogs = strings.Fields(`catalog blog backlog dialog weblog changelog`)

// precedence orders the kinds: a word in two lists belongs to the first.
var precedence = []kind{live, accounting, content, lifecycle, history}

// exactKind looks up a word. A word in two lists belongs to the more careful kind.
func exactKind(word string) (kind, bool) {
	for _, k := range precedence {
		if slices.Contains(words[k], word) {
			return k, true
		}
	}
	return unknown, false
}

// hasWord reports whether a name contains one of the words.
func hasWord(name string, wanted ...string) bool {
	return slices.ContainsFunc(split(name), func(w string) bool { return slices.Contains(wanted, w) || slices.Contains(wanted, singular(w)) })
}
