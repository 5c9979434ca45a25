// Package web serves reaper's HTTP endpoints: the status page, health, the status as JSON, and the
// metrics handler it is given. All of them are read-only.
//
// # The picture
//
// The package knows no database. The daemon's loop makes a [Status], one picture of everything,
// that is never changed afterwards; every request is answered from the latest one. So the page
// answers with the database down, and a thousand open tabs cost the database nothing.
//
// [Status.Judge] decides what /readyz, /readyz/process, /health and the head of the page say. A picture older than
// [Options].MaxAge is unhealthy whatever it shows, because the loop that makes it hangs. The page
// then says "was on time" instead of "on time". When the process no longer answers at all, the
// page's script says so.
//
// A pause by hand, and a run that a guard has paused, are findings of their own kind
// ([Verdict].Held): they head the page and are among the notes of /health, but make nothing
// unhealthy: it is intended.
//
// # The page
//
// The status page and the page of each policy (/policy/NAME) share their parts: a part of page.html
// is a template of its own, and policy.html calls those that it needs. What is the same of several
// policies is said once ([Finding], groups.go), and sections that say nothing fold.
//
// A page is a single file. Style and script are inline, and the Content-Security-Policy allows them by
// their hashes and nothing else. Text from elsewhere is cut to a bounded length and escaped by
// package visible, so that nothing invisible or reordering gets through; html/template does the
// rest.
//
// On a loopback address only requests for a loopback host are answered. Otherwise any page in a
// browser on the same machine could read the status by DNS rebinding.
//
// Tests with the build tag chromium look at the page in Chromium: hostile names, contrast, width,
// refresh. To keep the screenshots:
//
//	go test -tags chromium ./web -artifacts -outputdir DIR
package web
