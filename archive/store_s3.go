package archive

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"net/http"
	"net/url"
	"path"
	"strings"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// s3Store keeps objects in a bucket.
type s3Store struct {
	client *minio.Client
	bucket string
	prefix string // empty, or ending in a slash
}

// place is what a URL of a bucket says.
type place struct {
	bucket, prefix string
	host           string // of the endpoint
	plain          bool   // by HTTP
	region         string
	pathStyle      bool
}

// amazon is the endpoint where the URL names none.
const amazon = "s3.amazonaws.com"

func s3Place(u *url.URL) (place, error) {
	p := place{bucket: u.Host, host: amazon}
	if p.bucket == "" || u.Port() != "" {
		return p, errors.New("the URL names no bucket; write s3://bucket/prefix, and the server as ?endpoint=https://host")
	}
	if prefix := strings.Trim(path.Clean("/"+u.Path), "/"); prefix != "" {
		p.prefix = prefix + "/"
	}
	values, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return p, errors.New("the parameters of the URL cannot be read; write ?endpoint=https://host&region=eu-central-1&path_style=true")
	}
	for key, all := range values {
		if len(all) != 1 {
			return p, errors.New("a parameter of the URL is there twice")
		}
		if err := p.set(key, all[0]); err != nil {
			return p, err
		}
	}
	return p, nil
}

func (p *place) set(key, value string) error {
	switch key {
	case "endpoint":
		u, err := url.Parse(value)
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
			return errors.New("endpoint is not https://host or https://host:port (not shown here)")
		}
		if u.User != nil {
			return errors.New("endpoint holds credentials (not shown here); take them out, and set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment")
		}
		p.host, p.plain = u.Host, u.Scheme == "http"
	case "region":
		p.region = value
	case "path_style":
		if value != "true" && value != "false" {
			return errors.New("path_style is neither true nor false")
		}
		p.pathStyle = value == "true"
	default:
		return errors.New("unknown parameter in the URL (not shown here); there are endpoint, region, path_style")
	}
	return nil
}

func openS3(u *url.URL) (store, error) {
	p, err := s3Place(u)
	if err != nil {
		return nil, err
	}
	options := &minio.Options{
		Creds: credentials.NewChainCredentials([]credentials.Provider{
			&credentials.EnvAWS{}, &credentials.FileAWSCredentials{}, &credentials.IAM{Client: &http.Client{Transport: http.DefaultTransport}},
		}),
		Secure: !p.plain, Region: p.region, BucketLookup: minio.BucketLookupAuto,
	}
	if p.pathStyle {
		options.BucketLookup = minio.BucketLookupPath
	}
	client, err := minio.New(p.host, options)
	if err != nil {
		return nil, fmt.Errorf("opening bucket %s: %w", p.bucket, err)
	}
	return s3Store{client, p.bucket, p.prefix}, nil
}

func (s s3Store) put(ctx context.Context, name string, content io.ReadSeeker, size int64, sum string) error {
	raw, err := hex.DecodeString(sum)
	if err != nil {
		return err
	}
	_, err = s.client.PutObject(ctx, s.bucket, s.prefix+name, content, size, minio.PutObjectOptions{
		ContentType: "application/octet-stream", DisableMultipart: true,
		UserMetadata: map[string]string{"X-Amz-Checksum-Sha256": base64.StdEncoding.EncodeToString(raw)},
	})
	return s.wrapped(err)
}

// ask asks for the checksum that the store made of what it holds, and where it makes none reads the
// object.
func (s s3Store) ask(ctx context.Context, name string) (Object, error) {
	info, err := s.client.StatObject(ctx, s.bucket, s.prefix+name, minio.StatObjectOptions{Checksum: true})
	if err != nil {
		return Object{}, s.wrapped(err)
	}
	o := Object{Name: name, Bytes: info.Size}
	if raw, err := base64.StdEncoding.DecodeString(info.ChecksumSHA256); err == nil && len(raw) == sha256.Size {
		o.SHA256 = hex.EncodeToString(raw)
		return o, nil
	}
	f, err := s.get(ctx, name)
	if err != nil {
		return Object{}, err
	}
	hash := sha256.New()
	o.Bytes, err = io.Copy(hash, f)
	o.SHA256 = hex.EncodeToString(hash.Sum(nil))
	return o, s.wrapped(errors.Join(err, f.Close()))
}

func (s s3Store) get(ctx context.Context, name string) (io.ReadCloser, error) {
	f, err := s.client.GetObject(ctx, s.bucket, s.prefix+name, minio.GetObjectOptions{})
	if err != nil {
		return nil, s.wrapped(err)
	}
	if _, err := f.Stat(); err != nil { // the first request is only made here
		return nil, errors.Join(s.wrapped(err), f.Close())
	}
	return f, nil
}

func (s s3Store) list(ctx context.Context, prefix string) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		for info := range s.client.ListObjectsIter(ctx, s.bucket, minio.ListObjectsOptions{Prefix: s.prefix + prefix, Recursive: true}) {
			o := Object{Name: strings.TrimPrefix(info.Key, s.prefix), Bytes: info.Size}
			if !yield(o, s.wrapped(info.Err)) || info.Err != nil {
				return
			}
		}
	}
}

func (s s3Store) remove(ctx context.Context, name string) error {
	return s.wrapped(s.client.RemoveObject(ctx, s.bucket, s.prefix+name, minio.RemoveObjectOptions{}))
}

// wrapped names the bucket, and makes a missing object what it is for files.
func (s s3Store) wrapped(err error) error {
	if err == nil {
		return nil
	}
	if minio.ToErrorResponse(err).Code == minio.NoSuchKey {
		err = errors.Join(err, fs.ErrNotExist)
	}
	return fmt.Errorf("bucket %s: %w", s.bucket, err)
}
