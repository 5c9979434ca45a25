//go:build archive

package archive_test

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/reaperdb/reaper/archive"
)

// gateway starts an S3 server over a folder with a bucket, and returns the URL of an archive in it.
func gateway(t *testing.T) string {
	t.Helper()
	program, err := exec.LookPath("versitygw")
	if err != nil {
		t.Fatal("versitygw is not in PATH: run make archive-tools; make test-archive does, and runs these tests")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	if err := os.Mkdir(filepath.Join(folder, "bucket"), 0o755); err != nil {
		t.Fatal(err)
	}
	server := exec.CommandContext(context.Background(), program, "--access", "reader", "--secret", "sesame", "--port", address, "posix", "--nometa", folder)
	server.Stderr = os.Stderr
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Process.Kill(); err != nil {
			t.Error(err)
		}
		_ = server.Wait() // killed
	})
	for deadline := time.Now().Add(30 * time.Second); ; {
		c, err := net.Dial("tcp", address)
		if err == nil {
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
			break
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
	return "s3://bucket/pre/fix?region=us-east-1&path_style=true&endpoint=http://" + address
}

func TestS3(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "reader")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "sesame")
	url := gateway(t)
	testStore(t, url)

	t.Setenv("AWS_SECRET_ACCESS_KEY", "wrong")
	if err := open(t, archive.Config{URL: url}).Try(t.Context()); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("wrong credentials: %v", err)
	}
}
