import { sql } from 'kysely';
import type { ChannelKindName } from '../domain/channel-kinds.ts';
import { type DropSource, type DropWordFields, isUnsent, needsApproval } from '../domain/drops.ts';
import { DomainError } from '../domain/errors.ts';
import { dropWorkflowId } from '../domain/ids.ts';
import type { ChannelStage, DropState } from '../domain/states.ts';
import type { DatabaseTransaction } from './database.ts';
import { appendEvents } from './events.ts';
import { insertIntent } from './intents.ts';
import { newId } from './ids.ts';
import { openNotice, resolveNotice } from './notices.ts';

export interface DropRef {
  ownerId: string;
  id: string;
}

export interface NewDrop extends DropRef, DropWordFields {
  agentId: string | null;
  channels: readonly string[];
  evidence: readonly string[];
  source: DropSource;
  degraded: boolean;
  contentHash: string;
}

/** Fields that may be changed while nothing of a drop has left. */
export type DropChange = {
  [Field in keyof DropWordFields]?: DropWordFields[Field] | undefined;
} & { channels?: readonly string[] | undefined; publishAt?: string | undefined };

export interface LockedDrop {
  id: string;
  ownerId: string;
  state: DropState;
  version: number;
  publishAt: Date | null;
  approvedAt: Date | null;
}

export const dropNotice = (id: string) => `drop:${id}`;

/** The drop's row is locked before its deliveries, always. @throws NOT_FOUND */
export async function lockDrop(tx: DatabaseTransaction, { ownerId, id }: DropRef): Promise<LockedDrop> {
  const row = await tx
    .selectFrom('drops')
    .select(['id', 'ownerId', 'state', 'version', 'publishAt', 'approvedAt'])
    .where('id', '=', id)
    .where('ownerId', '=', ownerId)
    .forNoKeyUpdate()
    .executeTakeFirst();
  if (!row) throw new DomainError('NOT_FOUND', `no drop ${id}`);
  return { ...row, state: row.state as DropState };
}

/** A draft; the same id again is the same drop. @throws NOT_FOUND for what it names, CONFLICT where the id came with other content */
export async function addDrop(tx: DatabaseTransaction, drop: NewDrop): Promise<{ added: boolean }> {
  const { channels, ...row } = drop;
  const known = await tx
    .selectFrom('drops')
    .select(['contentHash'])
    .where('id', '=', drop.id)
    .where('ownerId', '=', drop.ownerId)
    .executeTakeFirst();
  if (known !== undefined) {
    if (known.contentHash !== drop.contentHash)
      throw new DomainError('CONFLICT', 'this Idempotency-Key came before with other content');
    return { added: false };
  }
  await refuseUnknown(tx, drop);
  const inserted = await tx
    .insertInto('drops')
    .values({ ...row, bodies: JSON.stringify(row.bodies), evidence: [...row.evidence] })
    .onConflict((conflict) => conflict.column('id').doNothing())
    .returning('id')
    .executeTakeFirst();
  // The same request at the same moment.
  if (inserted === undefined) return { added: false };
  await setDropChannels(tx, drop.id, channels);
  await appendEvents(tx, [{ ownerId: drop.ownerId, type: 'drop.drafted', subject: drop.id }]);
  return { added: true };
}

async function refuseUnknown(
  tx: DatabaseTransaction,
  { ownerId, agentId, channels, evidence }: Pick<NewDrop, 'ownerId' | 'agentId' | 'channels' | 'evidence'>,
): Promise<void> {
  if (agentId !== null) {
    const agent = await tx
      .selectFrom('agents')
      .select('id')
      .where('id', '=', agentId)
      .where('ownerId', '=', ownerId)
      .executeTakeFirst();
    if (!agent) throw new DomainError('NOT_FOUND', `no agent ${agentId}`);
  }
  if (evidence.length > 0) {
    const there = await tx
      .selectFrom('reflections')
      .select('id')
      .where('ownerId', '=', ownerId)
      .where('id', 'in', [...evidence])
      .execute();
    const gone = evidence.find((id) => !there.some((row) => row.id === id));
    if (gone !== undefined) throw new DomainError('NOT_FOUND', `no reflection ${gone}`);
  }
  await refuseUnknownChannels(tx, ownerId, channels);
}

async function refuseUnknownChannels(tx: DatabaseTransaction, ownerId: string, ids: readonly string[]): Promise<void> {
  const there = await tx
    .selectFrom('channels')
    .select('id')
    .where('ownerId', '=', ownerId)
    .where('removedAt', 'is', null)
    .where('id', 'in', [...ids])
    .execute();
  const gone = ids.find((id) => !there.some((row) => row.id === id));
  if (gone !== undefined) throw new DomainError('NOT_FOUND', `no channel ${gone}`);
}

async function setDropChannels(tx: DatabaseTransaction, dropId: string, ids: readonly string[]): Promise<void> {
  await tx.deleteFrom('dropChannels').where('dropId', '=', dropId).execute();
  await tx
    .insertInto('dropChannels')
    .values(ids.map((channelId) => ({ dropId, channelId })))
    .execute();
}

/**
 * Changes what has not left. What a person had approved is to be approved again: they have not seen it.
 * @throws NOT_FOUND · CONFLICT once it leaves · PRECONDITION_FAILED where it was changed since it was read
 */
export async function editDrop(
  tx: DatabaseTransaction,
  ref: DropRef,
  { version, change }: { version: number; change: DropChange },
): Promise<DropState> {
  const drop = await lockDrop(tx, ref);
  refuseSent(drop);
  if (drop.version !== version)
    throw new DomainError('PRECONDITION_FAILED', `${ref.id} is at version ${drop.version}, not ${version}`);
  const { channels, publishAt, bodies, ...words } = change;
  if (publishAt !== undefined && drop.state === 'draft')
    throw new DomainError('CONFLICT', `${ref.id} is a draft; publish it to give it a time`);
  if (channels !== undefined) {
    await refuseUnknownChannels(tx, ref.ownerId, channels);
    await setDropChannels(tx, ref.id, channels);
  }
  await tx
    .updateTable('drops')
    .set({
      ...words,
      ...(bodies === undefined ? {} : { bodies: JSON.stringify(bodies) }),
      ...(publishAt === undefined ? {} : { publishAt }),
      version: drop.version + 1,
    })
    .where('id', '=', ref.id)
    .execute();
  await appendEvents(tx, [{ ownerId: ref.ownerId, type: 'drop.edited', subject: ref.id }]);
  if (drop.state === 'draft') return 'draft';
  const onlyTime = Object.entries(change).every(([field, value]) => field === 'publishAt' || value === undefined);
  if (onlyTime) return drop.state;
  await tx.updateTable('drops').set({ approvedAt: null, approvedBy: null }).where('id', '=', ref.id).execute();
  return placeDrop(tx, ref);
}

/** Sends a draft on its way: at once, or at its time. @throws NOT_FOUND · CONFLICT where it is on its way already */
export async function scheduleDrop(
  tx: DatabaseTransaction,
  ref: DropRef,
  { publishAt }: { publishAt: string | undefined },
): Promise<DropState> {
  const drop = await lockDrop(tx, ref);
  if (drop.state !== 'draft') throw new DomainError('CONFLICT', `${ref.id} is ${drop.state}`);
  await sql`update drops set publish_at = coalesce(${publishAt ?? null}::timestamptz, now()) where id = ${ref.id}`.execute(
    tx,
  );
  return placeDrop(tx, ref);
}

/** Where it waits now: for somebody's word, or for its time. */
async function placeDrop(tx: DatabaseTransaction, { ownerId, id }: DropRef): Promise<DropState> {
  const rows = await tx
    .selectFrom('dropChannels')
    .innerJoin('channels', 'channels.id', 'dropChannels.channelId')
    .innerJoin('drops', 'drops.id', 'dropChannels.dropId')
    .select(['channels.stage', 'drops.approvedAt', 'drops.title'])
    .where('dropId', '=', id)
    .execute();
  const asks = rows[0]?.approvedAt === null && needsApproval(rows.map(({ stage }) => stage as ChannelStage));
  const state: DropState = asks ? 'awaiting_approval' : 'scheduled';
  await tx.updateTable('drops').set({ state }).where('id', '=', id).execute();
  if (asks) {
    await openNotice(tx, {
      id: newId('notice'),
      ownerId,
      kind: 'drop_waiting',
      key: dropNotice(id),
      subject: id,
      title: 'A drop waits for your word',
      detail: rows[0]!.title,
      action: `soulfra drop approve ${id}`,
    });
  } else {
    await resolveNotice(tx, dropNotice(id));
    await startPublishing(tx, id);
  }
  await appendEvents(tx, [{ ownerId, type: `drop.${state}`, subject: id }]);
  return state;
}

async function startPublishing(tx: DatabaseTransaction, dropId: string): Promise<void> {
  await sql`update drops set sent_at = coalesce(sent_at, now()) where id = ${dropId}`.execute(tx);
  await insertIntent(tx, { workflowId: dropWorkflowId(dropId), type: 'publishDrop', args: [{ dropId }] });
}

/** A person's word, or a ballot's. @throws NOT_FOUND · CONFLICT where it does not wait for one */
export async function approveDrop(tx: DatabaseTransaction, ref: DropRef, { by }: { by: string }): Promise<DropState> {
  const drop = await lockDrop(tx, ref);
  // While it leaves, a channel may have been put back to asking.
  const leaving = drop.state === 'publishing' && drop.approvedAt === null;
  if (drop.state !== 'awaiting_approval' && !leaving) throw new DomainError('CONFLICT', `${ref.id} is ${drop.state}`);
  await sql`update drops set approved_at = now(), approved_by = ${by} where id = ${ref.id}`.execute(tx);
  if (!leaving) return placeDrop(tx, ref);
  // What waited for this word is due from now on.
  await sql`update deliveries d set due_at = now() from channels c where d.drop_id = ${ref.id} and d.state = 'pending'
    and c.id = d.channel_id and c.stage = 'approval'`.execute(tx);
  return 'publishing';
}

/** @throws NOT_FOUND · CONFLICT where it does not wait for a word */
export async function rejectDrop(
  tx: DatabaseTransaction,
  ref: DropRef,
  { by, reason }: { by: string; reason: string },
): Promise<void> {
  const drop = await lockDrop(tx, ref);
  if (drop.state !== 'awaiting_approval') throw new DomainError('CONFLICT', `${ref.id} is ${drop.state}`);
  await cancel(tx, ref, `rejected by ${by}${reason === '' ? '' : `: ${reason}`}`);
}

/**
 * What a ballot has decided of a drop, in the words that were voted on.
 * @throws NOT_FOUND · CONFLICT where it does not wait for a word any more, or says something else by now
 */
export async function decideDrop(
  tx: DatabaseTransaction,
  ref: DropRef,
  { by, version, approve }: { by: string; version: number; approve: boolean },
): Promise<DropState> {
  const drop = await lockDrop(tx, ref);
  if (drop.state !== 'awaiting_approval') throw new DomainError('CONFLICT', `${ref.id} is ${drop.state}`);
  if (drop.version !== version) throw new DomainError('CONFLICT', `${ref.id} was changed since it was proposed`);
  if (approve) return approveDrop(tx, ref, { by });
  await rejectDrop(tx, ref, { by, reason: '' });
  return 'canceled';
}

/** In the caller's transaction, which has the drop's row. */
export async function cancel(tx: DatabaseTransaction, { ownerId, id }: DropRef, reason: string): Promise<void> {
  await sql`update drops set state = 'canceled', reason = ${reason}, ended_at = now() where id = ${id}`.execute(tx);
  await resolveNotice(tx, dropNotice(id));
  await appendEvents(tx, [{ ownerId, type: 'drop.canceled', subject: id, data: { reason } }]);
}

function refuseSent({ id, state }: LockedDrop): void {
  if (!isUnsent(state)) throw new DomainError('CONFLICT', `${id} is ${state} and can no longer be changed`);
}

/** Words as a kind of channel has them. */
export function wordsFor(
  kind: ChannelKindName,
  { title, body, bodies }: Pick<DropWordFields, 'title' | 'body'> & { bodies: unknown },
): { title: string; body: string } {
  const own = (bodies as DropWordFields['bodies'])[kind];
  return { title, body: own ?? body };
}
