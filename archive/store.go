package archive

import (
	"context"
	"fmt"
	"io"
	"iter"
	"net/url"
	"strings"
)

// store is where objects are kept. Names are relative to the URL's folder or prefix.
type store interface {
	// put writes an object of a known size and SHA-256 (hexadecimal). An object is there whole, or
	// not at all; one of the same name is replaced.
	put(ctx context.Context, name string, content io.ReadSeeker, size int64, sum string) error
	// ask returns size and SHA-256 of an object, by a request of its own.
	ask(ctx context.Context, name string) (Object, error)
	// get reads an object; the error of one that is not there is fs.ErrNotExist.
	get(ctx context.Context, name string) (io.ReadCloser, error)
	// list yields the objects whose names begin so, by name, without their SHA-256.
	list(ctx context.Context, prefix string) iter.Seq2[Object, error]
	// remove removes an object; one that is not there is no error.
	remove(ctx context.Context, name string) error
}

// openStore reads a URL.
func openStore(text string) (store, error) {
	u, err := ParseURL(text)
	if err != nil {
		return nil, err
	}
	if u.Scheme == "file" {
		return fileStore{u.Path}, nil
	}
	return openS3(u)
}

// ParseURL checks the URL of a store. Its errors repeat nothing that could be a password.
func ParseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return nil, fmt.Errorf("this is no URL; write s3://bucket/prefix or file:///folder")
	case u.User != nil:
		return nil, fmt.Errorf("%s://%s holds credentials (hidden here); take them out, and set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment", u.Scheme, u.Host)
	case u.Fragment != "":
		return nil, fmt.Errorf("a URL of an archive has no part behind a #; write %%23 for this character")
	case u.Scheme == "file":
		return u, checkFile(u)
	case u.Scheme == "s3":
		_, err := s3Place(u)
		return u, err
	}
	return nil, fmt.Errorf("the archive's URL begins with neither file:// nor s3://; write s3://bucket/prefix or file:///folder")
}

func checkFile(u *url.URL) error {
	switch {
	case u.Host != "" || u.Opaque != "" || !strings.HasPrefix(u.Path, "/") || u.Path == "/":
		return fmt.Errorf("a folder is written with three slashes and its whole path, such as file:///var/lib/reaper/archive")
	case u.RawQuery != "":
		return fmt.Errorf("file:// takes no parameters; write %%3F for a question mark in a folder's name")
	}
	return nil
}
