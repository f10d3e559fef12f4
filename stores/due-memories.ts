import { type RawBuilder, sql } from 'kysely';
import { quotationSource } from './quotations.ts';

/**
 * What a run that goes on from `fromSeq` is to read, of rows of `memories`: what was lived. A quotation is new only as a
 * row; it counts where it, or what it quotes in turn, took the place of something lived that no run has read.
 */
export function isDue(fromSeq: number | RawBuilder<number>) {
  return sql<boolean>`memories.kind <> 'reflection' and (memories.source <> ${quotationSource} or exists (
    with recursive quoted as (
      select q.id, q.seq, q.source from memories q where q.superseded_by = memories.id
      union all
      select q.id, q.seq, q.source from quoted by join memories q on q.superseded_by = by.id where by.source = ${quotationSource}
    ) select from quoted where source <> ${quotationSource} and seq > ${fromSeq}))`;
}
