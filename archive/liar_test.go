package archive_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/reaperdb/reaper/archive"
)

// A store that says yes and keeps nothing, or something else, is found by asking it again.
func TestSend_Liar(t *testing.T) {
	t.Setenv("AWS_ACCESS_KEY_ID", "reader")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "sesame")
	for name, c := range map[string]struct {
		answer func(w http.ResponseWriter, sent []byte)
		words  string
	}{
		"keeps nothing": {func(w http.ResponseWriter, _ []byte) { w.WriteHeader(http.StatusNotFound) }, "asking the store"},
		"keeps half": {func(w http.ResponseWriter, sent []byte) {
			_, _ = w.Write(sent[:len(sent)/2])
		}, "does not hold what it was given"},
		"keeps something else": {func(w http.ResponseWriter, sent []byte) {
			_, _ = w.Write([]byte(strings.Repeat("x", len(sent))))
		}, "does not hold what it was given"},
	} {
		t.Run(name, func(t *testing.T) {
			var sent []byte
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("ETag", `"0"`)
				w.Header().Set("Last-Modified", "Sat, 28 Nov 2026 12:00:00 GMT")
				if r.Method == http.MethodPut {
					sent, _ = io.ReadAll(r.Body)
					return
				}
				c.answer(w, sent)
			}))
			defer server.Close()
			defer http.DefaultClient.CloseIdleConnections()
			a := open(t, archive.Config{URL: "s3://bucket?region=us-east-1&path_style=true&endpoint=" + server.URL})
			s, err := a.Begin(manifest())
			if err != nil {
				t.Fatal(err)
			}
			defer s.Discard()
			if _, err := s.Table(mailTable()); err != nil {
				t.Fatal(err)
			}
			_, err = s.Send(t.Context())
			if err == nil || !strings.Contains(err.Error(), c.words) {
				t.Errorf("got %v, want %q in it", err, c.words)
			}
			if len(sent) == 0 {
				t.Error("nothing was sent")
			}
		})
	}
}
