package pg

import (
	"regexp"
	"slices"
	"strings"
)

// attempt is one address that pgx has tried: the address, the host it is of, and why it failed.
var attempt = regexp.MustCompile(`^(\S+) \(.*?\): (.*)$`)

// unreachable says why there is no connection, from the text of pgx's error.
func unreachable(text string) string {
	begin, details, ok := strings.Cut(text, "`:")
	if !ok {
		return text
	}
	_, who, _ := strings.Cut(begin, "`") // user=… database=…
	var reasons []string
	for line := range strings.Lines(details) {
		line = strings.TrimSpace(line)
		if m := attempt.FindStringSubmatch(line); m != nil {
			line = refusal(m[1], m[2])
		} else {
			line = unresolved(line)
		}
		if line != "" && !slices.ContainsFunc(reasons, func(r string) bool { return strings.Contains(r, line) }) {
			reasons = append(reasons, line)
		}
	}
	if len(reasons) == 0 {
		reasons = append(reasons, "no reason given")
	}
	return strings.Join(reasons, "; ") + " (" + who + ")"
}

// refusal says why there is no connection to an address.
func refusal(address, why string) string {
	if _, said, ok := strings.Cut(why, "FATAL: "); ok {
		return address + " says: " + said
	}
	switch {
	case strings.Contains(why, "connection refused"):
		return "nothing listens on " + address
	case strings.Contains(why, ".s.PGSQL.") && strings.Contains(why, "no such file"):
		return "there is no socket " + address
	case strings.Contains(why, "i/o timeout"), strings.Contains(why, "deadline exceeded"), strings.Contains(why, "timed out"):
		return address + " does not answer"
	case strings.Contains(why, "server refused TLS connection"):
		return address + " has no TLS, which sslmode asks for"
	}
	for _, prefix := range []string{"dial error: ", "tls error: ", "server error: ", "failed SASL auth: ", "failed to receive message: "} {
		why = strings.TrimPrefix(why, prefix)
	}
	return address + ": " + why
}

// unresolved says which host has no address.
func unresolved(why string) string {
	why = strings.TrimPrefix(why, "hostname resolving error: ")
	name, ok := strings.CutPrefix(why, "lookup ")
	if !ok {
		return why
	}
	name, reason, _ := strings.Cut(name, ": ")
	name, _, _ = strings.Cut(name, " on ")
	if reason == "no such host" {
		return "the host " + name + " is not known"
	}
	return "the host " + name + " cannot be looked up: " + reason
}
