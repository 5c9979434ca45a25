package policy

import (
	"reflect"
	"strings"

	"github.com/invopop/jsonschema"
)

// Heartbeat is the cron monitor that is notified of a policy's runs. All of it is secret.
// The zero Heartbeat is unset.
type Heartbeat struct {
	Pos  Pos
	URL  string // empty if each request has its own
	Kind string // the service; empty means it is inferred from the URL
	// The requests of a generic monitor; nil means that event is not sent.
	Start, Success, Fail, Log *HeartbeatRequest
}

// IsSet reports whether the file configures a monitor.
func (h Heartbeat) IsSet() bool { return h.Pos != Pos{} || h.URL != "" }

// HeartbeatRequest is the request for one event.
type HeartbeatRequest struct {
	URL     string // empty means the heartbeat's
	Method  string // empty means POST with a body, else GET
	Headers map[string]string
	Body    string // a Go template
}

// The types as written; see document.go.

type heartbeatSection struct {
	URL     secretURL       `yaml:"url" jsonschema_description:"The monitor's URL; a secret."`
	Kind    serviceName     `yaml:"kind" jsonschema_description:"The service, where the URL does not identify it."`
	Start   *requestSection `yaml:"start" jsonschema_description:"With kind generic: the request when a run begins."`
	Success *requestSection `yaml:"success" jsonschema_description:"With kind generic: the request when a run succeeds."`
	Fail    *requestSection `yaml:"fail" jsonschema_description:"With kind generic: the request when a run does not succeed."`
	Log     *requestSection `yaml:"log" jsonschema_description:"With kind generic: the request when a run is held up."`
}

type requestSection struct {
	URL     secretURL   `yaml:"url" jsonschema_description:"The URL; a secret. Omitted: the heartbeat's url."`
	Method  httpMethod  `yaml:"method" jsonschema_description:"Omitted: POST with a body, else GET."`
	Headers secretTexts `yaml:"headers" jsonschema_description:"Headers by name; secret."`
	Body    secretText  `yaml:"body" jsonschema_description:"A Go template over the run: {{.Policy}}, {{.Status}}, {{.Reason}}, {{.RunID}}, {{.Rows}}, {{json .Reason}}."`
}

// decode reads a URL or a mapping.
func (h *Heartbeat) decode(key string, n *node) error {
	h.Pos = n.pos
	if n.kind != kindMapping {
		var url secretURL
		err := url.decode(key, n)
		h.URL = url.Value
		return err
	}
	var s heartbeatSection
	if err := decode(key, n, reflect.ValueOf(&s).Elem()); err != nil {
		return err
	}
	h.URL, h.Kind = s.URL.Value, string(s.Kind)
	h.Start, h.Success, h.Fail, h.Log = s.Start.request(), s.Success.request(), s.Fail.request(), s.Log.request()
	return nil
}

func (s *requestSection) request() *HeartbeatRequest {
	if s == nil {
		return nil
	}
	return &HeartbeatRequest{URL: s.URL.Value, Method: string(s.Method), Headers: s.Headers, Body: string(s.Body)}
}

func (Heartbeat) schema() *jsonschema.Schema {
	mapping := reflector().ReflectFromType(reflect.TypeFor[heartbeatSection]())
	mapping.Version = ""
	return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{urlSchema(), mapping}}
}

// serviceName names a service. Errors do not repeat it, because it may be a misplaced URL.
type serviceName string

var services = []string{"healthchecks", "cronitor", "sentry", "better_stack", "dead_mans_snitch", "uptime_kuma", "generic"}

func (s *serviceName) decode(key string, n *node) error {
	return decodeSecretChoice(key, n, (*string)(s), services)
}

func (serviceName) schema() *jsonschema.Schema { return choiceSchema(services...) }

func decodeSecretChoice(key string, n *node, into *string, choices []string) error {
	if err := decodeChoice(key, n, into, choices...); err != nil {
		return errorAt(n.pos, "%s: write one of %s", key, strings.Join(choices, ", "))
	}
	return nil
}

type httpMethod string

var methods = []string{"GET", "HEAD", "POST", "PUT", "PATCH"}

func (m *httpMethod) decode(key string, n *node) error {
	return decodeSecretChoice(key, n, (*string)(m), methods)
}

func (httpMethod) schema() *jsonschema.Schema { return choiceSchema(methods...) }

// secretText is text that no message may show.
type secretText string

func (t *secretText) decode(key string, n *node) error {
	s, err := n.textAs(key, "text")
	*t = secretText(s)
	return err
}

func (secretText) schema() *jsonschema.Schema { return nonBlank() }

// secretTexts are secret texts by name.
type secretTexts map[string]string

func (t *secretTexts) decode(key string, n *node) error {
	if n.kind != kindMapping {
		return errorAt(n.pos, "%s must be a mapping of names and values, not %s", key, n.kind.describe())
	}
	*t = secretTexts{}
	for _, p := range n.pairs {
		var value secretText
		if err := value.decode("a value of "+key, p.value); err != nil {
			return err
		}
		(*t)[p.key.text] = string(value)
	}
	return nil
}

func (secretTexts) schema() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "object", AdditionalProperties: nonBlank()}
}
