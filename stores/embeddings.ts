import { createHash } from 'node:crypto';
import { type RawBuilder, sql } from 'kysely';
import {
  embedEach,
  type Embedder,
  embeddingModelOf,
  type EmbeddingSettings,
  embeddingSettingsSchema,
} from '../domain/embeddings.ts';
import type { Database, Executor } from './database.ts';
import { appendEvents } from './events.ts';
import { newId } from './ids.ts';
import { takeLock } from './locks.ts';
import { openNotice, replaceNotices } from './notices.ts';
import { isCompared } from './quotations.ts';

/** Memories that a notice names. */
const named = 5;

/** A text by its content: what is said twice is embedded once. */
export function contentHash(text: string): Buffer {
  return createHash('sha256').update(text, 'utf8').digest();
}

export interface Unembedded {
  ownerId: string;
  contentHash: Buffer;
  text: string;
}

/** Float32, little-endian, as Postgres keeps it. */
export function vectorBytes(vector: Float32Array): Buffer {
  const bytes = Buffer.allocUnsafe(vector.length * 4);
  for (let i = 0; i < vector.length; i += 1) bytes.writeFloatLE(vector[i]!, i * 4);
  return bytes;
}

export interface EmbeddingModel {
  model: string;
  settings: EmbeddingSettings;
}

/** Takes away the vectors of those texts that no memory of the owner has (any more). */
export async function deleteOrphanVectors(tx: Executor, ownerId: string, hashes: readonly Buffer[]): Promise<void> {
  if (hashes.length === 0) return;
  await sql`delete from unusable_texts e where e.owner_id = ${ownerId} and e.content_hash = any(${[...hashes]}::bytea[])
    and not exists (select from memories m where m.owner_id = e.owner_id and m.content_hash = e.content_hash)`.execute(
    tx,
  );
  await sql`delete from embeddings e where e.owner_id = ${ownerId} and e.content_hash = any(${[...hashes]}::bytea[])
    and not exists (select from memories m where m.owner_id = e.owner_id and m.content_hash = e.content_hash)`.execute(
    tx,
  );
}

export interface NewVector {
  ownerId: string;
  contentHash: Buffer;
  vector: Float32Array;
}

/** Vectors that are looked at to learn how long those of a model are. */
const sampledVectors = 200;

async function insertVectors(
  db: Executor,
  model: string,
  rows: readonly NewVector[],
  where: RawBuilder<unknown>,
): Promise<void> {
  if (rows.length === 0) return;
  await sql`
    insert into embeddings (owner_id, model, content_hash, vector)
    select v.owner_id, ${model}, v.hash, v.vector
    from unnest(${rows.map((row) => row.ownerId)}::text[], ${rows.map((row) => row.contentHash)}::bytea[],
      ${rows.map((row) => vectorBytes(row.vector))}::bytea[]) as v (owner_id, hash, vector)
    where ${where} on conflict do nothing`.execute(db);
}

export function createEmbeddingStore(db: Database) {
  return {
    /**
     * The model that searches go by, and the one being built to follow it: `wanted`, unless it serves already. The first
     * one ever serves at once.
     */
    async models(
      ownerId: string,
      wanted: EmbeddingSettings,
    ): Promise<{ serving: EmbeddingModel; building?: EmbeddingModel }> {
      const model = embeddingModelOf(wanted);
      const settings = JSON.stringify(wanted);
      return db.transaction().execute(async (tx) => {
        await takeLock(tx, 'embeddingModels', ownerId);
        const rows = await tx
          .selectFrom('embeddingModels')
          .select(['model', 'settings', 'state'])
          .where('ownerId', '=', ownerId)
          .execute();
        const serving = rows.find((row) => row.state === 'serving');
        const building = rows.find((row) => row.state === 'building');
        if (serving?.model === model || !serving) {
          if (building)
            await tx
              .deleteFrom('embeddingModels')
              .where('ownerId', '=', ownerId)
              .where('state', '=', 'building')
              .execute();
          await tx
            .insertInto('embeddingModels')
            .values({ ownerId, model, settings, state: 'serving' })
            .onConflict((conflict) =>
              conflict.columns(['ownerId', 'model']).doUpdateSet({ settings, state: 'serving' }),
            )
            .execute();
          return { serving: { model, settings: wanted } };
        }
        if (building?.model !== model) {
          await tx
            .deleteFrom('embeddingModels')
            .where('ownerId', '=', ownerId)
            .where('state', '=', 'building')
            .execute();
          await tx.insertInto('embeddingModels').values({ ownerId, model, settings, state: 'building' }).execute();
        } else {
          // It may have been mended since: what is stored is what searches will go by.
          await tx
            .updateTable('embeddingModels')
            .set({ settings })
            .where('ownerId', '=', ownerId)
            .where('model', '=', model)
            .execute();
        }
        return {
          serving: { model: serving.model, settings: embeddingSettingsSchema.parse(serving.settings) },
          building: { model, settings: wanted },
        };
      });
    },

    /** The model that searches go by; undefined before the first one. */
    async serving(ownerId: string): Promise<EmbeddingModel | undefined> {
      const row = await db
        .selectFrom('embeddingModels')
        .select(['model', 'settings'])
        .where('ownerId', '=', ownerId)
        .where('state', '=', 'serving')
        .executeTakeFirst();
      return row && { model: row.model, settings: embeddingSettingsSchema.parse(row.settings) };
    },

    /** Every memory has its vector of the model that was built: from now on searches go by it. */
    async serve(ownerId: string, model: string): Promise<void> {
      await db.transaction().execute(async (tx) => {
        await takeLock(tx, 'embeddingModels', ownerId);
        const built = await tx
          .selectFrom('embeddingModels')
          .select('model')
          .where('ownerId', '=', ownerId)
          .where('model', '=', model)
          .where('state', '=', 'building')
          .executeTakeFirst();
        // Another one is wanted by now.
        if (!built) return;
        await tx.deleteFrom('embeddingModels').where('ownerId', '=', ownerId).where('state', '=', 'serving').execute();
        await tx
          .updateTable('embeddingModels')
          .set({ state: 'serving', since: sql<Date>`now()` })
          .where('ownerId', '=', ownerId)
          .where('model', '=', model)
          .execute();
        await appendEvents(tx, [{ ownerId, type: 'embeddings.served', subject: model }]);
      });
    },

    /** Vectors of models that neither serve nor are built. @returns how many were deleted */
    async deleteUnused(ownerId: string, limit: number): Promise<number> {
      await sql`delete from unusable_texts where ctid in (
          select u.ctid from unusable_texts u where u.owner_id = ${ownerId} and not exists (
            select from embedding_models m where m.owner_id = u.owner_id and m.model = u.model) limit ${limit})`.execute(
        db,
      );
      const { numAffectedRows } = await sql`
        delete from embeddings where ctid in (
          select e.ctid from embeddings e where e.owner_id = ${ownerId} and not exists (
            select from embedding_models m where m.owner_id = e.owner_id and m.model = e.model) limit ${limit})`.execute(
        db,
      );
      return Number(numAffectedRows ?? 0n);
    },

    /**
     * Texts of living memories that the model has no vector for, the newest first: they are asked for soonest. What it had
     * no usable vector for is left out for a week: its memories are found by their words.
     * @param agentId only of this agent
     * @param memoryIds only of these
     */
    async missing(input: {
      ownerId: string;
      model: string;
      agentId?: string;
      memoryIds?: readonly string[];
      limit: number;
    }): Promise<Unembedded[]> {
      const memoryIds = input.memoryIds ? [...input.memoryIds] : null;
      const { rows } = await sql<Unembedded>`
        select distinct on (m.owner_id, m.content_hash) m.owner_id, m.content_hash, m.text
        from (
          select owner_id, content_hash, text from memories m
          where m.owner_id = ${input.ownerId} and m.deleted_at is null
            and (${input.agentId ?? null}::text is null or m.agent_id = ${input.agentId ?? null})
            and (${memoryIds}::text[] is null or m.id = any(${memoryIds}::text[]))
            and not exists (select from embeddings e
              where e.owner_id = m.owner_id and e.model = ${input.model} and e.content_hash = m.content_hash)
            and not exists (select from unusable_texts u where u.owner_id = m.owner_id and u.model = ${input.model}
              and u.content_hash = m.content_hash and u.marked_at > now() - interval '7 days')
          order by m.recorded_at desc, m.id desc limit ${input.limit}
        ) m`.execute(db);
      return rows;
    },

    /**
     * Of each agent the same share of `limit`: of the living memories that weigh most those that the model has no vector for. Where there
     * are more agents than that, of their weightiest ones those that weigh most.
     */
    async weightiestMissing(input: { ownerId: string; model: string; limit: number }): Promise<Unembedded[]> {
      const { rows } = await sql<Unembedded>`
        with here as materialized (select id from agents where owner_id = ${input.ownerId} and state <> 'retired')
        select owner_id, content_hash, text from (
          select distinct on (m.owner_id, m.content_hash) m.owner_id, m.content_hash, m.text, m.importance from here a
          cross join lateral (
            select m.owner_id, m.content_hash, m.text, m.importance from memories m
            where m.agent_id = a.id and m.owner_id = ${input.ownerId} and m.deleted_at is null and m.superseded_at is null
            order by m.importance desc, m.seq desc
            limit greatest(1, ${input.limit}::int / (select count(*) from here))) m
          where not exists (select from embeddings e
              where e.owner_id = m.owner_id and e.model = ${input.model} and e.content_hash = m.content_hash)
            and not exists (select from unusable_texts u where u.owner_id = m.owner_id and u.model = ${input.model}
              and u.content_hash = m.content_hash and u.marked_at > now() - interval '7 days')
          order by m.owner_id, m.content_hash, m.importance desc
        ) m
        order by importance desc, content_hash limit ${input.limit}`.execute(db);
      return rows;
    },

    /** The vectors there are of these contents, by the content's hash in hex. */
    async known(ownerId: string, model: string, hashes: readonly Buffer[]): Promise<Map<string, Buffer>> {
      if (hashes.length === 0) return new Map();
      const rows = await db
        .selectFrom('embeddings')
        .select(['contentHash', 'vector'])
        .where('ownerId', '=', ownerId)
        .where('model', '=', model)
        .where('contentHash', 'in', [...hashes])
        .execute();
      return new Map(rows.map(({ contentHash: hash, vector }) => [hash.toString('hex'), vector]));
    },

    /** Texts of personas that the model has no vector for. */
    async missingPersonas(input: { ownerId: string; model: string; limit: number }): Promise<Unembedded[]> {
      const { rows } = await sql<Unembedded>`
        select distinct a.owner_id, p.content_hash, a.persona as text from agents a
        cross join lateral (select sha256(convert_to(a.persona, 'UTF8')) as content_hash) p
        where a.owner_id = ${input.ownerId} and not exists (select from embeddings e
          where e.owner_id = a.owner_id and e.model = ${input.model} and e.content_hash = p.content_hash)
          and not exists (select from unusable_texts u where u.owner_id = a.owner_id and u.model = ${input.model}
            and u.content_hash = p.content_hash and u.marked_at > now() - interval '7 days')
        limit ${input.limit}`.execute(db);
      return rows;
    },

    /** Vectors of personas by agent, retired ones too: they may be revived. Pages by id. */
    async personas(input: {
      ownerId: string;
      model: string;
      after: string;
      limit: number;
    }): Promise<Array<{ agentId: string; vector: Buffer }>> {
      const { rows } = await sql<{ agentId: string; vector: Buffer }>`
        select a.id as agent_id, e.vector from agents a join embeddings e on e.owner_id = a.owner_id
          and e.model = ${input.model} and e.content_hash = sha256(convert_to(a.persona, 'UTF8'))
        where a.owner_id = ${input.ownerId} and a.id > ${input.after} order by a.id limit ${input.limit}`.execute(db);
      return rows;
    },

    /**
     * A vector that is there stays: two who embed the same text at once do no harm. A text that was forgotten while it was
     * embedded gets none: only what a memory or a persona still says is stored; drift compares also what a limit took.
     */
    async put(model: string, rows: readonly NewVector[]): Promise<void> {
      await insertVectors(
        db,
        model,
        rows,
        sql`exists (select from memories m where m.owner_id = v.owner_id and m.content_hash = v.hash
            and ${isCompared('m')})
          or exists (select from agents a where a.owner_id = v.owner_id and sha256(convert_to(a.persona, 'UTF8')) = v.hash)`,
      );
    },

    /** Of texts that are not stored yet, such as drafts; where they never are, retention takes the vectors away. */
    async putAhead(model: string, rows: readonly NewVector[]): Promise<void> {
      await insertVectors(db, model, rows, sql`true`);
    },

    /** How many numbers the vectors of a model have: most of a sample, the longer of two that are as many; 0 without any. */
    async dimensions(ownerId: string, model: string): Promise<number> {
      const { rows } = await sql<{ bytes: number | null }>`
        select mode() within group (order by octet_length(vector) desc) as bytes from (
          select vector from embeddings where owner_id = ${ownerId} and model = ${model}
          order by content_hash limit ${sampledVectors}) sampled`.execute(db);
      return Math.floor((rows[0]?.bytes ?? 0) / 4);
    },

    /** One notice for all living memories that a model has no usable vector for; closed once it has one for each. */
    async tellUnusable(ownerId: string, model: string): Promise<void> {
      await db.transaction().execute(async (tx) => {
        await takeLock(tx, 'embeddingModels', ownerId);
        const { rows } = await sql<{ count: number; ids: string[] | null }>`
          select count(*) as count, (array_agg(m.id order by m.id))[1:${named}::int] as ids
          from unusable_texts u join memories m on m.owner_id = u.owner_id and m.content_hash = u.content_hash
          where u.owner_id = ${ownerId} and u.model = ${model} and m.deleted_at is null
            and not exists (select from embeddings e
              where e.owner_id = u.owner_id and e.model = u.model and e.content_hash = u.content_hash)`.execute(tx);
        const { count, ids } = rows[0]!;
        const notice = {
          id: newId('notice'),
          key: `embedding_failing:${ownerId}:${model}`,
          subject: model,
          title: `${model} has no usable vector for ${count} memories`,
          detail: `${(ids ?? []).join(', ')}${count > named ? ', …' : ''}. They are found by their words alone and stand in no thread; each is asked for again after a week.`,
          action:
            'supersede the memories with texts that it can read, or name another model under embeddings in fleet.yaml',
        };
        await replaceNotices(tx, { ownerId, kind: 'embedding_failing' }, count > 0 ? [notice] : []);
      });
    },

    /**
     * One notice for each model in use that gave no vectors; closed once it did or none are missing, and where it is in use no
     * more. A model that was not asked keeps its notice.
     */
    async tellModels(
      ownerId: string,
      { answered, failed }: { answered: readonly string[]; failed: ReadonlyArray<{ model: string; reason: string }> },
    ): Promise<void> {
      await db.transaction().execute(async (tx) => {
        await takeLock(tx, 'embeddingModels', ownerId);
        const inUse = await tx
          .selectFrom('embeddingModels')
          .select(['model', 'state'])
          .where('ownerId', '=', ownerId)
          .execute();
        const serving = inUse.find(({ state }) => state === 'serving')?.model;
        const building = inUse.find(({ state }) => state === 'building')?.model;
        for (const { model, reason } of failed) {
          if (model !== serving && model !== building) continue;
          await openNotice(tx, {
            id: newId('notice'),
            ownerId,
            kind: 'embedding_model_failing',
            key: `embedding_model_failing:${ownerId}:${model}`,
            subject: model,
            title:
              model === building
                ? `The change of embeddings to ${model} does not go on`
                : `The embedding model ${model} gives no vectors`,
            detail:
              model === building
                ? `${reason}. Searches go by ${serving} until every memory has its vector of ${model}; new memories get theirs of ${serving}.`
                : `${reason}. Searches go by words alone meanwhile, and new memories get no vector of it.`,
            action:
              'start the server that embeddings names in fleet.yaml, or mend embeddings.url and embeddings.model there; it is tried again every 10 minutes',
          });
        }
        const kept = inUse.map(({ model }) => model).filter((model) => !answered.includes(model));
        await tx
          .updateTable('notices')
          .set({ resolvedAt: sql<Date>`now()` })
          .where('ownerId', '=', ownerId)
          .where('kind', '=', 'embedding_model_failing')
          .where('resolvedAt', 'is', null)
          .where((eb) => eb.not(eb('subject', '=', sql<string>`any(${kept}::text[])`)))
          .execute();
      });
    },

    /** Marks texts that the model has no usable vector for: for a week they are not asked for again. */
    async markUnusable(
      model: string,
      texts: ReadonlyArray<Pick<Unembedded, 'ownerId' | 'contentHash'>>,
    ): Promise<void> {
      if (texts.length === 0) return;
      await db
        .insertInto('unusableTexts')
        .values(texts.map(({ ownerId, contentHash: hash }) => ({ ownerId, model, contentHash: hash })))
        .onConflict((conflict) =>
          conflict.columns(['ownerId', 'model', 'contentHash']).doUpdateSet({ markedAt: sql<Date>`now()` }),
        )
        .execute();
    },
  };
}
/** Embeds texts and keeps what came of each: its vector, or that it has none. */
export async function embedAndKeep(
  embeddings: Pick<EmbeddingStore, 'put' | 'markUnusable'>,
  embedder: Embedder,
  texts: readonly Unembedded[],
  signal?: AbortSignal,
): Promise<void> {
  const vectors = await embedEach(
    embedder,
    texts.map(({ text }) => text),
    signal,
  );
  await embeddings.put(
    embedder.model,
    texts.flatMap((each, i) => (vectors[i] ? [{ ...each, vector: vectors[i] }] : [])),
  );
  await embeddings.markUnusable(
    embedder.model,
    texts.filter((_, i) => vectors[i] === undefined),
  );
}

export type EmbeddingStore = ReturnType<typeof createEmbeddingStore>;
