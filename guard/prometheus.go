package guard

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/api"
	v1 "github.com/prometheus/client_golang/api/prometheus/v1"
	"github.com/prometheus/common/model"
)

// prometheus queries servers by PromQL. Their URLs are secrets, and net/http quotes
// them, so none of its errors are passed on.
type prometheus struct{ client *http.Client }

func newPrometheus() *prometheus {
	return &prometheus{client: &http.Client{
		Transport: &http.Transport{Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: 1, IdleConnTimeout: time.Minute},
		// A password in the URL must not follow a redirect to another server.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

func (p *prometheus) close() { p.client.CloseIdleConnections() }

// number returns the single value that a query yields now.
func (p *prometheus) number(ctx context.Context, q Query) (float64, error) {
	client, err := api.NewClient(api.Config{Address: q.Prometheus, Client: p.client})
	if err != nil {
		return 0, ownError("the Prometheus URL is invalid")
	}
	value, _, _, err := v1.NewAPI(client).Query(ctx, q.SQL, time.Now())
	if err != nil {
		return 0, prometheusError(ctx, err)
	}
	switch value := value.(type) {
	case *model.Scalar:
		return float64(value.Value), nil
	case model.Vector:
		if len(value) == 1 {
			return float64(value[0].Value), nil
		}
		return 0, ownError(fmt.Sprintf("the query returned %d series; it must return one number", len(value)))
	}
	return 0, ownError("the query returned a " + value.Type().String() + "; it must return one number")
}

// prometheusError replaces an error by a text without secrets.
func prometheusError(ctx context.Context, err error) error {
	var answer *v1.Error
	switch {
	case ctx.Err() != nil:
		return ownError("Prometheus did not answer in time")
	case errors.As(err, &answer) && answer.Type == v1.ErrBadData:
		return ownError("Prometheus rejected the query: " + oneLine(answer.Msg))
	case errors.As(err, &answer):
		return ownError("Prometheus returned an error (" + oneLine(string(answer.Type)) + ")")
	}
	return ownError("Prometheus cannot be reached")
}
