// The schema as text, from Postgres's catalog: the same for the same schema, one line a thing, to be read in a review.
import pg from 'pg'

/** Each query gives a column `line`; what belongs to a table stands under it. */
const tables = `
  SELECT c.relname AS name, 'CREATE TABLE ' || c.relname AS line
  FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') ORDER BY c.relname COLLATE "C"`

const columns = `
  SELECT '  ' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod)
    || CASE WHEN a.attcollation <> 0 AND a.attcollation <> t.typcollation THEN ' COLLATE "' || l.collname || '"' ELSE '' END
    || CASE WHEN a.attnotnull THEN ' NOT NULL' ELSE '' END
    || CASE WHEN a.attidentity = 'a' THEN ' GENERATED ALWAYS AS IDENTITY' ELSE '' END
    || coalesce(' DEFAULT ' || pg_get_expr(d.adbin, d.adrelid), '') AS line
  FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_collation l ON l.oid = a.attcollation
    LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
  WHERE a.attrelid = $1::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum`

/** Without the NOT NULL constraints of Postgres 18: they stand with the columns. */
const constraints = `
  SELECT '  CONSTRAINT ' || conname || ' ' || pg_get_constraintdef(oid) AS line
  FROM pg_constraint WHERE conrelid = $1::regclass AND contype IN ('c', 'f', 'p', 'u', 'x') ORDER BY contype, conname COLLATE "C"`

const indexes = `
  SELECT '  ' || pg_get_indexdef(i.indexrelid) AS line
  FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
  WHERE i.indrelid = $1::regclass AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = i.indexrelid AND conrelid = i.indrelid)
  ORDER BY c.relname COLLATE "C"`

const triggers = `
  SELECT '  ' || pg_get_triggerdef(oid) AS line
  FROM pg_trigger WHERE tgrelid = $1::regclass AND NOT tgisinternal ORDER BY tgname COLLATE "C"`

const functions = `
  SELECT pg_get_functiondef(p.oid) AS line FROM pg_proc p WHERE p.pronamespace = 'public'::regnamespace ORDER BY p.proname COLLATE "C"`

const migrations = `SELECT '-- ' || name AS line FROM migrations ORDER BY id`

/** The schema `public` of a migrated database. */
export async function schemaDump(url: string): Promise<string> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  const lines = async (query: string, values: string[] = []): Promise<string[]> =>
    (await client.query<{ line: string }>(query, values)).rows.map(({ line }) => line)
  try {
    const parts = [await lines(migrations)]
    for (const { name, line } of (await client.query<{ name: string; line: string }>(tables)).rows) {
      const under: string[] = []
      for (const query of [columns, constraints, indexes, triggers]) under.push(...await lines(query, [name]))
      parts.push([line, ...under])
    }
    parts.push(await lines(functions))
    return parts.map(part => part.join('\n')).join('\n\n') + '\n'
  } finally {
    await client.end()
  }
}
