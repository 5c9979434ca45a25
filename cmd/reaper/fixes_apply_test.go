package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"

	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/policy"
)

var atPlace = regexp.MustCompile(`^reaper\.yaml:(\d+):(\d+): `)

// withoutPlace is the text of a problem without its position, which changes with the file.
func withoutPlace(text string) string { return atPlace.ReplaceAllString(text, "") }

var fixIsSQL = regexp.MustCompile(`^(GRANT|REVOKE|ALTER|CREATE|DROP) `)

// isProse reports whether a fix is for a person to read, and cannot be applied as it is.
func isProse(fix string) bool {
	for _, start := range []string{"remove the entry", "remove the override", "did you mean "} {
		if strings.HasPrefix(fix, start) {
			return false
		}
	}
	return !fixIsSQL.MatchString(fix) && !yamlFix.MatchString(fix)
}

// yamlFix is `write`, perhaps where it belongs, and YAML: a pair, or one name.
var yamlFix = regexp.MustCompile(`^write (an entry under dependents: \{|under erasure, [a-z]+: [^ ]|in its place: \[|[a-z_]+: [^ ]|([^ #]+|'[^']*') # )`)

// apply carries out a fix as a person would who pastes it.
func (r *caseRun) apply(p plan.Problem) {
	r.t.Helper()
	if fixIsSQL.MatchString(p.Fix) {
		loaded := r.value("SELECT pg_conf_load_time()")
		for _, statement := range r.sqlStatements(p.Fix) {
			r.sql("", false, statement)
		}
		if strings.Contains(p.Fix, "pg_reload_conf()") {
			r.until("reload", func() bool { return r.value("SELECT pg_conf_load_time()") != loaded })
		}
		return
	}
	file := filepath.Join(r.dir, "reaper.yaml")
	data, err := os.ReadFile(file)
	if err != nil {
		r.t.Fatal(err)
	}
	doc := parseFixYAML(r.t, string(data))
	if err := r.edit(doc, p); err != nil {
		r.t.Fatalf("%s\n%s: %v", p.Text, p.Fix, err)
	}
	write(r.t, r.dir, doc.String()+"\n")
}

// sqlStatements splits SQL at its semicolons, as psql does.
func (r *caseRun) sqlStatements(sql string) (all []string) {
	r.t.Helper()
	quote, from := byte(0), 0
	for i := 0; i < len(sql); i++ {
		switch c := sql[i]; {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case strings.HasPrefix(sql[i:], "--"):
			return all
		case c == ';':
			all, from = append(all, sql[from:i]), i+1
		}
	}
	if strings.TrimSpace(sql[from:]) != "" {
		r.t.Fatalf("no semicolon at the end of %s", sql)
	}
	return all
}

// ofPolicy is a fix for a policy or a section of the file, whatever the problem's place.
var ofPolicy = regexp.MustCompile(`^write (age|dependents|key|safety|tenant|triggers|vacuum): `)

// edit applies a fix to the policy file.
func (r *caseRun) edit(doc *fixYAML, p plan.Problem) error {
	var node, in *fixYAML
	if found := atPlace.FindStringSubmatch(p.Text); found != nil {
		line, _ := strconv.Atoi(found[1])
		col, _ := strconv.Atoi(found[2])
		if node, in = doc.at(line, col); node == nil {
			return fmt.Errorf("nothing stands at %s", found[0])
		}
	}
	if rest, ok := strings.CutPrefix(p.Fix, "write under erasure, "); ok {
		fix := parseFixYAML(r.t, rest).pairs[0]
		section := doc.get("erasure")
		if old := section.get(fix.key.text); old != nil && fix.value.kind == ast.SequenceType {
			old.items = append(old.items, fix.value.items...)
			return nil
		}
		section.set(fix.key.text, fix.value)
		return nil
	}
	if node == nil && !strings.HasPrefix(p.Fix, "write an entry") && !ofPolicy.MatchString(p.Fix) {
		return fmt.Errorf("the problem names no place")
	}
	switch {
	case isProse(p.Fix):
		return fmt.Errorf("that is prose")
	case strings.HasPrefix(p.Fix, "remove the "):
		in.remove(node)
		return nil
	case strings.HasPrefix(p.Fix, "did you mean "):
		name, _, _ := strings.Cut(strings.TrimPrefix(p.Fix, "did you mean "), "? ")
		return renameMissing(node, p.Text, parseFixYAML(r.t, name).text)
	}
	fix := parseFixYAML(r.t, strings.TrimPrefix(strings.TrimPrefix(p.Fix, "write "), "an entry under "))
	if fix.kind != ast.MappingType {
		*node = *fix
		return nil
	}
	key, value := fix.pairs[0].key.text, fix.pairs[0].value
	switch key {
	case "in its place":
		i := slices.Index(in.items, node)
		in.items = slices.Replace(in.items, i, i+1, value.items...)
		return nil
	case "action":
		node.set(key, value)
		return nil
	case "key":
		doc.get("tenants").set(key, value)
		return nil
	case "safety":
		doc.set(key, value)
		return nil
	}
	of, err := doc.policyNamed(p.Policy)
	if err != nil {
		return err
	}
	if key != "dependents" {
		of.set(key, value)
		return nil
	}
	if of.get(key) == nil {
		of.set(key, &fixYAML{kind: ast.SequenceType})
	}
	of.get(key).items = append(of.get(key).items, value)
	return nil
}

var missingName = regexp.MustCompile(`there is no table (.*)$|has no column (.*)$`)

// renameMissing replaces a name that the problem says there is none of, in the part of the file
// that it speaks of.
func renameMissing(node *fixYAML, text, name string) error {
	found := missingName.FindStringSubmatch(text)
	if found == nil {
		return fmt.Errorf("it names nothing that is missing")
	}
	old, done := found[1]+found[2], false
	change := func(n, _ *fixYAML) {
		for _, written := range []string{old, policy.QuoteName(old)} {
			if !done && n.kind != ast.MappingType && strings.Contains(n.text, written) {
				n.text, done = strings.Replace(n.text, written, name, 1), true
			}
		}
	}
	change(node, nil)
	node.walk(change)
	if !done {
		return fmt.Errorf("%s stands nowhere at this place", old)
	}
	return nil
}
