import { sql } from 'kysely';
import type { Executor } from './database.ts';

/** Where something lies that is sealed under a key which the database has not. Each table has its id in `id`. */
export interface SealedColumn {
  table: 'channels' | 'signing_keys' | 'source_secrets' | 'webhook_secrets';
  column: 'sealed' | 'session';
}

interface SealedRow {
  id: string;
  sealed: Buffer;
}

/** The rows that hold something, by id. @param after the last one that was seen; '' from the first */
export async function sealedRows(
  executor: Executor,
  { table, column }: SealedColumn,
  { after, limit }: { after: string; limit: number },
): Promise<SealedRow[]> {
  const { rows } = await sql<SealedRow>`select id, ${sql.ref(column)} as sealed from ${sql.table(table)}
    where id > ${after} and ${sql.ref(column)} is not null order by id limit ${limit}`.execute(executor);
  return rows;
}

/** Puts what is sealed anew in the place of what it was; whatever was changed meanwhile stays. @returns how many were put */
export async function replaceSealed(
  executor: Executor,
  { table, column }: SealedColumn,
  rows: ReadonlyArray<SealedRow & { before: Buffer }>,
): Promise<number> {
  if (rows.length === 0) return 0;
  const { numAffectedRows } = await sql`update ${sql.table(table)} t set ${sql.ref(column)} = v.sealed
    from unnest(${rows.map(({ id }) => id)}::text[], ${rows.map(({ before }) => before)}::bytea[],
      ${rows.map(({ sealed }) => sealed)}::bytea[]) as v (id, before, sealed)
    where t.id = v.id and ${sql.ref(`t.${column}`)} = v.before`.execute(executor);
  return Number(numAffectedRows ?? 0n);
}
