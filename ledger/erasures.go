package ledger

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// The states of an erasure.
const (
	ErasureRequested = "requested" // nothing has gone yet
	ErasureWaiting   = "waiting"   // the application was told, and has time to close its inlets
	ErasureRunning   = "running"   // rows go, or went until it was interrupted
	ErasureEnded     = "done"
	ErasureCancelled = "cancelled"
)

// ErasureStates are all states, in their order.
func ErasureStates() []string {
	return []string{ErasureRequested, ErasureWaiting, ErasureRunning, ErasureEnded, ErasureCancelled}
}

// What has requested an erasure.
const (
	ByCommand = "command"
	ByWhen    = "when"
)

// Erasure is a tenant whose rows go, or went. All times are the database's.
type Erasure struct {
	ID          string     `json:"id"`
	Tenant      *string    `json:"tenant"`      // as PostgreSQL prints its key; nil: only the hash is known any more
	Hash        string     `json:"tenant_hash"` // HMAC-SHA256 of the key, in hex
	Origin      string     `json:"origin"`      // command or when
	Gone        bool       `json:"gone"`        // its row was missing already when it was requested
	By          string     `json:"by"`
	Reason      string     `json:"reason"`
	RequestedAt time.Time  `json:"requested_at"`
	DueAt       time.Time  `json:"due_at"`
	State       string     `json:"state"`
	Note        string     `json:"note"` // why it does not go on, or how it ended; empty: nothing to say
	RunID       *string    `json:"run_id"`
	Print       *string    `json:"print"` // the digest of the plan of its last run
	BegunAt     *time.Time `json:"begun_at"`
	FinishedAt  *time.Time `json:"finished_at"`
	EndedBy     *string    `json:"cancelled_by"`
	RecheckedAt *time.Time `json:"rechecked_at"`
	Remaining   *int64     `json:"remaining_rows"` // what that count found besides what is kept; nil: not counted yet
	Kept        []Kept     `json:"kept"`
	AgainAt     *time.Time `json:"again_at"`  // when kept rows are looked at again; nil: none are kept, or all forever
	RowStays    bool       `json:"row_stays"` // of a done one: the tenants' table still has its row
	Sweeps      int        `json:"sweeps"`
	SweepAt     *time.Time `json:"next_sweep_at"` // nil: there is none to come
}

// Open reports whether rows are still to go.
func (e *Erasure) Open() bool { return e.State != ErasureEnded && e.State != ErasureCancelled }

// Kept are the rows of a table that an erasure leaves.
type Kept struct {
	Table  string     `json:"table"`
	Rows   int64      `json:"rows"`
	Until  *time.Time `json:"until"` // when the last of them may go; nil: never
	Reason string     `json:"reason"`
}

const erasureColumns = `e.id::text, e.tenant, e.tenant_hash, e.origin, e.gone, e.who, e.reason, e.requested_at, e.due_at, e.state, e.note, e.run_id::text, e.print,
	e.begun_at, e.finished_at, e.ended_by, e.rechecked_at, e.remaining, e.kept, e.again_at, e.row_stays, e.sweeps, e.sweep_at`

// ErrOpenErasure means that an erasure of the tenant is under way already.
var ErrOpenErasure = errors.New("an erasure of this tenant is under way")

// Request is what a person asks for.
type Request struct {
	Tenant string // as PostgreSQL prints its key
	Gone   bool
	After  string // the text of an interval; empty: now
	Reason string
	By     string // empty: the database user and the application name
}

// RequestErasure records what a person has asked for, durably. An erasure of the tenant that has
// only been requested is replaced; it returns one under way with ErrOpenErasure.
func (l *Ledger) RequestErasure(ctx context.Context, db *pgxpool.Pool, r Request) (*Erasure, error) {
	hashes, err := l.TenantHashes(ctx, db, r.Tenant)
	if err != nil {
		return nil, err
	}
	var e *Erasure
	err = l.on(db).inTx(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, forceSyncCommit); err != nil {
			return err
		}
		if e, err = one(tx.Query(ctx, `INSERT INTO `+l.schema+`.erasure AS e (id, tenant, tenant_hash, origin, gone, who, reason, due_at)
			SELECT gen_random_uuid(), $1, $2, '`+ByCommand+`', $3::bool, `+person(`$4`)+`, $5, now() + coalesce(nullif($6::text, '')::interval, '0')
			ON CONFLICT (tenant_hash) WHERE state IN ('requested', 'waiting', 'running')
			DO UPDATE SET origin = excluded.origin, gone = excluded.gone, who = excluded.who, reason = excluded.reason, due_at = excluded.due_at, requested_at = now(), note = '' WHERE e.state = 'requested'
			RETURNING `+erasureColumns, r.Tenant, hashes[0], r.Gone, r.By, r.Reason, r.After)); e != nil || err != nil {
			return err
		}
		if e, err = one(tx.Query(ctx, `SELECT `+erasureColumns+` FROM `+l.schema+`.erasure e WHERE tenant_hash = $1 AND state IN ('waiting', 'running')`, hashes[0])); err != nil {
			return err
		}
		return ErrOpenErasure
	})
	if err != nil && !errors.Is(err, ErrOpenErasure) {
		return nil, fmt.Errorf("requesting the erasure: %w", err)
	}
	return e, err
}

// RequestByWhen records tenants whose rows go after a length of time (text of an interval) because
// `when` of the policy file holds for them, and returns how many are new. Not among them are those
// whose erasure is open, or has left their row, and those for which a person has said no.
func (l *Ledger) RequestByWhen(ctx context.Context, db *pgxpool.Pool, tenants []string, when, after string) (requested int64, err error) {
	hashes, err := l.TenantHashes(ctx, db, tenants...)
	if err != nil {
		return 0, err
	}
	err = l.on(db).inTx(ctx, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `INSERT INTO `+l.schema+`.erasure (id, tenant, tenant_hash, origin, gone, who, reason, due_at)
			SELECT gen_random_uuid(), t.key, t.hash, '`+ByWhen+`', false, 'the policy file', $3, now() + $4::text::interval FROM unnest($1::text[], $2::text[]) t(key, hash)
			 WHERE NOT EXISTS (SELECT FROM `+l.schema+`.erasure e WHERE e.tenant_hash = t.hash AND (e.state = 'done' AND e.row_stays OR e.state = 'cancelled' AND e.ended_by IS NOT NULL))
			ON CONFLICT DO NOTHING`, tenants, hashes, when, after)
		requested = tag.RowsAffected()
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("requesting erasures: %w", err)
	}
	return requested, nil
}

// CancelErasure ends an open erasure, by its id or its tenant's key, before its next batch. nil: none
// is open. If by is empty, the database user and the application name are recorded.
func (l *Ledger) CancelErasure(ctx context.Context, db *pgxpool.Pool, id, tenant, by string) (e *Erasure, err error) {
	hash := ""
	if tenant != "" {
		hashes, err := l.TenantHashes(ctx, db, tenant)
		if err != nil {
			return nil, err
		}
		hash = hashes[0]
	}
	err = l.on(db).inTx(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, forceSyncCommit); err != nil {
			return err
		}
		e, err = one(tx.Query(ctx, `UPDATE `+l.schema+`.erasure e SET state = 'cancelled', note = 'cancelled', finished_at = now(), ended_by = `+person(`$3`)+`
			WHERE (e.id::text = $1 OR e.tenant_hash = $2) AND e.state IN ('requested', 'waiting', 'running') RETURNING `+erasureColumns, id, hash, by))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("cancelling the erasure: %w", err)
	}
	return e, nil
}

// WithdrawErasure ends an erasure for which `when` no longer holds. It may be requested again.
func (l *Ledger) WithdrawErasure(ctx context.Context, db *pgxpool.Pool, id, note string) error {
	return l.changeErasure(ctx, db, "withdrawing", `UPDATE `+l.schema+`.erasure SET state = 'cancelled', note = $2, finished_at = now()
		WHERE id = $1::uuid AND origin = '`+ByWhen+`' AND state IN ('requested', 'waiting', 'running')`, id, note)
}

// NoteErasure says why an open erasure does not go on; empty: it does.
func (l *Ledger) NoteErasure(ctx context.Context, db *pgxpool.Pool, id, note string) error {
	return l.changeErasure(ctx, db, "noting why it does not go on", `UPDATE `+l.schema+`.erasure SET note = $2 WHERE id = $1::uuid AND note <> $2 AND state IN ('requested', 'waiting', 'running')`, id, note)
}

func (l *Ledger) changeErasure(ctx context.Context, db *pgxpool.Pool, what, sql string, args ...any) error {
	err := l.on(db).inTx(ctx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, sql, args...)
		return err
	})
	if err != nil {
		return fmt.Errorf("%s of an erasure: %w", what, err)
	}
	return nil
}

// Erasures returns all erasures, the open ones first and the oldest first among those, then the
// latest; none where the ledger does not exist yet, or is older than they are.
func (l *Ledger) Erasures(ctx context.Context, db *pgxpool.Pool) ([]Erasure, error) {
	return l.erasures(ctx, db, `ORDER BY (state IN ('requested', 'waiting', 'running')) DESC, CASE WHEN state IN ('requested', 'waiting', 'running') THEN due_at END, requested_at DESC, id`)
}

// DueErasures returns the open erasures that are due by the database's clock, those that have begun
// first, and those of which kept rows may go by now.
func (l *Ledger) DueErasures(ctx context.Context, db *pgxpool.Pool) ([]Erasure, error) {
	return l.erasures(ctx, db, `WHERE state IN ('requested', 'waiting', 'running') AND due_at <= now() OR state = 'done' AND again_at <= now()
		ORDER BY state = 'requested', due_at, id`)
}

// OpenByWhen returns the open erasures that `when` has requested.
func (l *Ledger) OpenByWhen(ctx context.Context, db *pgxpool.Pool) ([]Erasure, error) {
	return l.erasures(ctx, db, `WHERE state IN ('requested', 'waiting', 'running') AND origin = '`+ByWhen+`' ORDER BY due_at, id`)
}

// DueSweeps returns the erasures whose next sweep is due by the database's clock.
func (l *Ledger) DueSweeps(ctx context.Context, db *pgxpool.Pool) ([]Erasure, error) {
	return l.erasures(ctx, db, `WHERE sweep_at <= now() ORDER BY sweep_at, id`)
}

// ForgettableErasures returns the erasures whose last sweep has ended, of which no rows are kept that may
// go later, and whose tenants the ledger still names.
func (l *Ledger) ForgettableErasures(ctx context.Context, db *pgxpool.Pool) ([]Erasure, error) {
	return l.erasures(ctx, db, `WHERE state = 'done' AND tenant IS NOT NULL AND sweeps > 0 AND sweep_at IS NULL AND again_at IS NULL ORDER BY finished_at, id`)
}

// TenantGone notes that the row of an open erasure's tenant is gone, without the erasure: a row of its
// key that comes later is another tenant's.
func (l *Ledger) TenantGone(ctx context.Context, db *pgxpool.Pool, id string) error {
	return l.changeErasure(ctx, db, "noting that the row is gone", `UPDATE `+l.schema+`.erasure SET gone = true WHERE id = $1::uuid`, id)
}

// PutOffErasure has the kept rows of an erasure looked at again after a length of time.
func (l *Ledger) PutOffErasure(ctx context.Context, db *pgxpool.Pool, id string, after time.Duration) error {
	return l.changeErasure(ctx, db, "putting off", `UPDATE `+l.schema+`.erasure SET again_at = now() + $2::text::interval WHERE id = $1::uuid AND state = 'done'`, id, interval(after))
}

// Erasure returns one erasure by its id; nil: there is none.
func (l *Ledger) Erasure(ctx context.Context, db *pgxpool.Pool, id string) (*Erasure, error) {
	all, err := l.erasures(ctx, db, `WHERE id::text = $1`, id)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	return &all[0], nil
}

func (l *Ledger) erasures(ctx context.Context, db *pgxpool.Pool, which string, args ...any) ([]Erasure, error) {
	rows, err := l.on(db).Query(ctx, `SELECT `+erasureColumns+` FROM `+l.schema+`.erasure e `+which, args...)
	var all []Erasure
	if err == nil {
		all, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Erasure])
	}
	if isMissing(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading erasures: %w", err)
	}
	return all, nil
}

// one collects an erasure; nil: no row.
func one(rows pgx.Rows, err error) (*Erasure, error) {
	if err != nil {
		return nil, err
	}
	e, err := pgx.CollectExactlyOneRow(rows, pgx.RowToAddrOfStructByPos[Erasure])
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	return e, err
}

// DueByWhen returns how many erasures that `when` has requested have become due since a person last
// approved any, or within a length of time (text of an interval) if that is longer ago.
func (l *Ledger) DueByWhen(ctx context.Context, db *pgxpool.Pool, policy, within string) (n int64, err error) {
	err = l.on(db).QueryRow(ctx, `SELECT count(*) FROM `+l.schema+`.erasure WHERE origin = '`+ByWhen+`' AND state <> 'cancelled' AND due_at <= now()
		AND (state IN ('requested', 'waiting', 'running') OR due_at > greatest(now() - $2::text::interval, (SELECT max(created_at) FROM `+l.schema+`.approval WHERE policy = $1 AND most_roots > 0)))`,
		policy, within).Scan(&n)
	if err != nil && !isMissing(err) {
		return 0, fmt.Errorf("counting the erasures that are due: %w", err)
	}
	return n, nil
}

// ClaimErasure makes a run that of an erasure, with the digest of its plan. It is false if the
// erasure is not open (or, for one that is done, keeps rows that may not go yet), and if the run that
// it has is alive.
func (l *Ledger) ClaimErasure(ctx context.Context, db *pgxpool.Pool, id, runID, digest string) (ours bool, err error) {
	err = l.on(db).inTx(ctx, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `UPDATE `+l.schema+`.erasure e SET run_id = $2::uuid, print = $3, note = ''
			WHERE e.id = $1::uuid AND (e.state IN ('requested', 'waiting', 'running') OR e.state = 'done' AND e.again_at <= now())
			  AND NOT EXISTS (SELECT FROM `+l.schema+`.run r WHERE r.run_id = e.run_id AND r.run_id <> $2::uuid AND r.status = 'running' AND r.lease_until > clock_timestamp())`, id, runID, digest)
		ours = tag.RowsAffected() > 0
		return err
	})
	if err != nil {
		return false, fmt.Errorf("claiming the erasure: %w", err)
	}
	return ours, nil
}

// ErasureUnderWaySQL is an SQL condition for whether an erasure is still to go on, by an SQL
// expression of its id, as a batch asks.
func (l *Ledger) ErasureUnderWaySQL(id, runID string) string {
	return `EXISTS (SELECT FROM ` + l.schema + `.erasure e WHERE (e.id OPERATOR(pg_catalog.=) (` + id + `)) AND (e.run_id OPERATOR(pg_catalog.=) (` + runID + `)) AND (e.state OPERATOR(pg_catalog.<>) 'cancelled'))`
}

// TenantHeldSQL is an SQL condition for whether a person holds a tenant now, for any policy, by an
// expression of its key as text.
func (l *Ledger) TenantHeldSQL(key string) string {
	return `EXISTS (SELECT FROM ` + l.schema + `.hold reaper_h WHERE reaper_h.roots IS NULL AND (reaper_h.tenant IS NULL OR (reaper_h.tenant OPERATOR(pg_catalog.=) ((` + key + `) COLLATE pg_catalog."C"))) AND ` + holdInForce + `)`
}

// Erased sums the rows that erasures have deleted, redacted and emptied, by table and action.
func (l *Ledger) Erased(ctx context.Context, db *pgxpool.Pool, id string) (counts []ErasedRows, err error) {
	rows, err := l.on(db).Query(ctx, `SELECT table_name, action, rows FROM `+l.schema+`.erasure_count WHERE erasure = $1::uuid ORDER BY table_name, action`, id)
	if err == nil {
		counts, err = pgx.CollectRows(rows, pgx.RowToStructByPos[ErasedRows])
	}
	if err != nil {
		return nil, fmt.Errorf("reading what an erasure did: %w", err)
	}
	return counts, nil
}

// ErasedRows is what an erasure did to the rows of a table: delete, redact or nullify.
type ErasedRows struct {
	Table  string `json:"table"`
	Action string `json:"action"`
	Rows   int64  `json:"rows"`
}

// Leftover is what a sweep found in a table for a tenant that was gone.
type Leftover struct {
	Sweep   int       `json:"sweep"`
	Table   string    `json:"table"`
	Found   int64     `json:"found"`
	Deleted int64     `json:"deleted"`
	At      time.Time `json:"at"`
	Note    string    `json:"note"` // why they stay; empty: they went, or are only reported
}

// Leftovers returns what the sweeps of an erasure have found.
func (l *Ledger) Leftovers(ctx context.Context, db *pgxpool.Pool, id string) (found []Leftover, err error) {
	rows, err := l.on(db).Query(ctx, `SELECT sweep, table_name, found, deleted, at, note FROM `+l.schema+`.erasure_leftover WHERE erasure = $1::uuid ORDER BY sweep, table_name`, id)
	if err == nil {
		found, err = pgx.CollectRows(rows, pgx.RowToStructByPos[Leftover])
	}
	if err != nil {
		return nil, fmt.Errorf("reading the leftovers of an erasure: %w", err)
	}
	return found, nil
}

// LeftoverRows returns how many rows the last sweep of each erasure has found and left: by the id of
// the erasure, and by table.
func (l *Ledger) LeftoverRows(ctx context.Context, db *pgxpool.Pool) (byErasure, byTable map[string]int64, err error) {
	byErasure, byTable = map[string]int64{}, map[string]int64{}
	found, err := l.on(db).Query(ctx, `SELECT e.id::text, o.table_name, o.found - o.deleted FROM `+l.schema+`.erasure_leftover o JOIN `+l.schema+`.erasure e ON e.id = o.erasure AND e.sweeps = o.sweep`)
	var id, table string
	var n int64
	if err == nil {
		_, err = pgx.ForEachRow(found, []any{&id, &table, &n}, func() error {
			byErasure[id] += n
			byTable[table] += n
			return nil
		})
	}
	if err != nil && !isMissing(err) {
		return nil, nil, fmt.Errorf("reading leftovers: %w", err)
	}
	return byErasure, byTable, nil
}

// RememberedKey is the value of a column of a row that went.
type RememberedKey struct {
	N             int64 // its place among those of the erasure
	Table, Column string
	Value         string
}

// RememberedKeys returns at most so many of the values that an erasure has to remember, behind a place.
func (l *Ledger) RememberedKeys(ctx context.Context, db *pgxpool.Pool, id string, after int64, limit int) (keys []RememberedKey, err error) {
	rows, err := l.on(db).Query(ctx, `SELECT n, table_name, column_name, value FROM `+l.schema+`.erasure_key WHERE erasure = $1::uuid AND n > $2::bigint ORDER BY n LIMIT $3::int`, id, after, limit)
	if err == nil {
		keys, err = pgx.CollectRows(rows, pgx.RowToStructByPos[RememberedKey])
	}
	if err != nil {
		return nil, fmt.Errorf("reading the keys of rows that went: %w", err)
	}
	return keys, nil
}
