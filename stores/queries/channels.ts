import { sql } from 'kysely';
import type { ChannelKindName } from '../../domain/channel-kinds.ts';
import type { ChannelStage } from '../../domain/states.ts';
import type { Executor } from '../database.ts';
import { iso, type PageRequest } from './page.ts';

export interface ChannelView {
  id: string;
  kind: ChannelKindName;
  name: string;
  settings: Record<string, unknown>;
  stage: ChannelStage;
  allowExtractive: boolean;
  allowDegraded: boolean;
  stoppedAt: string | null;
  stopReason: string;
  /** Since when replies are not read, and why. */
  repliesStoppedAt: string | null;
  repliesStopReason: string;
  /** Until when its server wants nothing. */
  notBefore: string | null;
  createdAt: string;
}

function channelsOf(db: Executor, ownerId: string) {
  return db
    .selectFrom('channels')
    .innerJoin('destinations', (join) =>
      join
        .onRef('destinations.key', '=', 'channels.destination')
        .onRef('destinations.ownerId', '=', 'channels.ownerId'),
    )
    .select(['channels.id', 'kind', 'name', 'settings', 'stage', 'allowExtractive', 'allowDegraded'])
    .select(['stoppedAt', 'stopReason', 'repliesStoppedAt', 'repliesStopReason', 'createdAt'])
    .select(sql<Date | null>`case when not_before > now() then not_before end`.as('notBefore'))
    .where('channels.ownerId', '=', ownerId)
    .where('removedAt', 'is', null);
}

type Row = Awaited<ReturnType<ReturnType<typeof channelsOf>['executeTakeFirstOrThrow']>>;

function viewOf(row: Row): ChannelView {
  return {
    ...row,
    kind: row.kind as ChannelKindName,
    settings: row.settings as Record<string, unknown>,
    stage: row.stage as ChannelStage,
    stoppedAt: iso(row.stoppedAt),
    repliesStoppedAt: iso(row.repliesStoppedAt),
    notBefore: iso(row.notBefore),
    createdAt: iso(row.createdAt),
  };
}

/** The last made first. */
export async function listChannels(db: Executor, page: PageRequest): Promise<ChannelView[]> {
  let query = channelsOf(db, page.ownerId);
  if (page.after !== undefined) query = query.where('channels.id', '<', page.after);
  return (await query.orderBy('channels.id', 'desc').limit(page.limit).execute()).map(viewOf);
}

export async function findChannel(db: Executor, ownerId: string, id: string): Promise<ChannelView | undefined> {
  const row = await channelsOf(db, ownerId).where('channels.id', '=', id).executeTakeFirst();
  return row && viewOf(row);
}

/** Why and since when the owner's posts are stopped; undefined where they are not. */
export async function findDropStop(
  db: Executor,
  ownerId: string,
): Promise<{ since: string; reason: string } | undefined> {
  const row = await db
    .selectFrom('dropStops')
    .select(['stoppedAt', 'reason'])
    .where('ownerId', '=', ownerId)
    .where('stoppedAt', 'is not', null)
    .executeTakeFirst();
  return row && { since: iso(row.stoppedAt!), reason: row.reason };
}
