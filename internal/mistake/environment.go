package mistake

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/caarlos0/env/v11"
)

// prefix begins the names of all settings but DATABASE_URL and those of other programs.
const prefix = "REAPER_"

// injected matches what Kubernetes puts into a container for each Service, here those whose name
// begins with reaper: REAPER_SERVICE_HOST, REAPER_PORT, REAPER_METRICS_PORT_8080_TCP_ADDR.
var injected = regexp.MustCompile(`^REAPER_([A-Z0-9_]+_)?(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$`)

// testing begins the variables of reaper's own tests.
const testing = "REAPER_TEST_"

// Variables returns an error that names the variables of an environment which look like settings
// mistyped, with what was meant, and the other variables with the prefix of settings that are none: they
// may be somebody else's. settings is a struct with tags of package env; environ is os.Environ().
func Variables(settings any, environ []string) (others []string, err error) {
	known := names(settings)
	var texts []string
	for _, entry := range environ {
		name, _, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, prefix) || strings.HasPrefix(name, testing) || slices.Contains(known, name) || injected.MatchString(name) {
			continue
		}
		if near := meant(name, known); near != "" {
			texts = append(texts, name+" is not a setting; did you mean "+near+"?")
		} else {
			others = append(others, name)
		}
	}
	slices.Sort(others)
	if len(texts) == 0 {
		return others, nil
	}
	slices.Sort(texts)
	return others, errors.New(strings.Join(texts, "; "))
}

// meant is the setting that a variable was meant to be; empty: it is like none.
func meant(name string, known []string) string {
	if other := strings.TrimPrefix(name, prefix); slices.Contains(known, other) {
		return other
	}
	// The prefix alone makes all of them alike.
	var short []string
	for _, k := range known {
		short = append(short, strings.TrimPrefix(k, prefix))
	}
	if near := nearestWord(strings.TrimPrefix(name, prefix), short); near != "" {
		return known[slices.Index(short, near)]
	}
	return ""
}

func names(settings any) (all []string) {
	t := reflect.TypeOf(settings)
	for i := range t.NumField() {
		all = append(all, t.Field(i).Tag.Get("env"))
	}
	return all
}

// Environment names the variables that package env could not read into a struct of settings, and
// their valid values.
func Environment(settings any, err error) error {
	var all env.AggregateError
	if !errors.As(err, &all) {
		return fmt.Errorf("reading the environment: %w", err)
	}
	var texts []string
	for _, one := range all.Errors {
		var parse env.ParseError
		if !errors.As(one, &parse) {
			texts = append(texts, one.Error())
			continue
		}
		name := parse.Name
		if f, ok := reflect.TypeOf(settings).FieldByName(parse.Name); ok {
			name = f.Tag.Get("env")
		}
		texts = append(texts, name+": write "+valid(parse.Type.String(), "a valid value"))
	}
	return errors.New(strings.Join(texts, "; "))
}
