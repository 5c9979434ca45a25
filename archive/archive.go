package archive

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"regexp"

	"filippo.io/age"
)

// Config says where segments go, and how.
type Config struct {
	// URL is file:///path or s3://bucket/prefix?endpoint=…&region=…&path_style=true.
	URL string
	// Recipients are the age public keys that can read what is written; empty: it is not encrypted.
	Recipients []string
	// Identities decrypt what is read; empty: only what is not encrypted can be read.
	Identities []age.Identity
	// Secret keys the hash of tenants in the names of objects. It is needed where a manifest names a
	// tenant.
	Secret []byte
	// Spool is the folder for segments that are being written; empty: that of temporary files. Each
	// needs about twice its compressed size there.
	Spool string
}

// Archive reads and writes segments. It may be used by several goroutines.
type Archive struct {
	store      store
	recipients []age.Recipient
	identities []age.Identity
	secret     []byte
	spool      string
}

// Open checks the configuration. It does not ask the store for anything: see Try.
func Open(c Config) (*Archive, error) {
	store, err := openStore(c.URL)
	if err != nil {
		return nil, err
	}
	a := &Archive{store: store, identities: c.Identities, secret: c.Secret, spool: c.Spool}
	if a.spool == "" {
		a.spool = os.TempDir()
	}
	for _, text := range c.Recipients {
		r, err := ParseRecipient(text)
		if err != nil {
			return nil, err
		}
		a.recipients = append(a.recipients, r)
	}
	return a, nil
}

// ParseRecipient reads an age public key.
func ParseRecipient(text string) (age.Recipient, error) {
	if _, err := age.ParseX25519Identity(text); err == nil {
		return nil, errors.New("this is a secret key of age, not a public one; write the line that `age-keygen -y` prints for it, and keep the secret key elsewhere")
	}
	if r, err := age.ParseX25519Recipient(text); err == nil {
		return r, nil
	}
	if r, err := age.ParseHybridRecipient(text); err == nil {
		return r, nil
	}
	return nil, errors.New("this is not a public key of age (not shown, in case it is a secret); write one as `age-keygen` prints it: age1…")
}

// ReadIdentities reads the secret keys of age in a file, one a line; of an empty path there are none.
// Its errors repeat nothing of the file.
func ReadIdentities(path string) (ids []age.Identity, err error) {
	if path == "" {
		return nil, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading identities: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if ids, err = age.ParseIdentities(f); err != nil {
		return nil, fmt.Errorf("%s has no secret key of age that can be read (one a line, as age-keygen writes them)", path)
	}
	return ids, nil
}

// Encrypted reports whether what is written is encrypted.
func (a *Archive) Encrypted() bool { return len(a.recipients) > 0 }

// TenantHash is what stands for a tenant in the names of objects.
func (a *Archive) TenantHash(tenant string) (string, error) {
	if len(a.secret) == 0 {
		return "", errors.New("no secret to hash a tenant with")
	}
	mac := hmac.New(sha256.New, a.secret)
	mac.Write([]byte(tenant))
	return hex.EncodeToString(mac.Sum(nil)[:16]), nil
}

// shared stands in an object's name where the hash of a tenant would.
const shared = "shared"

var plainName = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// folder is where the objects of a run, a policy and, if it has its own, a tenant are.
func (a *Archive) folder(run, policy string, tenant *string) (string, error) {
	for _, part := range []string{run, policy} {
		if !plainName.MatchString(part) {
			return "", fmt.Errorf("%q cannot be part of an object's name", part)
		}
	}
	last := shared
	if tenant != nil {
		hash, err := a.TenantHash(*tenant)
		if err != nil {
			return "", err
		}
		last = hash
	}
	return run + "/" + policy + "/" + last + "/", nil
}
