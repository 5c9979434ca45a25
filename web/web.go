package web

import (
	"cmp"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"time"
)

// DefaultMaxAge is the default maximum age of a snapshot.
const DefaultMaxAge = 10 * time.Second

// Options configure the handler.
type Options struct {
	Status  func() Status    // the latest snapshot; called by every request, concurrently, and must not block
	Metrics http.Handler     // nil means no /metrics
	MaxAge  time.Duration    // age from which a snapshot is unhealthy; 0 means DefaultMaxAge
	Now     func() time.Time // nil means time.Now
	Log     *slog.Logger     // nil disables logging

	// Addr is the listening address, and Name the setting it comes from. On a loopback
	// address only requests for a loopback host or for Name are answered; with a nil Addr,
	// all are.
	Addr net.Addr
	Name string
}

// server answers from the options, with defaults applied.
type server struct {
	Options
	document document
}

// The paths that tell how the daemon is: it lives; its database answers, and its policy file is valid;
// the same without the database; and no policy is late or failing.
const (
	PathAlive   = "/healthz"
	PathReady   = "/readyz"
	PathProcess = "/readyz/process"
	PathHealth  = "/health"
)

// New returns the handler of /, /policy/NAME, /healthz, /readyz, /readyz/process, /health, /api/status and /metrics. It sets
// no timeouts; configure them in the http.Server.
func New(o Options) http.Handler {
	o.MaxAge = cmp.Or(o.MaxAge, DefaultMaxAge)
	o.Log = cmp.Or(o.Log, slog.New(slog.DiscardHandler))
	if o.Now == nil {
		o.Now = time.Now
	}
	s := &server{o, newDocument()}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.page)
	mux.HandleFunc("GET /policy/{name}", s.policyPage)
	mux.HandleFunc("GET "+PathAlive, s.alive)
	mux.HandleFunc("GET "+PathReady, s.ready)
	mux.HandleFunc("GET "+PathProcess, s.processReady)
	mux.HandleFunc("GET "+PathHealth, s.health)
	mux.HandleFunc("GET /api/status", s.api)
	if o.Metrics != nil {
		mux.Handle("GET /metrics", o.Metrics)
	}
	return withSecurityHeaders(requireLoopbackHost(mux, o.Addr, o.Name), s.document.policy)
}

// withSecurityHeaders sets the headers of every response.
func withSecurityHeaders(next http.Handler, contentPolicy string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", contentPolicy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY") // for browsers without frame-ancestors
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
		s.Log.Error("status page not rendered", "error", err)
		http.Error(w, "the status page could not be rendered; /api/status has its content", http.StatusInternalServerError)
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
	// Notes list what holds deleting back and what else deserves attention; only in /health.
	Notes []string   `json:"notes,omitempty"`
	At    *time.Time `json:"at"` // as of; null if unknown
}

// alive only says that the process is serving.
func (s *server) alive(w http.ResponseWriter, _ *http.Request) {
	now := s.Now()
	s.json(w, http.StatusOK, health{OK: true, Reasons: []string{}, At: &now})
}

func (s *server) ready(w http.ResponseWriter, _ *http.Request) {
	s.writeVerdict(w, func(v Verdict) (problems, notes []Finding) { return slices.Concat(v.NotReady, v.Broken), nil })
}

// processReady is for readiness probes: a database that is away makes no pod unready, which
// would only keep nodes from being drained.
func (s *server) processReady(w http.ResponseWriter, _ *http.Request) {
	s.writeVerdict(w, func(v Verdict) (problems, notes []Finding) { return v.NotReady, nil })
}

func (s *server) health(w http.ResponseWriter, _ *http.Request) {
	s.writeVerdict(w, func(v Verdict) (problems, notes []Finding) {
		return v.Problems(), append(v.Held[:len(v.Held):len(v.Held)], v.Warnings...)
	})
}

// writeVerdict answers 200 if there is no problem, else 503.
func (s *server) writeVerdict(w http.ResponseWriter, findings func(Verdict) (problems, notes []Finding)) {
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
		s.Log.Error("status not sent as JSON", "error", err)
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
