package heartbeat

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"
)

// Client sends pings. Each monitor has a line of its own, served in order by one
// goroutine, which lives while there is something to send.
type Client struct {
	log     *slog.Logger
	observe func(Result)
	agent   string
	queue   int
	http    http.Client

	// ctx ends when Close has waited long enough; closing is closed when it begins.
	ctx     context.Context
	cancel  context.CancelFunc
	closing chan struct{}

	mu     sync.Mutex
	closed bool
	lines  map[string]*line
	busy   int           // lines with a goroutine
	idle   chan struct{} // closed when busy comes to 0; nil while it is 0
}

// New makes a Client. Close it.
func New(cfg Config) *Client {
	c := &Client{
		log: cfg.Logger, observe: cfg.Observe, agent: "reaper/" + cfg.Version, queue: cfg.Queue,
		closing: make(chan struct{}), lines: map[string]*line{},
	}
	if c.log == nil {
		c.log = slog.New(slog.DiscardHandler)
	}
	if cfg.Version == "" {
		c.agent = "reaper/dev"
	}
	if c.queue <= 0 {
		c.queue = 16
	}
	c.http = newHTTP(cfg.Transport)
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

// Send writes a ping out, puts it in the monitor's line, and returns at once.
// What becomes of it is told to Config.Observe.
func (c *Client) Send(m Monitor, p Ping) {
	if m.IsZero() {
		return
	}
	request, ok, err := m.service.call(p)
	if err != nil || !ok {
		c.finish(m, p, delivery{withheld: !ok, err: err})
		return
	}
	dropped := c.enqueue(m, waiting{p, request})
	if dropped.ping.Event != "" {
		c.finish(m, dropped.ping, delivery{dropped: true})
	}
}

// enqueue gives back the ping that had to go for it: maybe this one. None: the
// zero one.
func (c *Client) enqueue(m Monitor, w waiting) waiting {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := c.line(m)
	if c.closed {
		return w
	}
	dropped := l.push(w, c.queue)
	if len(l.queue) > 0 && !l.working {
		l.working = true
		if c.busy == 0 {
			c.idle = make(chan struct{})
		}
		c.busy++
		go c.work(m, l)
	}
	return dropped
}

// line is that of a monitor; mu must be held.
func (c *Client) line(m Monitor) *line {
	l := c.lines[m.key]
	if l == nil {
		l = &line{}
		c.lines[m.key] = l
	}
	return l
}

// work sends what waits in a line until nothing does.
func (c *Client) work(m Monitor, l *line) {
	for {
		w, ok := c.next(l)
		if !ok {
			return
		}
		if c.ctx.Err() != nil {
			c.finish(m, w.ping, delivery{dropped: true})
			continue
		}
		c.finish(m, w.ping, c.deliver(w.call))
	}
}

func (c *Client) next(l *line) (waiting, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(l.queue) > 0 {
		return l.pop(), true
	}
	l.working = false
	c.busy--
	if c.busy == 0 {
		close(c.idle)
		c.idle = nil
	}
	return waiting{}, false
}

// Flush waits until nothing waits to be sent, or ctx ends.
func (c *Client) Flush(ctx context.Context) error {
	c.mu.Lock()
	idle := c.idle
	c.mu.Unlock()
	if idle == nil {
		return nil
	}
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("sending the last heartbeats, %d left: %w", c.left(), context.Cause(ctx))
	}
}

// left is how many pings wait or are under way.
func (c *Client) left() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	left := c.busy
	for _, l := range c.lines {
		left += len(l.queue)
	}
	return left
}

// Close takes no more pings, and waits as Flush does, with shorter pauses between
// tries. When ctx ends first, what is left is dropped, and Close says so.
func (c *Client) Close(ctx context.Context) error {
	c.mu.Lock()
	if !c.closed {
		c.closed = true
		close(c.closing)
	}
	c.mu.Unlock()
	err := c.Flush(ctx)
	c.cancel()
	if err != nil {
		// The requests end by themselves now; a transport that does not let go is
		// not waited for.
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = c.Flush(ending)
	}
	return err
}
