import { sql } from 'kysely';
import { DomainError } from '../domain/errors.ts';
import { webhookDeliveryWorkflowId } from '../domain/ids.ts';
import {
  afterWebhookTry,
  type DeliveryState,
  mostAtOnce,
  mostAtOnceOfOwner,
  mostCounted,
  mostRedeliveries,
  mostRedeliveriesAtOnce,
  waitInLine,
  type WebhookStep,
} from '../domain/webhooks.ts';
import type { Database, DatabaseTransaction } from './database.ts';
import { newId } from './ids.ts';
import { insertIntent } from './intents.ts';
import { takeLock } from './locks.ts';
import { openNotice, resolveNotice } from './notices.ts';
import { webhookNotice, type WebhookRef } from './webhooks.ts';

export interface OpenDelivery {
  id: string;
  attempt: number;
  ownerId: string;
  webhookId: string;
  /** The webhook-id. */
  eventId: string;
  type: string;
  body: string;
  url: string;
  secrets: Array<{ id: string; sealed: Buffer }>;
}

export type DeliveryTurn = { send: OpenDelivery } | { step: WebhookStep };

interface DeliveryRow {
  id: string;
  ownerId: string;
  webhookId: string;
  eventId: string;
  type: string;
  body: string;
  url: string;
  state: DeliveryState;
  redeliveries: number;
  endpointState: string;
  secrets: Array<{ id: string; sealed: string }>;
}

/** A try that has no end after this was made by somebody who died: no answer is waited for longer, by far. */
const deadAfterSeconds = 60;

/** Undefined: its endpoint was removed. Locked in the order endpoint, delivery, as everywhere. */
async function lockDelivery(tx: DatabaseTransaction, id: string): Promise<DeliveryRow | undefined> {
  const endpoint =
    await sql`select w.id from webhooks w join webhook_deliveries d on d.webhook_id = w.id where d.id = ${id}
    for no key update of w`.execute(tx);
  if (endpoint.rows.length === 0) return undefined;
  const { rows } =
    await sql<DeliveryRow>`select d.id, d.owner_id as "ownerId", d.webhook_id as "webhookId", d.event_id as "eventId",
      d.state, d.redeliveries, e.type, e.body, w.url, w.state as "endpointState",
      (select coalesce(jsonb_agg(jsonb_build_object('id', s.id, 'sealed', encode(s.sealed, 'base64')) order by s.id desc), '[]')
        from webhook_secrets s where s.webhook_id = w.id) as secrets
    from webhook_deliveries d join webhooks w on w.id = d.webhook_id join webhook_events e on e.id = d.event_id
    where d.id = ${id} for no key update of d`.execute(tx);
  return rows[0];
}

async function setState(tx: DatabaseTransaction, id: string, state: DeliveryState, reason: string): Promise<void> {
  const isOpen = state === 'pending' || state === 'sending';
  await tx
    .updateTable('webhookDeliveries')
    .set({ state, reason, waitsSince: null, endedAt: isOpen ? null : sql<Date>`now()` })
    .where('id', '=', id)
    .execute();
}

/** Whether the endpoint and its owner have as many under way as they may. Exact, under the lock of the owner's turns. */
async function isFull(tx: DatabaseTransaction, { ownerId, webhookId }: DeliveryRow): Promise<boolean> {
  const { rows } = await sql<{ own: number; endpoint: number }>`
    select count(*) as own, count(*) filter (where d.webhook_id = ${webhookId}) as endpoint
    from webhook_deliveries d join webhook_attempts a on a.delivery_id = d.id
    where d.owner_id = ${ownerId} and d.state = 'sending'
      and a.ended_at is null and a.began_at > now() - make_interval(secs => ${deadAfterSeconds})`.execute(tx);
  const { own, endpoint } = rows[0]!;
  return own >= mostAtOnceOfOwner || endpoint >= mostAtOnce;
}

/** Takes a place in the endpoint's line, or keeps it: one that hangs keeps no other of its owner's waiting. @returns seconds until there may be room */
async function standInLine(tx: DatabaseTransaction, { id, webhookId }: DeliveryRow): Promise<number> {
  const { rows } = await sql<{ ahead: number }>`
    with mine as (update webhook_deliveries set waits_since = coalesce(waits_since, clock_timestamp()) where id = ${id}
      returning waits_since)
    select count(*) as ahead from (select from webhook_deliveries d, mine
      where d.webhook_id = ${webhookId} and d.waits_since < mine.waits_since limit ${mostCounted}) others`.execute(tx);
  return waitInLine(rows[0]!.ahead);
}

export function createWebhookDeliveryStore(db: Database) {
  return {
    /**
     * Begins a try, committed before a byte leaves. A try that was cut off is begun anew: the receiver knows the event by its id, so
     * that an event may come twice and is never lost.
     */
    async begin(id: string): Promise<DeliveryTurn> {
      return db.transaction().execute(async (tx): Promise<DeliveryTurn> => {
        const whose = await tx
          .selectFrom('webhookDeliveries')
          .select('ownerId')
          .where('id', '=', id)
          .executeTakeFirst();
        if (whose === undefined) return { step: { state: 'failed' } };
        // Before any row: what an owner has under way is counted by one at a time.
        await takeLock(tx, 'webhookTurns', whose.ownerId);
        const row = await lockDelivery(tx, id);
        if (row === undefined) return { step: { state: 'failed' } };
        if (row.state === 'delivered' || row.state === 'failed') return { step: { state: row.state } };
        if (row.endpointState !== 'active') {
          await setState(tx, id, 'failed', 'the endpoint is disabled');
          return { step: { state: 'failed' } };
        }
        await sql`update webhook_attempts set ended_at = now(), reason = 'whoever sent it was gone before the answer'
          where delivery_id = ${id} and ended_at is null`.execute(tx);
        if (await isFull(tx, row)) return { step: { state: row.state, againInSeconds: await standInLine(tx, row) } };
        const { attempt } = await tx
          .selectFrom('webhookAttempts')
          .select(sql<number>`coalesce(max(attempt), 0) + 1`.as('attempt'))
          .where('deliveryId', '=', id)
          .executeTakeFirstOrThrow();
        await tx
          .insertInto('webhookAttempts')
          .values({ deliveryId: id, attempt, redelivery: row.redeliveries })
          .execute();
        await setState(tx, id, 'sending', '');
        const secrets = row.secrets.map((secret) => ({ id: secret.id, sealed: Buffer.from(secret.sealed, 'base64') }));
        return { send: { ...row, attempt, secrets } };
      });
    },

    /** What came of a try. One that was given up on meanwhile counts where it was delivered, and else no more. */
    async end(
      open: Pick<OpenDelivery, 'id' | 'attempt'>,
      {
        status,
        reason,
        retryAfterSeconds,
      }: { status: number | undefined; reason: string; retryAfterSeconds?: number | undefined },
    ): Promise<WebhookStep> {
      return db.transaction().execute(async (tx): Promise<WebhookStep> => {
        const row = await lockDelivery(tx, open.id);
        if (row === undefined) return { state: 'failed' };
        const ended =
          await sql`update webhook_attempts set ended_at = now(), status = ${status ?? null}, reason = ${reason}
          where delivery_id = ${open.id} and attempt = ${open.attempt} and ended_at is null`.execute(tx);
        const late = (ended.numAffectedRows ?? 0n) === 0n;
        const { attempts } = await tx
          .selectFrom('webhookAttempts')
          .select((eb) => eb.fn.countAll<number>().as('attempts'))
          .where('deliveryId', '=', open.id)
          .where('redelivery', '=', row.redeliveries)
          .executeTakeFirstOrThrow();
        const step = afterWebhookTry({ attempts, status, retryAfterSeconds });
        const over = row.state === 'delivered' || row.state === 'failed';
        if ((late || over) && step.state !== 'delivered')
          return over ? { state: row.state } : { state: row.state, againInSeconds: deadAfterSeconds };
        await setState(tx, open.id, step.state, step.state === 'delivered' ? '' : reason);
        if (step.disable) {
          await tx.updateTable('webhooks').set({ state: 'disabled', reason }).where('id', '=', row.webhookId).execute();
        }
        await tell(tx, row, step, reason);
        return step;
      });
    },

    /**
     * A person wants it delivered again, under the same webhook-id.
     * @throws NOT_FOUND · CONFLICT while it is under way, the endpoint is disabled, or as much was asked for again as one may
     */
    async redeliver(
      tx: DatabaseTransaction,
      { ownerId, id: webhookId }: WebhookRef,
      deliveryId: string,
    ): Promise<void> {
      // The lock that endpoints are counted under, and before any row: two at once do not both take the last place.
      await takeLock(tx, 'webhooks', ownerId);
      const row = await lockDelivery(tx, deliveryId);
      if (row?.ownerId !== ownerId || row.webhookId !== webhookId)
        throw new DomainError('NOT_FOUND', `no delivery ${deliveryId} of ${webhookId}`);
      if (row.state === 'pending' || row.state === 'sending')
        throw new DomainError('CONFLICT', `${deliveryId} is under way`);
      if (row.endpointState !== 'active')
        throw new DomainError('CONFLICT', `${webhookId} is disabled; enable it first`);
      if (row.redeliveries >= mostRedeliveries)
        throw new DomainError(
          'CONFLICT',
          `${deliveryId} was delivered again ${mostRedeliveries} times, as often as one may`,
        );
      const open = await sql<{ total: number }>`select count(*) as total from webhook_deliveries
        where owner_id = ${ownerId} and ended_at is null and redeliveries > 0`.execute(tx);
      if (open.rows[0]!.total >= mostRedeliveriesAtOnce) {
        const most = `${mostRedeliveriesAtOnce} deliveries that you asked for again are under way`;
        throw new DomainError('CONFLICT', `${most}; wait for one of them to end`);
      }
      const redeliveries = row.redeliveries + 1;
      await sql`update webhook_deliveries set redeliveries = ${redeliveries} where id = ${deliveryId}`.execute(tx);
      await setState(tx, deliveryId, 'pending', '');
      const workflowId = webhookDeliveryWorkflowId(deliveryId, redeliveries);
      await insertIntent(tx, { workflowId, type: 'deliverWebhook', args: [{ deliveryId }] });
    },
  };
}
export type WebhookDeliveryStore = ReturnType<typeof createWebhookDeliveryStore>;

/** One notice an endpoint, for its owner: open from the first event that was given up on to the next one that arrives. */
async function tell(tx: DatabaseTransaction, row: DeliveryRow, step: WebhookStep, reason: string): Promise<void> {
  if (step.state === 'delivered') return resolveNotice(tx, webhookNotice(row.webhookId));
  if (step.state !== 'failed') return;
  await openNotice(tx, {
    id: newId('notice'),
    ownerId: row.ownerId,
    kind: step.disable ? 'webhook_disabled' : 'webhook_failing',
    key: webhookNotice(row.webhookId),
    subject: row.webhookId,
    about: row.id,
    title: step.disable
      ? `${row.webhookId} wants no more events and is disabled`
      : `Events do not reach ${row.webhookId}`,
    detail: `${row.type} (${row.eventId}): ${reason}`,
    action: step.disable
      ? `soulfra webhooks enable ${row.webhookId}`
      : `soulfra webhooks redeliver ${row.webhookId} ${row.id}`,
  });
}
