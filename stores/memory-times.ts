import { type RawBuilder, sql } from 'kysely';
import type { AsOf } from '../domain/validity.ts';
import { quotationSource } from './quotations.ts';

/**
 * Whether a row of `memories` held, or was known, at the times asked for.
 *
 * Known is what was recorded and neither deleted nor forgotten; what was forgotten is gone for every time. A memory that
 * gave way to what holds now held until then; one that a quotation took the place of is told by the quotation, which spans
 * it. The end that a successor brought was not known before the successor was.
 * @param of name of the table in the query
 */
export function heldAndKnown({ at, knownAt }: AsOf, of: 'm' | 'memories'): RawBuilder<boolean> {
  const m = sql.id(of);
  const known = sql`coalesce(${knownAt ?? null}::timestamptz, 'infinity')`;
  const recorded = sql<boolean>`${m}.text <> '' and ${m}.recorded_at <= ${known}
    and (${m}.deleted_at is null or ${m}.deleted_at > ${known})`;
  const standing = sql<boolean>`(${m}.superseded_at is null or ${m}.superseded_at > ${known})`;
  if (at === undefined) return sql`${recorded} and ${standing}`;
  return sql`${recorded} and ${m}.occurred_at <= ${at}
    and (${m}.valid_to is null or ${m}.valid_to > ${at}
      or (${m}.superseded_at > ${known} and exists (select from memories s
        where s.id = ${m}.superseded_by and s.occurred_at = ${m}.valid_to)))
    and (${standing} or (${m}.valid_to is not null and not exists (select from memories s
      where s.id = ${m}.superseded_by and s.source = ${quotationSource})))`;
}
