// Package web provides what reaper says over HTTP: the status page, health,
// the JSON of the status, and the metrics it is handed. All of it is read-only
// and answered from a picture that somebody else makes: no request reaches the
// database.
package web

import (
	"cmp"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// DefaultMaxAge is how old the picture may be and still count.
const DefaultMaxAge = 10 * time.Second

// Options are what the handler needs.
type Options struct {
	Status  func() Status    // the latest picture; called by every request, from any goroutine, and must answer at once
	Metrics http.Handler     // nil: no /metrics
	MaxAge  time.Duration    // how old a picture may be before it is unhealthy; 0: DefaultMaxAge
	Now     func() time.Time // nil: time.Now
	Log     *slog.Logger     // nil: nothing is logged

	// Addr is the address that is listened on, and Name the setting that says so. On
	// a loopback address only requests for a loopback host or for Name are answered;
	// Addr nil: any host is.
	Addr net.Addr
	Name string
}

// server answers from the options; their zero values are filled in.
type server struct {
	Options
	document document
}

// New makes the handler of /, /healthz, /readyz, /health, /api/status and
// /metrics. It sets no time limits: those are the http.Server's.
func New(o Options) http.Handler {
	o.MaxAge = cmp.Or(o.MaxAge, DefaultMaxAge)
	o.Log = cmp.Or(o.Log, slog.New(slog.DiscardHandler))
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &server{o, newDocument()}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.page)
	mux.HandleFunc("GET /healthz", s.alive)
	mux.HandleFunc("GET /readyz", s.ready)
	mux.HandleFunc("GET /health", s.health)
	mux.HandleFunc("GET /api/status", s.api)
	if o.Metrics != nil {
		mux.Handle("GET /metrics", o.Metrics)
	}
	return guarded(ownHost(mux, o.Addr, o.Name), s.document.policy)
}

// guarded sets the headers that belong to every answer.
func guarded(next http.Handler, contentPolicy string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", contentPolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY") // for browsers that do not know frame-ancestors
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

func (s *server) page(w http.ResponseWriter, _ *http.Request) {
	now, status := s.Now(), s.Status()
	text, err := s.document.render(status, status.Judge(now, s.MaxAge), now)
	if err != nil {
		s.Log.Error("status page", "error", err)
		http.Error(w, "the status page could not be made; /api/status has its content", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	s.send(w, http.StatusOK, text)
}

func (s *server) api(w http.ResponseWriter, _ *http.Request) { s.json(w, http.StatusOK, s.Status()) }

// health is the JSON body of the three health endpoints.
type health struct {
	OK      bool     `json:"ok"`
	Reasons []string `json:"reasons"` // why not
	// Notes are what holds deleting back, and what else should be looked at; of
	// /health alone.
	Notes []string   `json:"notes,omitempty"`
	At    *time.Time `json:"at"` // when that was true; null: not known
}

// alive says that the process serves, and nothing more.
func (s *server) alive(w http.ResponseWriter, _ *http.Request) {
	now := s.Now()
	s.json(w, http.StatusOK, health{OK: true, Reasons: []string{}, At: &now})
}

func (s *server) ready(w http.ResponseWriter, _ *http.Request) {
	s.judged(w, func(v Verdict) (problems, notes []Finding) { return v.NotReady, nil })
}

func (s *server) health(w http.ResponseWriter, _ *http.Request) {
	s.judged(w, func(v Verdict) (problems, notes []Finding) {
		return v.Problems(), append(v.Held[:len(v.Held):len(v.Held)], v.Warnings...)
	})
}

// judged answers 200 where there is no problem, else 503.
func (s *server) judged(w http.ResponseWriter, findings func(Verdict) (problems, notes []Finding)) {
	status := s.Status()
	problems, notes := findings(status.Judge(s.Now(), s.MaxAge))
	body := health{OK: len(problems) == 0, Reasons: []string{}}
	if !status.At.IsZero() {
		body.At = &status.At
	}
	for _, f := range problems {
		body.Reasons = append(body.Reasons, f.String())
	}
	for _, f := range notes {
		body.Notes = append(body.Notes, f.String())
	}
	code := http.StatusOK
	if !body.OK {
		code = http.StatusServiceUnavailable
	}
	s.json(w, code, body)
}

func (s *server) json(w http.ResponseWriter, code int, body any) {
	text, err := json.MarshalIndent(body, "", "  ")
	if err != nil {
		s.Log.Error("status as JSON", "error", err)
		http.Error(w, "the status could not be written as JSON", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	s.send(w, code, append(text, '\n'))
}

func (s *server) send(w http.ResponseWriter, code int, body []byte) {
	w.WriteHeader(code)
	if _, err := w.Write(body); err != nil {
		s.Log.Debug("client went away", "error", err)
	}
}
