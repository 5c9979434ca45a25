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

// mentions are the tables that name tenants, with the columns. What an erasure itself needs comes
// last.
var mentions = []struct{ table, column string }{
	{"hold", "tenant"}, {"grace", "tenant"}, {"deletion", "tenant"}, {"batch", "tenant"}, {"event", "tenant"},
}

// ForgetTenant replaces a tenant's key by its hash wherever the ledger names it, and deletes the keys
// of its rows, in one transaction. With keep, the erasure itself still knows it, since rows of it are
// kept that have to go later.
func (l *Ledger) ForgetTenant(ctx context.Context, db *pgxpool.Pool, e *Erasure, keep bool) error {
	if e.Tenant == nil {
		return nil
	}
	err := l.on(db).inTx(ctx, func(tx pgx.Tx) error {
		for _, m := range mentions {
			if _, err := tx.Exec(ctx, `UPDATE `+l.schema+`.`+m.table+` SET `+m.column+` = $2 WHERE `+m.column+` = $1`, *e.Tenant, e.Hash); err != nil {
				return fmt.Errorf("%s: %w", m.table, err)
			}
		}
		if _, err := tx.Exec(ctx, `UPDATE `+l.schema+`.batch SET tenants = array_replace(tenants, $1, $2) WHERE tenants @> ARRAY[$1::text]`, *e.Tenant, e.Hash); err != nil {
			return err
		}
		if keep {
			return nil
		}
		if _, err := tx.Exec(ctx, `DELETE FROM `+l.schema+`.erasure_key WHERE erasure = $1::uuid`, e.ID); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `UPDATE `+l.schema+`.erasure SET tenant = NULL WHERE tenant = $1`, *e.Tenant)
		return err
	})
	if err != nil {
		return fmt.Errorf("replacing a tenant by its hash in the ledger: %w", err)
	}
	return nil
}
