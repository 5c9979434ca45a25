package main

import (
	"net/http"
	"testing"
	"time"
)

// A daemon on a loopback address refuses foreign Host headers, even while the database is down.
func TestRun_ForeignHost(t *testing.T) {
	t.Parallel()
	s := serve(t, "host=127.0.0.1 port=1 user=app", lettersPolicy("@daily", ""))
	client := http.Client{Timeout: 5 * time.Second}
	for host, want := range map[string]int{"": 200, "localhost:1234": 200, "evil.example": 403} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+"/metrics", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Host = host
		answer, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		_ = answer.Body.Close()
		if answer.StatusCode != want {
			t.Errorf("host %q: %d, want %d", host, answer.StatusCode, want)
		}
	}
}
