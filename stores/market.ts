import { sql } from 'kysely';
import { type Market, marketSchema } from '../domain/market.ts';
import type { Executor } from './database.ts';

/** What stands over all that is sold: whose books, undefined before there is an operator, and `market` of the applied fleet.yaml. */
export async function readMarket(db: Executor): Promise<{ booksId: string | undefined; rules: Market }> {
  const { rows } = await sql<{ booksId: string | null; market: unknown }>`
    select (select id from users where role = 'operator' order by created_at, id limit 1) as books_id,
      (select fleet -> 'market' from fleet_versions order by version desc limit 1) as market`.execute(db);
  const { booksId, market } = rows[0]!;
  // As an older version stored it, or before anything was applied: the defaults stand for what is missing.
  return { booksId: booksId ?? undefined, rules: marketSchema.parse(market ?? {}) };
}
