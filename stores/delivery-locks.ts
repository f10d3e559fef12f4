import { sql } from 'kysely';
import type { ChannelKindName } from '../domain/channel-kinds.ts';
import type { DropSource } from '../domain/drops.ts';
import type { ChannelStage, DropDeliveryState } from '../domain/states.ts';
import type { DatabaseTransaction } from './database.ts';
import { type LockedDrop, lockDrop } from './drops.ts';
import { shareLock } from './locks.ts';

/** What fleet.yaml says of posts that are late, in seconds. */
export interface PostRules {
  lateAfter: number;
  lateSpacing: number;
  missedAfter: number;
}

/** A delivery with all that decides whether it may be posted. */
export interface LockedDelivery {
  id: string;
  ownerId: string;
  channelId: string;
  kind: ChannelKindName;
  state: DropDeliveryState;
  again: number;
  rehearsal: boolean;
  /** As it leaves; null before its first attempt. */
  text: string | null;
  /** ISO: when it was set on its way. */
  createdAt: string;
  lateSeconds: number;
  drop: LockedDrop;
  words: {
    agentId: string | null;
    title: string;
    body: string;
    bodies: unknown;
    narration: string;
    source: DropSource;
    degraded: boolean;
  };
  channel: {
    name: string;
    settings: unknown;
    sealed: Buffer | null;
    session: Buffer | null;
    /** For how long it has had these secrets. */
    secretsSeconds: number;
    destination: string;
    stage: ChannelStage;
    stopReason: string | null;
    removed: boolean;
    allowExtractive: boolean;
    allowDegraded: boolean;
  };
  /** Why all posts of the owner are stopped; null: they are not. */
  stopAll: string | null;
}

/**
 * Locked in this order, always: drop, delivery; to post, too, the channel and the stop of all, which attempts share, so that
 * neither changes meanwhile: whoever stops posts waits for attempts that are being opened, and none is opened after.
 */
export async function lockDelivery(
  tx: DatabaseTransaction,
  id: string,
  { toPost = false }: { toPost?: boolean } = {},
): Promise<LockedDelivery | undefined> {
  const of = await tx.selectFrom('deliveries').select(['dropId', 'ownerId']).where('id', '=', id).executeTakeFirst();
  if (of === undefined) return undefined;
  const drop = await lockDrop(tx, { ownerId: of.ownerId, id: of.dropId });
  const delivery = await tx
    .selectFrom('deliveries')
    .select(['id', 'ownerId', 'channelId', 'state', 'again', 'rehearsal', 'text', 'createdAt'])
    .select(sql<number>`extract(epoch from clock_timestamp() - due_at)::float8`.as('lateSeconds'))
    .where('id', '=', id)
    .forNoKeyUpdate()
    .executeTakeFirst();
  if (delivery === undefined) return undefined;
  if (toPost) {
    await shareLock(tx, 'channel', delivery.channelId);
    await shareLock(tx, 'dropStop', of.ownerId);
  }
  const { kind, stoppedAt, removedAt, stopReason, stage, ...channel } = await tx
    .selectFrom('channels')
    .select(['kind', 'name', 'settings', 'sealed', 'session', 'destination', 'stage', 'stoppedAt', 'stopReason'])
    .select(['removedAt', 'allowExtractive', 'allowDegraded'])
    .select(sql<number>`extract(epoch from clock_timestamp() - secrets_at)::float8`.as('secretsSeconds'))
    .where('id', '=', delivery.channelId)
    .executeTakeFirstOrThrow();
  const stops = await tx
    .selectFrom('dropStops')
    .select(['stoppedAt', 'reason'])
    .where('ownerId', '=', of.ownerId)
    .executeTakeFirstOrThrow();
  const words = await tx
    .selectFrom('drops')
    .select(['agentId', 'title', 'body', 'bodies', 'narration', 'source', 'degraded'])
    .where('id', '=', of.dropId)
    .executeTakeFirstOrThrow();
  return {
    ...delivery,
    state: delivery.state as DropDeliveryState,
    kind: kind as ChannelKindName,
    createdAt: delivery.createdAt.toISOString(),
    drop,
    words: { ...words, source: words.source as DropSource },
    channel: {
      ...channel,
      stage: stage as ChannelStage,
      stopReason: stoppedAt === null ? null : stopReason,
      removed: removedAt !== null,
    },
    stopAll: stops.stoppedAt === null ? null : stops.reason,
  };
}

/** Why it must wait for a person, where it must. @param doubted an earlier attempt may be there */
export function heldBack({ stopAll, channel, drop }: LockedDelivery, doubted: boolean): string | undefined {
  if (stopAll !== null) return `all posts are stopped${stopAll === '' ? '' : `: ${stopAll}`}`;
  if (channel.stopReason !== null)
    return `the channel is stopped${channel.stopReason === '' ? '' : `: ${channel.stopReason}`}`;
  if (channel.stage === 'approval' && drop.approvedAt === null)
    return 'the channel asks for approval, and nobody has given it';
  // Put back to dry run in the middle: it may be there, so that it is no rehearsal.
  if (channel.stage === 'dry_run' && doubted) return 'the channel is in dry run, and an attempt is in doubt';
  return undefined;
}
