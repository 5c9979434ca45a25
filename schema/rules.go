package schema

import (
	"context"

	"github.com/jackc/pgx/v5"
)

const rulesSQL = `
SELECT fam.root, r.rulename, n.nspname, c.relname, r.ev_type = '4', r.is_instead
  FROM fam JOIN pg_rewrite r ON r.ev_class = fam.oid JOIN pg_class c ON c.oid = r.ev_class JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE r.ev_type IN ('2', '4') AND r.ev_enabled IN ('O', 'A')
 ORDER BY fam.root, r.rulename, fam.oid`

// publishedSQL gives the tables that a publication replicates, themselves or through
// a table that they are partitions of, and that have no replica identity: PostgreSQL
// refuses every DELETE or UPDATE there (CheckCmdReplicaIdentity in
// execReplication.c), whatever wal_level is.
const publishedSQL = `
SELECT fam.root, n.nspname, c.relname, p.pubname, p.pubdelete, p.pubupdate
  FROM fam JOIN pg_class c ON c.oid = fam.oid AND c.relkind = 'r' JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_publication p ON p.pubdelete OR p.pubupdate
 WHERE NOT CASE c.relreplident
             WHEN 'f' THEN true
             WHEN 'd' THEN EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary AND i.indimmediate)
             WHEN 'i' THEN EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisreplident AND i.indisvalid)
             ELSE false END
   AND (p.puballtables OR EXISTS (
         SELECT FROM pg_publication_tables t JOIN pg_namespace tn ON tn.nspname = t.schemaname
           JOIN pg_class r ON r.relnamespace = tn.oid AND r.relname = t.tablename
          WHERE t.pubname = p.pubname AND (r.oid = c.oid OR r.oid IN (SELECT a.relid FROM pg_partition_ancestors(c.oid) a))))
 ORDER BY fam.root, n.nspname, c.relname, p.pubname`

func (g *Graph) loadRules(ctx context.Context, q Querier, oids []uint32) error {
	rows, err := q.Query(ctx, familySQL+rulesSQL, oids)
	if err != nil {
		return err
	}
	var root uint32
	var r Rule
	_, err = pgx.ForEachRow(rows, []any{&root, &r.Name, &r.Table.Schema, &r.Table.Name, &r.OnDelete, &r.Instead}, func() error {
		g.Tables[root].Rules = append(g.Tables[root].Rules, r)
		return nil
	})
	return err
}

func (g *Graph) loadPublished(ctx context.Context, q Querier, oids []uint32) error {
	rows, err := q.Query(ctx, familySQL+publishedSQL, oids)
	if err != nil {
		return err
	}
	var root uint32
	var p Published
	_, err = pgx.ForEachRow(rows, []any{&root, &p.Table.Schema, &p.Table.Name, &p.Publication, &p.Deletes, &p.Updates}, func() error {
		g.Tables[root].NoIdentity = append(g.Tables[root].NoIdentity, p)
		return nil
	})
	return err
}
