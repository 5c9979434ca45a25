package policy

import (
	"fmt"
	"regexp"
	"strings"
)

// Warning is something valid in the file that is probably not intended.
type Warning struct {
	Pos    Pos
	Policy string // empty under tenants
	Text   string // without the position
	Fix    string
}

// warnings returns the warnings of the whole file.
func (f *File) warnings() []Warning {
	var all []Warning
	if f.Tenants != nil {
		all = append(all, f.Tenants.warnings("")...)
	}
	for i := range f.Policies {
		all = append(all, f.Policies[i].warnings(f.Policies[i].Name)...)
	}
	return append(all, f.Archive.warnings(f.Policies)...)
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

// Minutes returns a warning and its remedy if d, as written, uses the unit m where months
// are likelier, since retentions are rarely minutes: below a day, and combined with other
// units unless hours are among them. Otherwise both are empty.
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
	if _, err := ParseDuration(months); err != nil { // it has months already
		return warning, "remove the minutes, unless they are intended"
	}
	return warning, fmt.Sprintf("write %s # if you mean months", months)
}
