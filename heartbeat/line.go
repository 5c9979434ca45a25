package heartbeat

import "slices"

// waiting is a ping with its request.
type waiting struct {
	ping Ping
	call call
}

// line is the pings that wait for one monitor, oldest first. The Client's mutex
// guards it.
type line struct {
	queue   []waiting
	working bool // it has a goroutine
	status  Status
}

func (l *line) pop() waiting {
	w := l.queue[0]
	l.queue = slices.Delete(l.queue, 0, 1)
	return w
}

// push adds a ping, and gives back the one that goes for it when the line is
// full; none: the zero one.
func (l *line) push(w waiting, limit int) waiting {
	l.queue = append(l.queue, w)
	if len(l.queue) <= limit {
		return waiting{}
	}
	at := l.expendable()
	dropped := l.queue[at]
	l.queue = slices.Delete(l.queue, at, at+1)
	return dropped
}

// expendable is the ping that is missed least: the oldest log, then the oldest
// start, then a verdict that a later one of its policy overtakes. Only verdicts
// of as many policies as there are places are left to lose the oldest.
func (l *line) expendable() int {
	for _, event := range []Event{Log, Start} {
		if at := slices.IndexFunc(l.queue, func(w waiting) bool { return w.ping.Event == event }); at >= 0 {
			return at
		}
	}
	for at, w := range l.queue {
		later := l.queue[at+1:]
		if slices.ContainsFunc(later, func(o waiting) bool { return o.ping.Policy == w.ping.Policy }) {
			return at
		}
	}
	return 0
}
