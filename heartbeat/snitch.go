package heartbeat

import "net/url"

// snitch is https://deadmanssnitch.com: a request is a sign of life, and m a
// message with it. https://deadmanssnitch.com/docs
//
// All but success is withheld. There is a parameter s for an exit status, in
// the service's own client (https://github.com/deadmanssnitch/snitcher), but it
// is taken as a failure only where the account has Error Notices, and reaper
// cannot know that: elsewhere it would be one more sign of life. Who has them
// writes a generic monitor, with ?s=1 in the URL of its fail.
type snitch struct{ url *url.URL }

// snitchMessage is the longest message, by the documentation of that client.
const snitchMessage = 250

func isSnitch(u *url.URL) bool { return onHost(u, "nosnch.in") }

func (s snitch) call(p Ping) (call, bool, error) {
	if p.Event != Success {
		return call{}, false, nil
	}
	return get(with(s.url, url.Values{"m": {cut(p.Summary(), snitchMessage)}, "s": nil})), true, nil
}
