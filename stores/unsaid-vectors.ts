import { sql } from 'kysely';
import type { Database } from './database.ts';
import { isCompared } from './quotations.ts';

/** The last vector that was looked at; its time as Postgres writes it, since a Date has no microseconds. */
export interface VectorPlace {
  at: string;
  ownerId: string;
  model: string;
  /** Hex. */
  hash: string;
}
export interface VectorPage {
  deleted: number;
  /** Where the next page begins; null after the last. */
  next: VectorPlace | null;
}

/** @param page vectors looked at in one statement: a transaction must end within 10 s */
export function createUnsaidVectorStore(db: Database, page = 5_000) {
  return {
    /**
     * Deletes, of one page of vectors older than a day, those whose text no memory and no persona has: what was forgotten while
     * it was embedded, embedded ahead and never said, or deleted. What a limit took stays: drift compares it. Personas are told with traits, too, so
     * that a rating may embed them again. Almost all vectors are old and stay, so that no index finds those to delete: a
     * walk by age looks at each, page by page, by indexes alone (the limit in `lateral` keeps the planner from reading all
     * memories for each page).
     */
    async deletePage(after: VectorPlace | null): Promise<VectorPage> {
      const behind = after
        ? sql`and (e.created_at, e.owner_id, e.model, e.content_hash)
            > (${after.at}::timestamptz, ${after.ownerId}, ${after.model}, decode(${after.hash}, 'hex'))`
        : sql``;
      const { rows } = await sql<{ deleted: number; looked: number; last: VectorPlace | null }>`
        with looked as materialized (
          select e.created_at, e.owner_id, e.model, e.content_hash from embeddings e
          where e.created_at < now() - interval '1 day' ${behind}
          order by e.created_at, e.owner_id, e.model, e.content_hash limit ${page}
        ), unsaid as materialized (
          select l.owner_id, l.model, l.content_hash from looked l
          left join lateral (select true as said from memories m
            where m.owner_id = l.owner_id and m.content_hash = l.content_hash
              and ${isCompared('m')} limit 1) living on true
          where living.said is null
        ), personas as materialized (
          select a.owner_id, sha256(convert_to(a.persona, 'UTF8')) as content_hash from agents a
          where a.owner_id in (select owner_id from unsaid)
        ), gone as (
          delete from embeddings e using unsaid u
          where e.owner_id = u.owner_id and e.model = u.model and e.content_hash = u.content_hash
            and not exists (select from personas p where p.owner_id = u.owner_id and p.content_hash = u.content_hash)
          returning 1
        )
        select (select count(*) from gone) as deleted, (select count(*) from looked) as looked,
          (select jsonb_build_object('at', created_at::text, 'ownerId', owner_id, 'model', model, 'hash', encode(content_hash, 'hex'))
            from looked order by created_at desc, owner_id desc, model desc, content_hash desc limit 1) as last`.execute(
        db,
      );
      const { deleted, looked, last } = rows[0]!;
      return { deleted, next: looked < page ? null : last };
    },
  };
}
export type UnsaidVectorStore = ReturnType<typeof createUnsaidVectorStore>;
