import { sql } from 'kysely';
import type { ChannelKindName } from '../domain/channel-kinds.ts';
import { type EndedDelivery, endOfDrop, isUnsent } from '../domain/drops.ts';
import { DomainError } from '../domain/errors.ts';
import type { DropState } from '../domain/states.ts';
import type { Database, DatabaseTransaction } from './database.ts';
import { tellDelivery, type ToldDelivery } from './delivery-notices.ts';
import { cancel, type DropRef, dropNotice, type LockedDrop, lockDrop } from './drops.ts';
import { appendEvents } from './events.ts';
import { newId } from './ids.ts';
import { createMemoryStore } from './memories.ts';
import { resolveNotice } from './notices.ts';

export interface OpenDeliveryRef {
  deliveryId: string;
  kind: ChannelKindName;
}

/** What the workflow of a drop does next. */
export type DropTurn =
  | { kind: 'ended'; state: DropState }
  /** For its time, or (null) for somebody's word. */
  | { kind: 'wait'; seconds: number | null; reason: string }
  | { kind: 'deliver'; deliveries: OpenDeliveryRef[] };

/** How much a drop said in public weighs among an agent's memories. */
const dropImportance = 4;

export function createPublishingStore(db: Database) {
  const memories = createMemoryStore(db);

  /** What became of a drop, once none of its deliveries is under way; told again after each word of a person. */
  async function settleDrop(tx: DatabaseTransaction, drop: LockedDrop): Promise<DropState> {
    const { rows } = await sql<{ state: string; rehearsal: boolean }>`
      select state, rehearsal from deliveries where drop_id = ${drop.id}`.execute(tx);
    if (drop.state === 'canceled') return drop.state;
    if (rows.length === 0 || rows.some(({ state }) => state === 'pending' || state === 'sending')) return drop.state;
    const { state, reason } = endOfDrop(rows as EndedDelivery[]);
    if (state === drop.state) return state;
    await sql`update drops set state = ${state}, reason = ${reason}, ended_at = now() where id = ${drop.id}`.execute(
      tx,
    );
    await appendEvents(tx, [{ ownerId: drop.ownerId, type: `drop.${state}`, subject: drop.id, data: { reason } }]);
    if (rows.some((delivery) => delivery.state === 'published' && !delivery.rehearsal)) await remember(tx, drop);
    return state;
  }

  /** The agent knows what it has said, once. */
  async function remember(tx: DatabaseTransaction, { ownerId, id }: DropRef): Promise<void> {
    const drop = await tx
      .selectFrom('drops')
      .select(['agentId', 'title', 'body'])
      .where('id', '=', id)
      .executeTakeFirstOrThrow();
    if (drop.agentId === null) return;
    const text = drop.title === '' ? drop.body : `${drop.title}\n\n${drop.body}`;
    await memories.add(
      ownerId,
      [
        {
          agentId: drop.agentId,
          kind: 'drop',
          text,
          importance: dropImportance,
          source: 'drop',
          externalKey: `drop:${id}`,
          occurredAt: new Date().toISOString(),
        },
      ],
      tx,
    );
  }

  return {
    settleDrop,

    /**
     * Takes it back. While it leaves, what has not begun to leave stays here, and what may have left is not sent again; what is
     * leaving this moment goes on.
     * @throws NOT_FOUND · CONFLICT where it has ended, or all of it is leaving
     */
    async takeBack(tx: DatabaseTransaction, ref: DropRef, { by }: { by: string }): Promise<DropState> {
      const drop = await lockDrop(tx, ref);
      if (isUnsent(drop.state)) {
        await cancel(tx, ref, `taken back by ${by}`);
        return 'canceled';
      }
      if (drop.state !== 'publishing') throw new DomainError('CONFLICT', `${ref.id} is ${drop.state}`);
      const reason = `taken back by ${by}`;
      // What an attempt was made of may be there: it is not ours to say that it is not, nor to send it after this.
      const { rows: doubtful } =
        await sql<ToldDelivery>`update deliveries d set state = 'unconfirmed', reason = ${reason}, ended_at = now()
        from channels c where c.id = d.channel_id and d.drop_id = ${ref.id} and d.state = 'pending' and exists (
          select from delivery_attempts a where a.delivery_id = d.id and a.again = d.again and a.outcome = 'unknown')
        returning d.id, d.owner_id as "ownerId", d.drop_id as "dropId", c.name as channel`.execute(tx);
      for (const delivery of doubtful) await tellDelivery(tx, delivery, 'unconfirmed', reason);
      const held = await sql`update deliveries d set state = 'failed', reason = ${reason}, ended_at = now()
        where d.drop_id = ${ref.id} and d.state = 'pending' and not exists (
          select from delivery_attempts a where a.delivery_id = d.id and a.again = d.again and a.outcome is null)`.execute(
        tx,
      );
      if (doubtful.length === 0 && (held.numAffectedRows ?? 0n) === 0n)
        throw new DomainError('CONFLICT', `all of ${ref.id} is leaving`);
      const { rows } = await sql<{ other: boolean }>`select exists (select from deliveries d where d.drop_id = ${ref.id}
        and not d.rehearsal and not (d.state = 'failed' and d.reason = ${reason})) as other`.execute(tx);
      if (rows[0]!.other) return settleDrop(tx, drop);
      await cancel(tx, ref, reason);
      return 'canceled';
    },

    /** Whether a drop leaves now, and by which deliveries, or by this one alone. Done again it finds the same ones. */
    async beginPublishing(dropId: string, deliveryId?: string): Promise<DropTurn> {
      return db.transaction().execute(async (tx): Promise<DropTurn> => {
        const owner = await tx.selectFrom('drops').select('ownerId').where('id', '=', dropId).executeTakeFirst();
        if (!owner) return { kind: 'ended', state: 'canceled' };
        const drop = await lockDrop(tx, { ownerId: owner.ownerId, id: dropId });
        if (drop.state === 'draft' || drop.state === 'awaiting_approval')
          return { kind: 'wait', seconds: null, reason: 'waits for somebody’s word' };
        if (drop.state === 'scheduled') {
          const { rows } = await sql<{ seconds: number }>`
            select extract(epoch from publish_at - now())::float8 as seconds from drops where id = ${dropId}`.execute(
            tx,
          );
          const { seconds } = rows[0]!;
          if (seconds > 0) return { kind: 'wait', seconds, reason: `until ${drop.publishAt!.toISOString()}` };
          if (await restsOnForgotten(tx, dropId)) {
            await cancel(tx, drop, 'what it rests on was forgotten');
            return { kind: 'ended', state: 'canceled' };
          }
          await openDeliveries(tx, drop);
        } else if (drop.state !== 'publishing') return { kind: 'ended', state: drop.state };
        const open = await tx
          .selectFrom('deliveries')
          .innerJoin('channels', 'channels.id', 'deliveries.channelId')
          .select(['deliveries.id as deliveryId', 'channels.kind'])
          .where('dropId', '=', dropId)
          .where('state', 'in', ['pending', 'sending'])
          .$if(deliveryId !== undefined, (query) => query.where('deliveries.id', '=', deliveryId!))
          .orderBy('deliveries.id')
          .execute();
        return { kind: 'deliver', deliveries: open.map((row) => ({ ...row, kind: row.kind as ChannelKindName })) };
      });
    },

    /** What became of it once its deliveries have ended. */
    async endPublishing(dropId: string): Promise<DropState> {
      return db.transaction().execute(async (tx) => {
        const owner = await tx.selectFrom('drops').select('ownerId').where('id', '=', dropId).executeTakeFirst();
        if (!owner) return 'canceled';
        return settleDrop(tx, await lockDrop(tx, { ownerId: owner.ownerId, id: dropId }));
      });
    },
  };
}
export type PublishingStore = ReturnType<typeof createPublishingStore>;

/** From here on it is no longer to be changed. What it is late by counts from its time, or from the word that let it go. */
async function openDeliveries(tx: DatabaseTransaction, drop: LockedDrop): Promise<void> {
  const channels = await tx
    .selectFrom('dropChannels')
    .select('channelId')
    .where('dropId', '=', drop.id)
    .orderBy('channelId')
    .execute();
  const dueAt = new Date(Math.max(drop.publishAt!.getTime(), drop.approvedAt?.getTime() ?? 0));
  await tx
    .insertInto('deliveries')
    .values(
      channels.map(({ channelId }) => ({
        id: newId('delivery'),
        ownerId: drop.ownerId,
        dropId: drop.id,
        channelId,
        dueAt,
      })),
    )
    .onConflict((conflict) => conflict.columns(['dropId', 'channelId']).doNothing())
    .execute();
  await sql`update drops set state = 'publishing', begun_at = now() where id = ${drop.id}`.execute(tx);
  await resolveNotice(tx, dropNotice(drop.id));
  await appendEvents(tx, [{ ownerId: drop.ownerId, type: 'drop.publishing', subject: drop.id }]);
}

/** A reflection that somebody had forgotten is gone, or its memory is a tombstone. */
export async function restsOnForgotten(tx: DatabaseTransaction, dropId: string): Promise<boolean> {
  const { rows } = await sql<{ gone: boolean }>`
    select exists (select from drops d, unnest(d.evidence) as e(id) where d.id = ${dropId}
      and not exists (select from reflections r where r.id = e.id and r.forgotten_at is null)) as gone`.execute(tx);
  return rows[0]!.gone;
}
