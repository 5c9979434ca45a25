package ledger

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// secretLength is the length in bytes of the key of the hash.
const secretLength = 32

// TenantHashes are the keyed hashes of tenants' keys as PostgreSQL prints them: HMAC-SHA256 in hex.
// The key of the hash is made at the first call and stays in the ledger.
func (l *Ledger) TenantHashes(ctx context.Context, db *pgxpool.Pool, tenants ...string) ([]string, error) {
	secret, err := l.secret(ctx, db)
	if err != nil {
		return nil, fmt.Errorf("reading the key of the hash: %w", err)
	}
	hashes := make([]string, len(tenants))
	for i, tenant := range tenants {
		h := hmac.New(sha256.New, secret)
		h.Write([]byte(tenant))
		hashes[i] = hex.EncodeToString(h.Sum(nil))
	}
	return hashes, nil
}

// secret reads the key of the hash, or makes it.
func (l *Ledger) secret(ctx context.Context, db *pgxpool.Pool) (secret []byte, err error) {
	fresh := make([]byte, secretLength)
	if _, err := rand.Read(fresh); err != nil {
		return nil, err
	}
	err = l.on(db).inTx(ctx, func(tx pgx.Tx) error {
		err := tx.QueryRow(ctx, `SELECT secret FROM `+l.schema+`.erasure_secret`).Scan(&secret)
		if err == nil || err != pgx.ErrNoRows { //nolint:errorlint // Scan returns it as it is
			return err
		}
		if _, err := tx.Exec(ctx, forceSyncCommit); err != nil {
			return err
		}
		// Another process may have made it meanwhile: it waits for that, and reads it.
		if _, err := tx.Exec(ctx, `INSERT INTO `+l.schema+`.erasure_secret (secret) VALUES ($1) ON CONFLICT DO NOTHING`, fresh); err != nil {
			return err
		}
		return tx.QueryRow(ctx, `SELECT secret FROM `+l.schema+`.erasure_secret`).Scan(&secret)
	})
	return secret, err
}

// mentions are the tables m that name tenants, with the rows of them that are about one that was erased.
// A hold in force is not: an erasure waits for those of its tenant.
func (l *Ledger) mentions() []struct{ table, erased string } {
	// Of a key that is in use again ($4), what was said before the end of the erasure ($3), and by it.
	ofItsRun := `(NOT $4::bool OR m.policy = 'erasure' OR EXISTS (SELECT FROM ` + l.schema + `.run r WHERE r.run_id = m.run_id AND r.policy = m.policy AND r.started_at <= $3::timestamptz))`
	return []struct{ table, erased string }{
		{"hold", `NOT EXISTS (SELECT FROM ` + l.schema + `.hold reaper_h WHERE reaper_h.id = m.id AND ` + holdInForce + `)`},
		{"grace", `NOT $4::bool`},
		{"deletion", ofItsRun},
		{"batch", ofItsRun},
		{"event", `(NOT $4::bool OR m.policy = 'erasure' OR m.at <= $3::timestamptz)`},
	}
}

// ForgetTenant replaces a tenant's key by its hash wherever the ledger names it, and deletes the keys
// of its rows, in one transaction. Erasures that are not over still know it, such as one of which rows
// are kept that have to go later. inUse: the key is another tenant's by now, whose mentions stay.
func (l *Ledger) ForgetTenant(ctx context.Context, db *pgxpool.Pool, e *Erasure, inUse bool) error {
	if e.Tenant == nil {
		return nil
	}
	err := l.on(db).inTx(ctx, func(tx pgx.Tx) error {
		for _, m := range l.mentions() {
			_, err := tx.Exec(ctx, `UPDATE `+l.schema+`.`+m.table+` m SET tenant = $2 WHERE m.tenant = $1 AND `+m.erased+` AND ($3::timestamptz IS NULL OR $4::bool IS NOT NULL)`, *e.Tenant, e.Hash, e.FinishedAt, inUse)
			if err != nil {
				return fmt.Errorf("%s: %w", m.table, err)
			}
		}
		_, err := tx.Exec(ctx, `UPDATE `+l.schema+`.batch m SET tenants = array_replace(m.tenants, $1, $2) WHERE m.tenants @> ARRAY[$1::text] AND (NOT $4::bool OR EXISTS (
			SELECT FROM `+l.schema+`.run r WHERE r.run_id = m.run_id AND r.policy = m.policy AND r.started_at <= $3::timestamptz))`, *e.Tenant, e.Hash, e.FinishedAt, inUse)
		if err != nil {
			return err
		}
		_, err = tx.Exec(ctx, `WITH over AS (
				UPDATE `+l.schema+`.erasure SET tenant = NULL WHERE tenant = $1 AND (state = 'cancelled' OR state = 'done' AND sweep_at IS NULL AND again_at IS NULL) RETURNING id)
			DELETE FROM `+l.schema+`.erasure_key WHERE erasure IN (SELECT id FROM over)`, *e.Tenant)
		return err
	})
	if err != nil {
		return fmt.Errorf("replacing a tenant by its hash in the ledger: %w", err)
	}
	return nil
}
