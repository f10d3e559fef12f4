import { sql } from 'kysely';
import type { ChannelKindName } from '../../domain/channel-kinds.ts';
import type { DeliveryOutcome } from '../../domain/deliveries.ts';
import type { DropSource, DropWordFields } from '../../domain/drops.ts';
import type { DropDeliveryState, DropState } from '../../domain/states.ts';
import type { Executor } from '../database.ts';
import { iso, type PageRequest } from './page.ts';

export interface DropView extends DropWordFields {
  id: string;
  agentId: string | null;
  state: DropState;
  reason: string;
  channels: string[];
  evidence: string[];
  source: DropSource;
  degraded: boolean;
  version: number;
  publishAt: string | null;
  /** When it was first sent on its way; null: it has no workflow. */
  sentAt: string | null;
  approvedBy: string | null;
  createdAt: string;
  endedAt: string | null;
}

function dropsOf(db: Executor, ownerId: string) {
  return db
    .selectFrom('drops')
    .select(['id', 'agentId', 'state', 'reason', 'title', 'body', 'bodies', 'narration', 'evidence', 'source'])
    .select(['degraded', 'version', 'publishAt', 'sentAt', 'approvedBy', 'createdAt', 'endedAt'])
    .select(
      sql<
        string[]
      >`array(select c.channel_id from drop_channels c where c.drop_id = drops.id order by c.channel_id)`.as(
        'channels',
      ),
    )
    .where('ownerId', '=', ownerId);
}

type Row = Awaited<ReturnType<ReturnType<typeof dropsOf>['executeTakeFirstOrThrow']>>;

function viewOf(row: Row): DropView {
  return {
    ...row,
    state: row.state as DropState,
    source: row.source as DropSource,
    bodies: row.bodies as DropWordFields['bodies'],
    publishAt: iso(row.publishAt),
    sentAt: iso(row.sentAt),
    createdAt: iso(row.createdAt),
    endedAt: iso(row.endedAt),
  };
}

/** The last made first. */
export async function listDrops(
  db: Executor,
  page: PageRequest & { state?: DropState | undefined; agentId?: string | undefined },
): Promise<DropView[]> {
  let query = dropsOf(db, page.ownerId);
  if (page.after !== undefined) query = query.where('id', '<', page.after);
  if (page.state !== undefined) query = query.where('state', '=', page.state);
  if (page.agentId !== undefined) query = query.where('agentId', '=', page.agentId);
  return (await query.orderBy('id', 'desc').limit(page.limit).execute()).map(viewOf);
}

export async function findDrop(db: Executor, ownerId: string, id: string): Promise<DropView | undefined> {
  const row = await dropsOf(db, ownerId).where('id', '=', id).executeTakeFirst();
  return row && viewOf(row);
}

export interface DropDeliveryView {
  id: string;
  dropId: string;
  channelId: string;
  channel: string;
  kind: ChannelKindName;
  state: DropDeliveryState;
  rehearsal: boolean;
  /** As it leaves or left; null before the first attempt. */
  text: string | null;
  reason: string;
  url: string | null;
  attempts: number;
  createdAt: string;
  endedAt: string | null;
}

type DeliveryRow = Omit<DropDeliveryView, 'createdAt' | 'endedAt'> & { createdAt: Date; endedAt: Date | null };

/** The last made first; of one drop, or of all. */
export async function listDropDeliveries(
  db: Executor,
  page: PageRequest & { dropId?: string | undefined; state?: DropDeliveryState | undefined },
): Promise<DropDeliveryView[]> {
  const { ownerId, after = null, dropId = null, state = null, limit } = page;
  const { rows } = await sql<DeliveryRow>`
    select d.id, d.drop_id as "dropId", d.channel_id as "channelId", c.name as channel, c.kind, d.state, d.rehearsal, d.text,
      d.reason, d.url, d.created_at as "createdAt", d.ended_at as "endedAt",
      (select count(*) from delivery_attempts a where a.delivery_id = d.id) as attempts
    from deliveries d join channels c on c.id = d.channel_id
    where d.owner_id = ${ownerId} and (${after}::text is null or d.id < ${after})
      and (${dropId}::text is null or d.drop_id = ${dropId}) and (${state}::text is null or d.state = ${state})
    order by d.id desc limit ${limit}`.execute(db);
  return rows.map((row) => ({ ...row, createdAt: iso(row.createdAt), endedAt: iso(row.endedAt) }));
}

export interface AttemptView {
  deliveryId: string;
  attempt: number;
  beganAt: string;
  endedAt: string | null;
  outcome: DeliveryOutcome | null;
  status: number | null;
  reason: string;
}

/** The last hundred of a drop. */
export async function attemptsOfDrop(db: Executor, dropId: string): Promise<AttemptView[]> {
  const rows = await db
    .selectFrom('deliveryAttempts')
    .innerJoin('deliveries', 'deliveries.id', 'deliveryAttempts.deliveryId')
    .select(['deliveryId', 'attempt', 'beganAt', 'outcome', 'status', 'deliveryAttempts.reason'])
    .select('deliveryAttempts.endedAt')
    .where('deliveries.dropId', '=', dropId)
    .orderBy('beganAt', 'desc')
    .limit(100)
    .execute();
  return rows.reverse().map((row) => ({
    ...row,
    outcome: row.outcome as DeliveryOutcome | null,
    beganAt: iso(row.beganAt),
    endedAt: iso(row.endedAt),
  }));
}
