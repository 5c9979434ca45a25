package heartbeat

import (
	"fmt"
	"strings"
	"time"
)

// complete is the status of a run that did all that was due, and the only one
// that can be a success.
const complete = "complete"

// Facts is what is known of a run when it has ended. The zero value is a
// failure: what nobody has said is not so.
type Facts struct {
	// Status is how the run ended. Anything but complete is a failure.
	Status string
	// Reason is the run's own, if it is not complete. Empty: it gave none.
	Reason string
	// Readable: the policy's table was read, and no row-level security hid rows.
	Readable bool
	// Skipped is how many tenants were skipped or failed. Zero: none.
	Skipped int
	// Lag is what is left overdue; it counts only if LagKnown is set.
	Lag      time.Duration
	LagKnown bool
	// MaxLag is the policy's max_lag, above which it is late. Zero: no limit. The
	// lag must be known even so.
	MaxLag time.Duration
}

// Decide tells the event that a finished run is worth, and for a failure why:
// all the reasons, for the reader has nothing else. It is a success only if the
// run is complete, rows were visible, nothing was skipped, and the lag is known
// and not above max_lag.
func Decide(f Facts) (event Event, reason string) {
	why := doubts(f)
	if len(why) == 0 {
		return Success, ""
	}
	return Fail, strings.Join(why, "; ")
}

func doubts(f Facts) []string {
	var why []string
	switch {
	case f.Status == "":
		why = append(why, "it is not known how the run ended")
	case f.Status != complete && f.Reason != "":
		why = append(why, f.Reason)
	case f.Status != complete:
		why = append(why, "the run ended "+f.Status)
	}
	if !f.Readable {
		why = append(why, "the table could not be read")
	}
	if f.Skipped != 0 {
		why = append(why, fmt.Sprintf("tenants skipped or failed: %d", f.Skipped))
	}
	switch {
	case !f.LagKnown:
		why = append(why, "the lag is not known")
	case f.MaxLag != 0 && f.Lag > f.MaxLag:
		why = append(why, fmt.Sprintf("the lag is %s, above max_lag %s", f.Lag.Round(time.Second), f.MaxLag))
	}
	return why
}
