package schema

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// Published is a table of a publication on which PostgreSQL refuses DELETE or UPDATE.
type Published struct {
	Table       Name
	Publication string
	// Deletes and Updates say what is replicated and therefore refused.
	Deletes, Updates bool
	Why              PublishedWhy
	// Columns are the offending ones: for a filter, those outside the replica identity; for a
	// list, the missing ones of the replica identity; otherwise generated columns.
	Columns []string
	Full    bool // REPLICA IDENTITY FULL
}

// PublishedWhy is why PostgreSQL refuses.
type PublishedWhy string

// The possible reasons.
const (
	NoIdentity       PublishedWhy = "identity"
	IdentityFilter   PublishedWhy = "filter"    // WHERE has columns outside the replica identity
	IdentityList     PublishedWhy = "list"      // the column list lacks some of the replica identity
	IdentityUnstored PublishedWhy = "generated" // a generated column of the replica identity is not published
)

// publishedSQL returns the tables that a publication replicates, directly or through a
// partitioned table, and for which PostgreSQL refuses every DELETE or UPDATE
// (CheckCmdReplicaIdentity in execReplication.c) whatever wal_level is: tables without a
// replica identity and, from PostgreSQL 15 on, tables whose row filter or column list does
// not match it (pub_rf_contains_invalid_column and pub_contains_invalid_column in
// publicationcmds.c). Filter and list belong to the table under which the rows are
// published: with publish_via_partition_root, the topmost one. A filter with a whole-row
// reference (varattno 0) requires FULL.
const publishedSQL = `
SELECT fam.root, n.nspname, c.relname, p.pubname, p.pubdelete, p.pubupdate, x.why, x.columns, c.relreplident = 'f'
  FROM fam JOIN pg_class c ON c.oid = fam.oid AND c.relkind = 'r' AND c.relpersistence = 'p' JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_publication p ON p.pubdelete OR p.pubupdate
  LEFT JOIN LATERAL (
       SELECT r.oid FROM pg_publication_tables t JOIN pg_namespace tn ON tn.nspname = t.schemaname
         JOIN pg_class r ON r.relnamespace = tn.oid AND r.relname = t.tablename
         LEFT JOIN LATERAL pg_partition_ancestors(c.oid) WITH ORDINALITY a(relid, level) ON a.relid = r.oid
        WHERE NOT p.puballtables AND t.pubname = p.pubname AND (r.oid = c.oid OR a.relid IS NOT NULL)
        ORDER BY a.level DESC NULLS LAST LIMIT 1) via ON true
  LEFT JOIN LATERAL (
       SELECT to_jsonb(pr)->>'prqual' AS filter, array(SELECT jsonb_array_elements_text(CASE WHEN jsonb_typeof(to_jsonb(pr)->'prattrs') = 'array' THEN to_jsonb(pr)->'prattrs' END)::int) AS list, pr.prrelid
         FROM pg_publication_rel pr WHERE pr.prpubid = p.oid AND pr.prrelid = CASE WHEN p.pubviaroot THEN via.oid ELSE c.oid END) f ON true
  CROSS JOIN LATERAL (
       SELECT array(SELECT k::int FROM pg_index i, unnest(i.indkey[0:i.indnkeyatts - 1]) k
                     WHERE i.indrelid = c.oid
                       AND CASE c.relreplident WHEN 'd' THEN i.indisprimary AND i.indimmediate WHEN 'i' THEN i.indisreplident AND i.indisvalid ELSE false END) AS columns) id
  CROSS JOIN LATERAL (
       SELECT 'identity' AS why, '{}'::text[] AS columns WHERE c.relreplident <> 'f' AND id.columns = '{}'
       UNION ALL
       SELECT 'filter', array_agg(DISTINCT coalesce(fa.attname, '*')::text)
         FROM regexp_matches(f.filter, ':varattno (-?[0-9]+)', 'g') v
         LEFT JOIN pg_attribute fa ON fa.attrelid = f.prrelid AND fa.attnum = v[1]::int
         LEFT JOIN pg_attribute ca ON ca.attrelid = c.oid AND ca.attname = fa.attname AND NOT ca.attisdropped
        WHERE c.relreplident <> 'f' AND id.columns <> '{}' AND NOT coalesce(ca.attnum = ANY (id.columns), false)
       HAVING count(*) > 0
       UNION ALL
       SELECT 'list', array_agg(ca.attname::text ORDER BY ca.attnum)
         FROM pg_attribute ca LEFT JOIN pg_attribute fa ON fa.attrelid = f.prrelid AND fa.attname = ca.attname AND NOT fa.attisdropped
        WHERE ca.attrelid = c.oid AND ca.attnum > 0 AND NOT ca.attisdropped AND f.list <> '{}'
          AND (c.relreplident = 'f' OR ca.attnum = ANY (id.columns) AND NOT coalesce(fa.attnum = ANY (f.list), false))
       HAVING count(*) > 0
       UNION ALL
       SELECT 'generated', array_agg(ca.attname::text ORDER BY ca.attnum)
         FROM pg_attribute ca
        WHERE ca.attrelid = c.oid AND ca.attnum > 0 AND NOT ca.attisdropped AND (c.relreplident = 'f' OR ca.attnum = ANY (id.columns) AND coalesce(f.list, '{}') = '{}')
          AND (ca.attgenerated = 's' AND to_jsonb(p)->>'pubgencols' <> 's' OR ca.attgenerated = 'v')
       HAVING count(*) > 0) x
 WHERE p.puballtables OR via.oid IS NOT NULL
 ORDER BY fam.root, n.nspname, c.relname, p.pubname, x.why`

func (g *Graph) loadPublished(ctx context.Context, q Querier, oids []uint32) error {
	rows, err := q.Query(ctx, familySQL+publishedSQL, oids)
	if err != nil {
		return err
	}
	var root uint32
	var p Published
	_, err = pgx.ForEachRow(rows, []any{&root, &p.Table.Schema, &p.Table.Name, &p.Publication, &p.Deletes, &p.Updates, &p.Why, &p.Columns, &p.Full}, func() error {
		g.Tables[root].Refusing = append(g.Tables[root].Refusing, p)
		p.Columns = nil
		return nil
	})
	return err
}
