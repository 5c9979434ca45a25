package drift

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
)

// lockVersion is the version of the file that Lock writes.
const lockVersion = 1

type lockFile struct {
	Version  int          `yaml:"version"`
	Policies []lockPolicy `yaml:"policies"`
}

type lockPolicy struct {
	Print    `yaml:",inline"`
	Checksum string `yaml:"checksum"` // the print's digest: nobody has edited it
}

const lockHead = `# What decides which rows reaper deletes. reaper plan --save has written it, and
# reaper check --against fails where it is no longer true. Do not edit it.
`

// Lock writes prints as text for version control: the same prints give the same text.
func Lock(prints []*Print) ([]byte, error) {
	f := lockFile{Version: lockVersion}
	for _, p := range prints {
		f.Policies = append(f.Policies, lockPolicy{Print: *p, Checksum: p.Digest()})
	}
	slices.SortFunc(f.Policies, func(x, y lockPolicy) int { return strings.Compare(x.Policy, y.Policy) })
	// Texts of the file and the catalog may hold anything, so they are quoted, as JSON does it.
	quoted := yaml.CustomMarshaler(func(s string) ([]byte, error) { return json.Marshal(s) })
	text, err := yaml.MarshalWithOptions(f, yaml.IndentSequence(true), quoted)
	if err != nil {
		return nil, fmt.Errorf("writing prints: %w", err)
	}
	return append([]byte(lockHead), text...), nil
}

// Unlock reads what Lock has written, by policy. An error names the file, the line and the remedy.
func Unlock(name string, text []byte) (map[string]*Print, error) {
	var f lockFile
	if err := yaml.UnmarshalWithOptions(text, &f, yaml.Strict()); err != nil {
		line := 1
		if wrong, ok := errors.AsType[yaml.Error](err); ok && wrong.GetToken() != nil {
			line = wrong.GetToken().Position.Line
		}
		message, _, _ := strings.Cut(yaml.FormatError(err, false, false), "\n")
		return nil, fmt.Errorf("%s:%d: %s: write it anew with reaper plan --save", name, line, message)
	}
	if f.Version != lockVersion {
		return nil, fmt.Errorf("%s:%d: version %d: this reaper reads version %d: write it anew with reaper plan --save", name, lineOf(text, "version: "), f.Version, lockVersion)
	}
	prints := map[string]*Print{}
	for _, p := range f.Policies {
		if p.Digest() != p.Checksum || prints[p.Policy] != nil {
			return nil, fmt.Errorf("%s:%d: policy %s has been edited by hand, or merged: write the file anew with reaper plan --save", name, lineOf(text, "policy: "+p.Policy), p.Policy)
		}
		prints[p.Policy] = &p.Print
	}
	return prints, nil
}

// lineOf is the number of the first line that ends with some text, quotes aside; 1: there is none.
func lineOf(text []byte, what string) int {
	for i, line := range bytes.Split(bytes.ReplaceAll(text, []byte{'"'}, nil), []byte("\n")) {
		if bytes.HasSuffix(bytes.TrimSpace(line), []byte(what)) || strings.HasSuffix(what, " ") && bytes.HasPrefix(line, []byte(what)) {
			return i + 1
		}
	}
	return 1
}
