package policy

import (
	"reflect"
	"slices"

	"filippo.io/age"
	"github.com/invopop/jsonschema"

	"github.com/reaperdb/reaper/archive"
)

// Archive says where copies of rows go before they are deleted. Policies without `archive: true`
// are not copied.
type Archive struct {
	Pos Pos
	// URL is a store that package archive can open.
	URL Text
	// Recipients are age public keys; empty: the file says that copies are not encrypted.
	Recipients []string
	// Keep is how long copies are kept; it may be forever.
	Keep Duration
	// Verify is when the daemon verifies copies; nil: it does not.
	Verify *Verify
}

// Verify says when and how the daemon verifies copies.
type Verify struct {
	Pos      Pos
	Schedule Text    // a cron expression
	Share    float64 // of the segments, each time: above 0, at most 1
	Load     bool    // into temporary tables, too
	// Identity is the path of a file with secret keys of age; empty: only what is not encrypted can be
	// read.
	Identity string
}

// OpenArchive opens the archive of the file, which then can read what is encrypted for these
// identities of age; nil: the file has none. The store is not asked for anything.
func (f *File) OpenArchive(identities []age.Identity) (*archive.Archive, error) {
	if f.Archive == nil {
		return nil, nil
	}
	a, err := archive.Open(archive.Config{URL: f.Archive.URL.Value, Recipients: f.Archive.Recipients, Identities: identities})
	if err != nil {
		return nil, f.Errorf(f.Archive.URL.Pos, "archive: %v", err)
	}
	return a, nil
}

// The section as written; see document.go.

type archiveSection struct {
	Pos        Pos             `yaml:"-"`
	URL        archiveURL      `yaml:"url" jsonschema:"required" jsonschema_description:"Where copies go: s3://bucket/prefix?endpoint=…&region=…&path_style=true, or file:///folder. Credentials are not part of it: they come from AWS_* or the instance."`
	Encryption encryptionValue `yaml:"encryption" jsonschema:"required" jsonschema_description:"none, or {recipients: [age1…]}: the age public keys that can read the copies."`
	Keep       Duration        `yaml:"keep" jsonschema:"required" jsonschema_description:"How long copies are kept: a duration, or forever."`
	Verify     verifyValue     `yaml:"verify" jsonschema_description:"When the daemon reads copies back and compares them with what was written: daily, weekly, monthly, a cron expression, or a mapping. Omitted: never."`
}

// archive checks what spans several keys.
func (s *archiveSection) archive(policies []Policy) (*Archive, error) {
	if s == nil {
		for i := range policies {
			if p := &policies[i]; p.Archive {
				return nil, errorAt(p.Pos, "policy %s has archive: true, but the file does not say where copies go: add the section archive, with url, encryption and keep", p.Name)
			}
		}
		return nil, nil
	}
	if err := notZero("keep", &s.Keep); err != nil {
		return nil, errorAt(s.Keep.Pos, "keep is zero: write how long copies are kept, such as 30d, or forever")
	}
	if v := s.Verify.Verify; v != nil && v.Identity == "" && len(s.Encryption.recipients) > 0 {
		return nil, errorAt(v.Pos, "verify cannot read encrypted copies without a secret key: write verify: {schedule: …, identity: FILE}, a file that only the daemon can read, or leave verify out and run reaper archive verify where the key is")
	}
	return &Archive{Pos: s.Pos, URL: Text(s.URL), Recipients: s.Encryption.recipients, Keep: s.Keep, Verify: s.Verify.Verify}, nil
}

func (a *Archive) warnings(policies []Policy) []Warning {
	if a == nil {
		return nil
	}
	var found []Warning
	if text, fix := a.Keep.Minutes(); text != "" {
		found = append(found, Warning{Pos: a.Keep.Pos, Text: "keep: " + text, Fix: fix})
	}
	for i := range policies {
		if policies[i].Archive {
			return found
		}
	}
	return append(found, Warning{Pos: a.Pos, Text: "no policy has archive: true, so nothing is copied before it is deleted", Fix: "decide which policies are to be copied, and write archive: true under them"})
}

// archiveURL is a store's URL. Messages repeat nothing of it that could be a password.
type archiveURL Text

func (t *archiveURL) decode(key string, n *node) error {
	s, err := n.textAs(key, "the URL of a store, such as s3://bucket/prefix or file:///folder")
	if err != nil {
		return err
	}
	if _, err := archive.ParseURL(s); err != nil {
		return n.in(key, err)
	}
	*t = archiveURL{s, n.pos}
	return nil
}

func (archiveURL) schema() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "string", Pattern: "^(s3|file)://."}
}

// encryptionValue is none, or a mapping with recipients.
type encryptionValue struct{ recipients []string }

type encryptionSection struct {
	Recipients []recipient `yaml:"recipients" jsonschema:"required,minItems=1" jsonschema_description:"age public keys, as age-keygen prints them. Whoever has one of their secret keys can read the copies; reaper itself cannot."`
}

func (e *encryptionValue) decode(key string, n *node) error {
	if n.kind != kindMapping {
		if n.kind != kindString || n.text != "none" {
			return errorAt(n.pos, "%s: write none, or {recipients: [age1…]} with the public keys of those who may read the copies", key)
		}
		return nil
	}
	var s encryptionSection
	if err := decode(key, n, reflect.ValueOf(&s).Elem()); err != nil {
		return err
	}
	for _, r := range s.Recipients {
		e.recipients = append(e.recipients, string(r))
	}
	return nil
}

func (encryptionValue) schema() *jsonschema.Schema {
	mapping := reflector().ReflectFromType(reflect.TypeFor[encryptionSection]())
	mapping.Version = ""
	return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{choiceSchema("none"), mapping}}
}

// recipient is an age public key. Messages do not repeat it, because it may be a secret one.
type recipient string

func (r *recipient) decode(key string, n *node) error {
	s, err := n.textAs(key, "a public key of age")
	if err != nil {
		return err
	}
	if _, err := archive.ParseRecipient(s); err != nil {
		return n.in(key, err)
	}
	*r = recipient(s)
	return nil
}

func (recipient) schema() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "string", Pattern: "^age1."}
}

// verifyValue is a schedule, or a mapping.
type verifyValue struct{ *Verify }

type verifySection struct {
	Schedule verifySchedule `yaml:"schedule" jsonschema:"required" jsonschema_description:"When: daily, weekly, monthly, or a cron expression in the daemon's time zone."`
	Sample   share          `yaml:"sample" jsonschema:"default=5%" jsonschema_description:"How many of the copies are drawn at random, each time."`
	Load     boolean        `yaml:"load" jsonschema:"default=false" jsonschema_description:"true: they are loaded into temporary tables too, so that a migration that has made copies unloadable is found."`
	Identity nonEmpty       `yaml:"identity" jsonschema_description:"A file with the secret key of age that can read encrypted copies. Needed where copies are encrypted."`
}

func (v *verifyValue) decode(key string, n *node) error {
	s := verifySection{Sample: 0.05}
	var err error
	if n.kind == kindMapping {
		err = decode(key, n, reflect.ValueOf(&s).Elem())
	} else {
		err = s.Schedule.decode(key, n)
	}
	v.Verify = &Verify{Pos: n.pos, Schedule: Text(s.Schedule), Share: float64(s.Sample), Load: bool(s.Load), Identity: s.Identity.Value}
	return err
}

func (verifyValue) schema() *jsonschema.Schema {
	mapping := reflector().ReflectFromType(reflect.TypeFor[verifySection]())
	mapping.Version = ""
	return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{nonBlank(), mapping}}
}

// verifySchedule is a cron expression, or how often.
type verifySchedule schedule

func (t *verifySchedule) decode(key string, n *node) error {
	if slices.Contains([]string{"daily", "weekly", "monthly"}, n.text) {
		*t = verifySchedule{"@" + n.text, n.pos}
		return nil
	}
	return (*schedule)(t).decode(key, n)
}

func (verifySchedule) schema() *jsonschema.Schema { return nonBlank() }
