package erasure

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/reaperdb/reaper/internal/pg"
	"github.com/reaperdb/reaper/plan"
	"github.com/reaperdb/reaper/policy"
)

var errNotYet = errors.New("not written yet")

type args struct{}
type walkState struct{ err error }

func compile(context.Context, *pgx.Conn, *policy.File, plan.Server, string) (*Plan, []plan.Problem, error) {
	return nil, nil, errNotYet
}
func (s *Step) run(context.Context, pgx.Tx, string, int) (Outcome, error) { return Outcome{}, errNotYet }
func newWalk(p *Plan, limit int) *Walk                                    { return &Walk{plan: p, limit: limit} }
func (w *Walk) next() *Step                                               { return nil }
func (w *Walk) did(Outcome)                                               {}
func (p *Plan) settings(time.Duration, time.Duration) string              { return "" }
func (p *Plan) canonical(context.Context, pg.Querier, string) (string, error) {
	return "", errNotYet
}
func (p *Plan) look(context.Context, pg.Querier, string) (Tenant, error)     { return Tenant{}, errNotYet }
func (p *Plan) lockTenant(context.Context, pg.Querier, string) (bool, error) { return false, errNotYet }
func (p *Plan) due(context.Context, pg.Querier, string, int) ([]string, error) {
	return nil, errNotYet
}
func (p *Plan) remaining(context.Context, pg.Querier, string) ([]Count, error)  { return nil, errNotYet }
func (p *Plan) blockers(context.Context, pg.Querier, string) ([]Blocker, error) { return nil, errNotYet }
func (p *Plan) leftovers(map[*Table]map[string][]string) []*Step                { return nil }
func (p *Plan) printed() string                                                 { return "" }
