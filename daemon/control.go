package daemon

import (
	"context"
	"errors"
	"sync"

	"github.com/jackc/pgx/v5/pgconn"
)

// preparer makes or upgrades the ledger. A book is one.
type preparer interface {
	Usable(ctx context.Context) error
	Migrate(ctx context.Context) error
}

// control makes the ledger where it is missing, and sees to what depends on it. Nothing
// runs before the ledger is there.
type control struct {
	ledger   preparer
	observe  bool // nothing is run, and so nothing need be written
	up       func() bool
	complain func(what string, err error)
	// steps are what is done with the ledger, in order, until one fails.
	steps []func(context.Context) error

	mu      sync.Mutex
	there   bool
	problem string // why the ledger cannot be used; empty: it can
}

func newControl(l preparer, observe bool, up func() bool, complain func(string, error), steps ...func(context.Context) error) *control {
	return &control{ledger: l, observe: observe, up: up, complain: complain, steps: steps, problem: "it has not been read yet"}
}

// round makes the ledger where it is missing, and takes the steps.
func (c *control) round(ctx context.Context) {
	once, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	err := c.prepare(once)
	for _, step := range c.steps {
		if err != nil {
			break
		}
		err = step(once)
	}
	if ctx.Err() != nil {
		return
	}
	if news := c.ended(err); news && err != nil {
		c.complain("the ledger", err)
	}
}

// ended notes how a round ended, and reports whether that is news.
func (c *control) ended(err error) bool {
	up := c.up()
	c.mu.Lock()
	defer c.mu.Unlock()
	before := c.problem
	switch {
	case err == nil:
		c.problem = ""
	case up: // else the pulse says it
		c.problem = safe(err)
		if refused, ok := errors.AsType[*pgconn.PgError](err); ok && (refused.Code == "42P01" || refused.Code == "3F000") {
			c.there = false // it was dropped
		}
	}
	return c.problem != before
}

// prepare makes or upgrades the ledger, where this role may, and sees that it may
// write there all that a run does.
func (c *control) prepare(ctx context.Context) error {
	if c.ready() {
		return nil
	}
	if !c.observe {
		if err := c.ledger.Usable(ctx); err != nil {
			return err
		}
	}
	if err := c.ledger.Migrate(ctx); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.there = true
	return nil
}

// look takes over whether the ledger is there, for a process that does not make it.
func (c *control) look(there bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.there, c.problem = there, ""
}

// ready reports whether the ledger is there.
func (c *control) ready() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.there
}

// trouble is why the ledger cannot be used; empty: it can.
func (c *control) trouble() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.problem
}
