// Package heartbeat pings cron monitors: it tells an outside service that a run began, succeeded or
// failed, so that somebody notices when reaper is dead. It needs no database, and the sender of a
// ping never waits for it.
//
// # Success
//
// [Decide] judges a finished run from plain facts. Only a complete run is a success, and only if
// its rows were visible, no tenant was skipped or failed, and the lag is known and within max_lag.
// The zero value of [Facts] is a failure: what nobody has stated is not assumed.
//
// # Services
//
// A [Target], as the policy file has it, becomes a [Monitor]. Each kind of service has one file. It
// turns a ping into one HTTP request, or withholds it: some services know nothing but signs of
// life, and there any request for a failure, a start or a log would count as one.
//
// # Delivery
//
// Each monitor has a queue of its own, served in order by a goroutine that lives while there is
// something to send. The queue is keyed by what the policy file says of the monitor, so the order
// survives a reload. Queues are bounded: a full one drops logs first, then starts, then verdicts
// that a later ping of the same policy supersedes, and only then the oldest verdict.
//
// A request gets 5 s and 4 tries, with pauses of about 2, 6 and 18 s, or longer if Retry-After asks
// for it, up to a minute. [Client.Close] shortens the pauses.
//
// # Secrets
//
// URLs, headers and bodies are secrets. Whatever prints a Target, Request or Monitor prints a
// redacted form. Errors of net/http quote the URL, and answers of a server may too, so neither is
// passed on: failures are described in this package's own words.
package heartbeat
