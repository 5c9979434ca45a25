package archive

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// WriteList writes down beside a segment what a batch deleted of it. The same list may be written
// again, and other ones beside it.
func (a *Archive) WriteList(ctx context.Context, o Object, l List) error {
	beginning, err := base(o.Name)
	if err != nil {
		return err
	}
	if !strings.HasPrefix(o.Name, l.Run+"/"+l.Policy+"/") {
		return fmt.Errorf("writing a list: segment %s is not of run %s and policy %s", o.Name, l.Run, l.Policy)
	}
	l.Segment = o
	content, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("writing a list: %w", err)
	}
	name := fmt.Sprintf("%s.%d%s", beginning, l.Seq, listEnd)
	var b bytes.Buffer
	if err := a.encrypted(&b, func(w io.Writer) error { _, err := w.Write(content); return err }); err != nil {
		return fmt.Errorf("writing a list: %w", err)
	}
	if a.Encrypted() {
		name += encryptedEnd
	}
	list := objectOf(name, b.Bytes())
	if err := a.putConfirmed(ctx, list, bytes.NewReader(b.Bytes())); err != nil {
		return fmt.Errorf("writing list %s: %w", name, err)
	}
	return nil
}

// base is the part of a segment's name that those of its lists begin with.
func base(name string) (string, error) {
	base, ok := strings.CutSuffix(strings.TrimSuffix(name, encryptedEnd), segmentEnd)
	if !ok {
		return "", fmt.Errorf("%s is not the name of a segment", name)
	}
	return base, nil
}

func objectOf(name string, content []byte) Object {
	hash := sha256.Sum256(content)
	return Object{Name: name, Bytes: int64(len(content)), SHA256: hex.EncodeToString(hash[:])}
}
