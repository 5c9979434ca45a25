package policy

import (
	"fmt"
	"regexp"
	"strings"
)

// Warning is something that the file may say and that is probably not meant.
type Warning struct {
	Pos    Pos
	Policy string // empty: it stands under tenants
	Text   string // without the place
	Fix    string
}

// warnings are those of the whole file.
func (f *File) warnings() []Warning {
	var all []Warning
	if f.Tenants != nil {
		all = append(all, f.Tenants.warnings("")...)
	}
	for i := range f.Policies {
		all = append(all, f.Policies[i].warnings(f.Policies[i].Name)...)
	}
	return all
}

func (s *Settings) warnings(policy string) []Warning {
	var found []Warning
	look := func(key string, d *Duration) {
		if d == nil {
			return
		}
		if text, fix := d.Minutes(); text != "" {
			found = append(found, Warning{Pos: d.Pos, Policy: policy, Text: key + ": " + text, Fix: fix})
		}
	}
	look("retention", s.Retention.Duration)
	look("default", s.Default)
	look("min", s.Min)
	for i := range s.Overrides {
		o := &s.Overrides[i]
		look(fmt.Sprintf("override of %q", o.Key.Value), &o.Duration)
	}
	return found
}

var minutes = regexp.MustCompile(`([0-9]+)m([0-9]|$)`)

// Minutes returns a warning and its remedy where d, as written, has the unit m and
// months may be meant: retentions are rarely minutes. That is below a day, and beside
// other units unless hours are among them. Both are empty where there is none.
func (d Duration) Minutes() (warning, fix string) {
	const day = 24 * 3600 * int64(1e6)
	found := minutes.FindStringSubmatch(d.Text)
	short := d.Months == 0 && d.Days == 0 && d.Micros < day
	if found == nil || !short && strings.Contains(d.Text, "h") {
		return "", ""
	}
	part := found[1] + "m"
	if part != d.Text {
		part += " in " + d.Text
	}
	unit := "minutes"
	if found[1] == "1" {
		unit = "minute"
	}
	warning = fmt.Sprintf("%s is %s %s; months are mo", part, found[1], unit)
	months := minutes.ReplaceAllString(d.Text, "${1}mo$2")
	if _, err := ParseDuration(months); err != nil { // there are months already
		return warning, "take the minutes out, unless they are meant"
	}
	return warning, fmt.Sprintf("write %s # if months are meant", months)
}
