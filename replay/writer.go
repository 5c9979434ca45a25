package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reaperdb/reaper/internal/lab"
)

// writer inserts mails with dependents at a fixed rate, whether or not earlier ones are done,
// like the users of a service. It remembers what was acknowledged.
type writer struct {
	pool   *pgxpool.Pool
	stop   func()
	ended  chan struct{}
	mu     sync.Mutex
	acked  []int64 // ids of mails whose transaction committed
	failed int
	first  error // first error
	worst  time.Duration
}

// writeSQL is one transaction: a mail, and one row in each table along one line of
// dependents, three levels deep.
const writeSQL = `WITH mail AS (
	INSERT INTO outgoing_emails (domain_id, created_at, subject, html_body)
	VALUES (1 + $1::bigint % 100, now(), 'meanwhile ' || $1, repeat(md5($1::text), 20)) RETURNING id
), header AS (
	INSERT INTO headers (outgoing_email_id, k, v) SELECT id, 'Message-Id', 'value ' || id FROM mail
), recipient AS (
	INSERT INTO recipients (outgoing_email_id, address) SELECT id, 'w' || id || '@x.test' FROM mail RETURNING id
), delivery AS (
	INSERT INTO deliveries (recipient_id, status, at) SELECT id, 'sent', now() FROM recipient RETURNING id
), response AS (
	INSERT INTO responses (delivery_id, code, line) SELECT id, 250, '2.0.0 OK' FROM delivery
)
SELECT id FROM mail`

// lostSQL counts the mails of $1 that are missing or incomplete.
const lostSQL = `SELECT count(*) FROM unnest($1::bigint[]) AS w (id) WHERE NOT EXISTS (
	SELECT FROM outgoing_emails e
	  JOIN headers h ON h.outgoing_email_id = e.id
	  JOIN recipients r ON r.outgoing_email_id = e.id
	  JOIN deliveries d ON d.recipient_id = r.id
	  JOIN responses p ON p.delivery_id = d.id
	 WHERE e.id = w.id)`

const (
	writeConnections = 4
	writeTimeout     = 10 * time.Second
)

// write starts a writer with a rate in mails per second.
func write(ctx context.Context, dsn string, rate int) (*writer, error) {
	config, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, fmt.Errorf("starting the writer: %w", err)
	}
	config.MaxConns = writeConnections
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("starting the writer: %w", err)
	}
	ctx, stop := context.WithCancel(ctx)
	w := &writer{pool: pool, stop: stop, ended: make(chan struct{})}
	go w.keepTime(ctx, time.Second/time.Duration(rate))
	return w, nil
}

// keepTime starts a write at every tick, and finally waits for the last ones.
func (w *writer) keepTime(ctx context.Context, every time.Duration) {
	defer close(w.ended)
	defer w.pool.Close()
	tick := time.NewTicker(every)
	defer tick.Stop()
	var writes sync.WaitGroup
	defer writes.Wait()
	for n := int64(1); ; n++ {
		select {
		case <-ctx.Done():
			return
		case due := <-tick.C:
			writes.Go(func() { w.one(context.WithoutCancel(ctx), n, due) })
		}
	}
}

// one writes a mail; its latency counts from when it was due.
func (w *writer) one(ctx context.Context, n int64, due time.Time) {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	var id int64
	err := w.pool.QueryRow(ctx, writeSQL, n).Scan(&id)
	w.mu.Lock()
	defer w.mu.Unlock()
	if err != nil {
		w.failed++
		if w.first == nil {
			w.first = err
		}
		return
	}
	w.acked = append(w.acked, id)
	w.worst = max(w.worst, time.Since(due))
}

// end stops the writer and waits for all answers; calling it again does nothing.
func (w *writer) end() {
	w.stop()
	<-w.ended
}

// lost counts the acknowledged mails that are missing.
func (w *writer) lost(ctx context.Context, dsn string) (int64, error) {
	n, err := lab.Ask[int64](ctx, dsn, lostSQL, w.acked)
	if err != nil {
		return 0, fmt.Errorf("checking the acknowledged writes: %w", err)
	}
	return n, nil
}
