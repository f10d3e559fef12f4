import type { DeliveryState, WebhookEventType, WebhookState } from '../../domain/webhooks.ts';
import { sql } from 'kysely';
import type { Executor } from '../database.ts';
import { iso, type PageRequest } from './page.ts';

export interface WebhookView {
  id: string;
  url: string;
  types: WebhookEventType[];
  state: WebhookState;
  reason: string;
  /** Ids of its live secrets; none can be read again. */
  secrets: string[];
  createdAt: string;
}

function webhooksOf(db: Executor, ownerId: string) {
  return db
    .selectFrom('webhooks')
    .select(['id', 'url', 'types', 'state', 'reason', 'createdAt'])
    .select(
      sql<string[]>`array(select s.id from webhook_secrets s where s.webhook_id = webhooks.id order by s.id)`.as(
        'secrets',
      ),
    )
    .where('ownerId', '=', ownerId);
}

type Row = Awaited<ReturnType<ReturnType<typeof webhooksOf>['executeTakeFirstOrThrow']>>;

function viewOf(row: Row): WebhookView {
  return {
    ...row,
    types: row.types as WebhookEventType[],
    state: row.state as WebhookState,
    createdAt: iso(row.createdAt),
  };
}

export async function listWebhooks(db: Executor, page: PageRequest): Promise<WebhookView[]> {
  let query = webhooksOf(db, page.ownerId);
  if (page.after !== undefined) query = query.where('id', '<', page.after);
  return (await query.orderBy('id', 'desc').limit(page.limit).execute()).map(viewOf);
}

export async function findWebhook(db: Executor, ownerId: string, id: string): Promise<WebhookView | undefined> {
  const row = await webhooksOf(db, ownerId).where('id', '=', id).executeTakeFirst();
  return row && viewOf(row);
}

export interface DeliveryView {
  id: string;
  /** The webhook-id. */
  eventId: string;
  type: string;
  state: DeliveryState;
  attempts: number;
  /** What was answered last. */
  status: number | null;
  reason: string;
  createdAt: string;
  endedAt: string | null;
}

/** The last first. */
export async function listDeliveries(db: Executor, page: PageRequest & { webhookId: string }): Promise<DeliveryView[]> {
  const { rows } = await sql<Omit<DeliveryView, 'createdAt' | 'endedAt'> & { createdAt: Date; endedAt: Date | null }>`
    select d.id, d.event_id as "eventId", e.type, d.state, a.attempts, a.status, d.reason, d.created_at as "createdAt",
      d.ended_at as "endedAt"
    from webhook_deliveries d join webhook_events e on e.id = d.event_id, lateral (
      select count(*) as attempts, (array_agg(t.status order by t.attempt desc))[1] as status
      from webhook_attempts t where t.delivery_id = d.id) a
    where d.owner_id = ${page.ownerId} and d.webhook_id = ${page.webhookId}
      and (${page.after ?? null}::text is null or d.id < ${page.after ?? null})
    order by d.id desc limit ${page.limit}`.execute(db);
  return rows.map((row) => ({ ...row, createdAt: iso(row.createdAt), endedAt: iso(row.endedAt) }));
}
