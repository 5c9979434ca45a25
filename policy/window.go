package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // time zones for machines without a database of them

	"github.com/invopop/jsonschema"

	"github.com/reaperdb/reaper/guard"
)

var dayNames = []string{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"}

const windowRemedy = "write [days] HH:MM-HH:MM [zone], like 22:00-06:00 Europe/Paris or Sat,Sun 00:00-24:00"

// ParseWindow parses a window: days separated by commas or a range of days (default all),
// the times, and the zone (default UTC).
func ParseWindow(s string) (guard.Window, error) {
	parts := strings.Fields(s)
	w := guard.Window{Zone: time.UTC}
	if len(parts) > 0 && !strings.ContainsAny(parts[0], "0123456789") {
		if err := parseDays(&w, parts[0]); err != nil {
			return guard.Window{}, fmt.Errorf("window %q: %w", s, err)
		}
		parts = parts[1:]
	}
	if len(parts) == 0 || len(parts) > 2 {
		return guard.Window{}, fmt.Errorf("window %q: %s", s, windowRemedy)
	}
	if err := parseTimes(&w, parts[0]); err != nil {
		return guard.Window{}, fmt.Errorf("window %q: %w", s, err)
	}
	if len(parts) == 2 {
		zone, err := time.LoadLocation(parts[1])
		if err != nil || parts[1] == "Local" {
			return guard.Window{}, fmt.Errorf("window %q: unknown time zone %s: write one like Europe/Paris or UTC", s, parts[1])
		}
		w.Zone = zone
	}
	return w, nil
}

func parseDays(w *guard.Window, s string) error {
	for part := range strings.SplitSeq(s, ",") {
		from, to, several := strings.Cut(part, "-")
		first := slices.Index(dayNames, from)
		last := first
		if several {
			last = slices.Index(dayNames, to)
		}
		if first < 0 || last < 0 {
			return fmt.Errorf("%s is not a list of days: write Mon,Tue or Mon-Fri", part)
		}
		for day := first; ; day = (day + 1) % 7 {
			w.Days[day] = true
			if day == last {
				break
			}
		}
	}
	return nil
}

func parseTimes(w *guard.Window, s string) error {
	from, to, _ := strings.Cut(s, "-")
	var ok1, ok2 bool
	w.From, ok1 = minuteOfDay(from)
	w.To, ok2 = minuteOfDay(to)
	switch {
	case !ok1 || !ok2 || w.From == 24*60:
		return errors.New(windowRemedy)
	case w.From == w.To:
		return errors.New("it begins and ends at the same time: write 00:00-24:00 for a whole day")
	}
	return nil
}

// minuteOfDay parses HH:MM, up to 24:00.
func minuteOfDay(s string) (int, bool) {
	if len(s) != 5 || s[2] != ':' || !isDigits(s[:2]) || !isDigits(s[3:]) {
		return 0, false
	}
	hour, minute := int(s[0]-'0')*10+int(s[1]-'0'), int(s[3]-'0')*10+int(s[4]-'0')
	m := hour*60 + minute
	return m, minute < 60 && m <= 24*60
}

// windows is one window or a list of them.
type windows []guard.Window

func (w *windows) decode(key string, n *node) error {
	items := []*node{n}
	if n.kind == kindList {
		items = n.items
	}
	if len(items) == 0 {
		return errorAt(n.pos, "%s is an empty list: write at least one window, or remove it", key)
	}
	for _, item := range items {
		text, err := item.textAs(key, "a window like 22:00-06:00 Europe/Paris")
		if err != nil {
			return err
		}
		window, err := ParseWindow(text)
		if err != nil {
			return item.in(key, err)
		}
		*w = append(*w, window)
	}
	return nil
}

func (windows) schema() *jsonschema.Schema {
	one := &jsonschema.Schema{
		Type:    "string",
		Pattern: `^\s*([A-Z][A-Za-z,-]* +)?[0-9]{2}:[0-9]{2}-[0-9]{2}:[0-9]{2}( +\S+)?\s*$`,
	}
	least := uint64(1)
	return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{one, {Type: "array", Items: one, MinItems: &least}}}
}
