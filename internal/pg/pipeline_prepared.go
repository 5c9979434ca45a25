package pg

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Pipeline sends many statements at once that differ in their values alone. Each text is
// parsed once. It lives within one transaction, so that it works through a pooler: Close
// comes before the transaction ends.
type Pipeline struct {
	conn     *pgconn.PgConn
	types    *pgtype.Map
	prefix   string
	prepared map[string]string // names, by text
	batch    pgconn.Batch
	reads    []func(rows [][][]byte, affected int64) error
}

// NewPipeline makes an empty pipeline. prefix begins the names of its statements, and is
// unique among those of the session.
func NewPipeline(conn *pgxpool.Conn, prefix string) *Pipeline {
	return &Pipeline{conn: conn.Conn().PgConn(), types: conn.Conn().TypeMap(), prefix: prefix, prepared: map[string]string{}}
}

// Queue adds a statement. read gets its rows, as text, and the number of rows it has
// touched.
func (p *Pipeline) Queue(ctx context.Context, s *Statement, read func(rows [][][]byte, affected int64) error) error {
	name, there := p.prepared[s.String()]
	if !there {
		name = fmt.Sprintf("%s_%d", p.prefix, len(p.prepared))
		if _, err := p.conn.Prepare(ctx, name, s.String(), nil); err != nil {
			return err
		}
		p.prepared[s.String()] = name
	}
	values := make([][]byte, len(s.Args))
	for i, v := range s.Args {
		var err error
		if values[i], err = p.text(v); err != nil {
			return err
		}
	}
	p.batch.ExecPrepared(name, values, nil, nil)
	p.reads = append(p.reads, read)
	return nil
}

// text is a value as PostgreSQL reads it; nil is NULL.
func (p *Pipeline) text(v any) ([]byte, error) {
	if s, is := v.(string); is {
		return []byte(s), nil
	}
	t, known := p.types.TypeForValue(v)
	if !known {
		return nil, fmt.Errorf("a statement is bound to a value of type %T", v)
	}
	return p.types.Encode(t.OID, pgtype.TextFormatCode, v, nil)
}

// Send sends the statements, and reads their answers in their order. After an error, at is
// the ordinal (from 0) of the statement that failed, and no later one has been carried out.
func (p *Pipeline) Send(ctx context.Context) (at int, err error) {
	answers := p.conn.ExecBatch(ctx, &p.batch)
	for answers.NextResult() && err == nil {
		result := answers.ResultReader().Read()
		if err = result.Err; err == nil {
			err = p.reads[at](result.Rows, result.CommandTag.RowsAffected())
		}
		if err == nil {
			at++
		}
	}
	if closed := answers.Close(); err == nil {
		err = closed
	}
	p.batch, p.reads = pgconn.Batch{}, nil
	return at, err
}

// Close forgets the prepared statements. It works in a failed transaction too.
func (p *Pipeline) Close(ctx context.Context) error {
	for _, name := range p.prepared {
		if err := p.conn.Deallocate(ctx, name); err != nil {
			return err
		}
	}
	p.prepared = map[string]string{}
	return nil
}
