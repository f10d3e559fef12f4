import { sql } from 'kysely';
import { type IdKind, idPrefixes } from '../../domain/ids.ts';
import type { Database } from '../../stores/database.ts';
import { newId } from '../../stores/ids.ts';

interface Column {
  table: string;
  name: string;
  type: string;
  /** It must be given one. */
  needed: boolean;
  /** Table whose `id` it names. */
  names: string | null;
  /** Words that a check takes. */
  words: string[] | null;
}

/** Columns of every table that has an owner and an id, with what their constraints say of a value. */
async function ownedColumns(db: Database): Promise<Column[]> {
  const { rows } = await sql<Column>`
    select c.relname as table, a.attname as name, format_type(a.atttypid, null) as type,
      a.attnotnull and not a.atthasdef and a.attidentity = '' as needed,
      (select f.confrelid::regclass::text from pg_constraint f
        where f.contype = 'f' and f.conrelid = c.oid and f.conkey = array[a.attnum] limit 1) as names,
      (select array(select m[1] from regexp_matches(pg_get_constraintdef(k.oid), '''([^'']+)''', 'g') m) from pg_constraint k
        where k.contype = 'c' and k.conrelid = c.oid and k.conkey = array[a.attnum]
          and pg_get_constraintdef(k.oid) ~ 'ANY|= ''' limit 1) as words
    from pg_attribute a join pg_class c on c.oid = a.attrelid
    where c.relnamespace = 'public'::regnamespace and c.relkind = 'r' and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
      and (select count(*) from pg_attribute o where o.attrelid = c.oid and not o.attisdropped
        and (o.attname = 'owner_id' or (o.attname = 'id' and o.atttypid = 'text'::regtype))) = 2`.execute(db);
  return rows;
}

/** What a column may hold where nothing more is known of it. */
function anyValue({ type, words }: Column): unknown {
  if (words !== null && words.length > 0 && type === 'text') return words[0];
  if (type === 'boolean') return false;
  if (type.endsWith('[]')) return [];
  if (type.startsWith('json')) return '{}';
  if (type.startsWith('timestamp')) return new Date();
  if (type === 'date') return '2026-01-01';
  if (type === 'bytea') return Buffer.from('x');
  if (/int|numeric|double|real/.test(type)) return 1;
  return 'x';
}

/**
 * One row of the owner's in every table that has owners, each naming the others where it names any: what it says is nothing to go by,
 * whose it is can be asked after. For that alone, in a database of the test's own: its checks are gone afterwards.
 * @returns the id by table
 */
export async function seedOneRowEach(
  db: Database,
  ownerId: string,
  given: Readonly<Record<string, Record<string, unknown>>>,
  known: ReadonlyMap<string, string>,
): Promise<Map<string, string>> {
  const columns = await ownedColumns(db);
  const tables = [...new Set(columns.map(({ table }) => table))];
  const ids = new Map(tables.map((table) => [table, known.get(table) ?? newId(kindOf(table))]));
  for (const [table, { id }] of Object.entries(given)) if (typeof id === 'string') ids.set(table, id);
  await dropChecks(db, tables);
  const failed: unknown[] = [];
  for (const table of tables) {
    if (known.has(table)) continue;
    const row: Record<string, unknown> = { id: ids.get(table), owner_id: ownerId };
    for (const column of columns.filter((of) => of.table === table)) {
      if (column.name in row) continue;
      const named = column.names === null ? undefined : ids.get(column.names);
      if (named !== undefined && column.names !== table) row[column.name] = named;
      else if (column.needed) row[column.name] = anyValue(column);
    }
    Object.assign(row, given[table]);
    const names = sql.join(Object.keys(row).map((name) => sql.id(name)));
    await db
      .transaction()
      .execute(async (tx) => {
        await sql`set local session_replication_role = replica`.execute(tx);
        await sql`insert into ${sql.table(table)} (${names}) values (${sql.join(Object.values(row))})`.execute(tx);
      })
      .catch((err: unknown) => failed.push(`${table}: ${String(err)}`));
  }
  if (failed.length > 0) throw new Error(`say in \`given\` what these tables need: ${failed.join('; ')}`);
  return ids;
}

async function dropChecks(db: Database, tables: readonly string[]): Promise<void> {
  const { rows } = await sql<{ table: string; name: string }>`select conrelid::regclass::text as table, conname as name
    from pg_constraint where contype = 'c' and conrelid::regclass::text = any(${[...tables]})`.execute(db);
  for (const { table, name } of rows)
    await sql`alter table ${sql.table(table)} drop constraint ${sql.id(name)}`.execute(db);
}

const kindsByTable: Readonly<Record<string, IdKind>> = {
  guild_invites: 'invite',
  works: 'work',
};

/** By the name of the table, where it is a noun's. */
function kindOf(table: string): IdKind {
  const noun = table
    .replace(/ies$/, 'y')
    .replace(/s$/, '')
    .replaceAll(/_(\w)/g, (_, letter: string) => letter.toUpperCase());
  const kind = kindsByTable[table] ?? noun;
  return kind in idPrefixes ? (kind as IdKind) : 'request';
}
