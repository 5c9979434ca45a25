package heartbeat

import (
	"net/url"
	"strconv"
)

// cronitor is https://cronitor.io: state says what happened, series joins the
// events of one run, and message and metric are shown with it.
// https://cronitor.io/docs/telemetry-api
//
// Log is withheld: an event without a state is a heartbeat there.
type cronitor struct{ url *url.URL }

// cronitorMessage is the longest message that Cronitor keeps.
const cronitorMessage = 2000

func isCronitor(u *url.URL) bool {
	parts := segments(u)
	return onHost(u, "cronitor.link") || onHost(u, "cronitor.io") && len(parts) > 0 && parts[0] == "p"
}

func (c cronitor) call(p Ping) (call, bool, error) {
	params := url.Values{"series": {p.RunID}, "message": {cut(p.Summary(), cronitorMessage)}}
	switch p.Event {
	case Start:
		params.Set("state", "run")
	case Success:
		params.Set("state", "complete")
	case Fail:
		params.Set("state", "fail")
	default:
		return call{}, false, nil
	}
	if p.Event.final() {
		params.Set("metric", "count:"+strconv.FormatInt(p.Rows, 10))
	}
	if p.Event == Fail && p.ExitStatus > 0 {
		params.Set("status_code", strconv.Itoa(p.ExitStatus))
	}
	return get(with(c.url, params)), true, nil
}
