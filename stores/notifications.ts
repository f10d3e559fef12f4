import { sql } from 'kysely';
import { notificationWorkflowId } from '../domain/ids.ts';
import { noticeRules } from '../domain/notice-acts.ts';
import { isAtLeast, noticeKinds, type NoticeKind } from '../domain/notices.ts';
import {
  afterNotifyTry,
  type Destination,
  failingFrom,
  type NotificationKind,
  type NotificationState,
  type Notify,
  type NotifyOutcome,
  type NotifyStep,
} from '../domain/notify.ts';
import { noticesContent, type NotifyContent, type ToldKind } from '../domain/notify-texts.ts';
import { inServiceStates } from '../domain/states.ts';
import { durationSeconds } from '../domain/durations.ts';
import type { Database, DatabaseTransaction, Executor } from './database.ts';
import { newId } from './ids.ts';
import { insertIntent } from './intents.ts';
import { takeLock } from './locks.ts';
import { readDigest } from './queries/digest.ts';
import { openNotice, resolveNotice } from './notices.ts';

export interface NewNotification {
  ownerId: string;
  destination: string;
  kind: NotificationKind;
  /** What makes two of them the same. */
  key: string;
  content: NotifyContent;
}

/** What is to leave now. */
export interface OpenNotification {
  id: string;
  ownerId: string;
  destination: string;
  kind: NotificationKind;
  content: NotifyContent;
  createdAt: Date;
  attempt: number;
}

export interface Gathered {
  /** Messages that were made. */
  messages: number;
  /** Until what is too young to be told alone is to be told; null: nothing waits for that. */
  againInSeconds: number | null;
}

/** Most notices of one message, which names the first of them; the next one has the rest. */
const mostItems = 2_000;

const failingKey = (ownerId: string, destination: string) => `notify_failing:${ownerId}:${destination}`;
const heartbeatKey = (ownerId: string) => `heartbeat_failing:${ownerId}`;

interface DueItem {
  id: string;
  kind: NoticeKind;
  key: string;
  subject: string;
  about: string;
  title: string;
  detail: string;
  openedAt: Date;
  resolvedAt: Date | null;
  what: ToldKind;
  round: number;
  /** Seconds since it came to be so. */
  age: number;
}

/** Asks for a message in the transaction of what it tells; the same key asks once. @returns its id, where it is new */
export async function queueNotification(
  tx: DatabaseTransaction,
  { content, ...notification }: NewNotification,
): Promise<string | undefined> {
  const id = newId('notification');
  const added = await tx
    .insertInto('notifications')
    .values({ ...notification, id, content: JSON.stringify(content) })
    .onConflict((conflict) => conflict.columns(['ownerId', 'destination', 'key']).doNothing())
    .returning('id')
    .executeTakeFirst();
  if (!added) return undefined;
  const workflowId = notificationWorkflowId(id);
  await insertIntent(tx, { workflowId, type: 'sendNotification', args: [{ notificationId: id }] });
  return id;
}

export function createNotificationStore(db: Database) {
  return {
    /**
     * Makes one message for each destination of what it has not been told: what was opened, what has ended of what it was told, and
     * what is still open long after. One that has a message under way is told the rest together, once that has arrived.
     */
    async gather(of: { ownerId: string; fleetName: string; notify: Notify }): Promise<Gathered> {
      return db.transaction().execute(async (tx) => {
        await takeLock(tx, 'notifications', of.ownerId);
        await forgetGone(tx, of.ownerId, of.notify);
        const gathered: Gathered = { messages: 0, againInSeconds: null };
        for (const destination of of.notify.destinations) {
          const wait = await gatherFor(tx, of, destination);
          if (wait === 'none') continue;
          if (wait === 'told') gathered.messages += 1;
          else gathered.againInSeconds = Math.min(gathered.againInSeconds ?? wait, wait);
        }
        return gathered;
      });
    },

    /** Begins a try, committed before a byte leaves; one that was cut off is begun anew, and may so arrive twice. */
    async begin(id: string): Promise<{ send: OpenNotification } | { step: NotifyStep }> {
      return db.transaction().execute(async (tx) => {
        const row = await lockNotification(tx, id);
        if (row === undefined) return { step: { state: 'failed' } };
        if (row.state === 'sent' || row.state === 'failed') return { step: { state: row.state } };
        const attempt = row.attempts + 1;
        await sql`update notifications set state = 'sending', attempts = ${attempt}, began_at = now() where id = ${id}`.execute(
          tx,
        );
        const { ownerId, destination, kind, content, createdAt } = row;
        return { send: { id, ownerId, destination, kind, content, createdAt, attempt } };
      });
    },

    /** What came of a try. One that another try has followed counts only where it arrived. */
    async end(
      { id, attempt }: Pick<OpenNotification, 'id' | 'attempt'>,
      { outcome, reason, waitSeconds }: { outcome: NotifyOutcome; reason: string; waitSeconds?: number | undefined },
    ): Promise<NotifyStep> {
      return db.transaction().execute(async (tx): Promise<NotifyStep> => {
        const row = await lockNotification(tx, id);
        if (row === undefined) return { state: 'failed' };
        if (row.state === 'sent') return { state: 'sent' };
        if (outcome !== 'sent' && (row.state === 'failed' || row.attempts !== attempt))
          return row.state === 'failed' ? { state: 'failed' } : { state: row.state, againInSeconds: 60 };
        const step = afterNotifyTry({ outcome, attempts: row.attempts, age: row.age, waitSeconds });
        await setState(tx, id, step.state, step.state === 'sent' ? '' : reason);
        await tellFailing(tx, row, step, reason);
        return step;
      });
    },

    /** fleet.yaml names its destination no more. */
    async giveUp(id: string, reason: string): Promise<NotifyStep> {
      await db.transaction().execute(async (tx) => {
        const row = await lockNotification(tx, id);
        if (row !== undefined && row.state !== 'sent') await setState(tx, id, 'failed', reason);
      });
      return { state: 'failed' };
    },

    day: (of: { ownerId: string; since: string; until: string }) => readDigest(db, of),

    /** One a destination and day. @returns how many were new */
    async queueDigest(of: { ownerId: string; until: string; content: NotifyContent; to: string[] }): Promise<number> {
      const { ownerId, until, content, to } = of;
      return db.transaction().execute(async (tx) => {
        let messages = 0;
        for (const destination of to) {
          const key = `digest:${until}`;
          if (await queueNotification(tx, { ownerId, destination, kind: 'digest', key, content })) messages += 1;
        }
        return messages;
      });
    },

    /** Whether any machine holds its lease and takes work. */
    async works(ownerId: string): Promise<boolean> {
      const { rows } = await sql<{ works: boolean }>`select exists (select from machines where owner_id = ${ownerId}
        and removed_at is null and state = any(${[...inServiceStates]}::text[]) and lease_until > now()) as works`.execute(
        db,
      );
      return rows[0]!.works;
    },

    /** @param reason why the heartbeat was not heard; undefined: it was */
    async noteHeartbeat(ownerId: string, reason: string | undefined): Promise<void> {
      if (reason === undefined) return resolveNotice(db, heartbeatKey(ownerId));
      await openNotice(db, {
        id: newId('notice'),
        ownerId,
        kind: 'heartbeat_failing',
        key: heartbeatKey(ownerId),
        subject: 'heartbeat',
        title: 'The heartbeat is not heard outside',
        detail: reason.slice(0, 300),
      });
    },
  };
}
export type NotificationStore = ReturnType<typeof createNotificationStore>;

/** Notices of what fleet.yaml names no more. */
async function forgetGone(tx: DatabaseTransaction, ownerId: string, notify: Notify): Promise<void> {
  await sql`update notices set resolved_at = now() where owner_id = ${ownerId} and kind = 'notify_failing'
    and resolved_at is null and subject <> all(${notify.destinations.map(({ id }) => id)}::text[])`.execute(tx);
  if (notify.heartbeat === undefined) await resolveNotice(tx, heartbeatKey(ownerId));
}

/** @returns seconds until it is to be looked at again, where what there is came too lately to be told alone */
async function gatherFor(
  tx: DatabaseTransaction,
  { ownerId, fleetName, notify }: { ownerId: string; fleetName: string; notify: Notify },
  { id: destination, least }: Destination,
): Promise<'none' | 'told' | number> {
  const open = await sql`select from notifications where owner_id = ${ownerId} and destination = ${destination}
    and kind = 'notices' and state in ('pending', 'sending')`.execute(tx);
  if (open.rows.length > 0) return 'none';
  const due = await dueItems(tx, { ownerId, destination, least, remindAfter: durationSeconds(notify.remindAfter) });
  if (due.length === 0) return 'none';
  const fresh = due.filter(({ what }) => what !== 'reminder').map(({ age }) => age);
  const wait = durationSeconds(notify.groupFor) - Math.max(...fresh);
  if (fresh.length > 0 && wait > 0) return Math.ceil(wait);
  const content = noticesContent(
    fleetName,
    due.map((item) => ({
      what: item.what,
      id: item.id,
      kind: item.kind,
      severity: noticeRules[item.kind].severity,
      subject: item.subject,
      title: item.title,
      detail: item.detail,
      act: noticeRules[item.kind].act(item),
      openedAt: item.openedAt.toISOString(),
      resolvedAt: item.resolvedAt?.toISOString() ?? null,
    })),
  );
  const key = newId('notification');
  const notificationId = await queueNotification(tx, { ownerId, destination, kind: 'notices', key, content });
  if (notificationId === undefined) throw new Error(`${key} was there already`);
  await tx
    .insertInto('notificationItems')
    .values(
      due.map(({ id: noticeId, what, round }) => ({ notificationId, ownerId, destination, noticeId, what, round })),
    )
    .execute();
  return 'told';
}

/**
 * What is new or has ended, and what is to be reminded of. Reminders come in rounds: once one is due, all go with it that were told
 * at least half as long ago, so that what was opened at many times of a day is not reminded of at as many.
 */
async function dueItems(
  tx: DatabaseTransaction,
  of: { ownerId: string; destination: string; least: Destination['least']; remindAfter: number },
): Promise<DueItem[]> {
  const kinds = noticeKinds.filter((kind) => isAtLeast(noticeRules[kind].severity, of.least));
  const { rows } = await sql<DueItem>`
    select * from (select n.id, n.kind, n.key, n.subject, n.about, n.title, n.detail, n.opened_at as "openedAt", n.resolved_at as "resolvedAt",
      case when n.resolved_at is not null then 'resolved' when t.first is null then 'opened' else 'reminder' end as what,
      case when n.resolved_at is null and t.first is not null then t.rounds + 1 else 0 end as round,
      extract(epoch from now() - coalesce(n.resolved_at, n.opened_at))::float8 as age,
      extract(epoch from now() - t.last)::float8 as quiet,
      max(extract(epoch from now() - t.last)) filter (where n.resolved_at is null) over () as longest
    from notices n
    left join lateral (select min(told_at) as first, max(told_at) filter (where what <> 'resolved') as last,
        coalesce(max(round), 0) as rounds, bool_or(what = 'resolved') as ended
      from notification_items i where i.notice_id = n.id and i.destination = ${of.destination}) t on true
    where n.owner_id = ${of.ownerId} and n.kind = any(${kinds}::text[])
      -- Notices are kept for a year; an end that could not be told for a week is no news.
      and (n.resolved_at is null or n.resolved_at > now() - interval '7 days')
      -- That it cannot be told is told to the others.
      and not (n.kind = 'notify_failing' and n.subject = ${of.destination})
      and (n.resolved_at is null or (t.first is not null and not t.ended))) due
    where what <> 'reminder' or (longest > ${of.remindAfter}::float8 and quiet > ${of.remindAfter}::float8 / 2)
    order by what = 'reminder', "openedAt" limit ${mostItems}`.execute(tx);
  return rows;
}

interface NotificationRow extends Omit<OpenNotification, 'attempt'> {
  state: NotificationState;
  attempts: number;
  age: number;
}

async function lockNotification(tx: DatabaseTransaction, id: string): Promise<NotificationRow | undefined> {
  const { rows } =
    await sql<NotificationRow>`select id, owner_id as "ownerId", destination, kind, content, state, attempts,
      created_at as "createdAt", extract(epoch from now() - created_at)::float8 as age
    from notifications where id = ${id} for no key update`.execute(tx);
  return rows[0];
}

async function setState(tx: Executor, id: string, state: NotificationState, reason: string): Promise<void> {
  const isOpen = state === 'pending' || state === 'sending';
  await sql`update notifications set state = ${state}, reason = ${reason.slice(0, 300)},
    ended_at = case when ${isOpen} then null else now() end where id = ${id}`.execute(tx);
  // An end that was not heard is told with the next message; what is open still is, by a reminder.
  if (state === 'failed')
    await sql`delete from notification_items where notification_id = ${id} and what = 'resolved'`.execute(tx);
}

/** One notice a destination: open from the third try that failed to the next message that arrives. */
async function tellFailing(tx: DatabaseTransaction, row: NotificationRow, step: NotifyStep, reason: string) {
  const key = failingKey(row.ownerId, row.destination);
  if (step.state === 'sent') return resolveNotice(tx, key);
  if (row.attempts < failingFrom && step.state !== 'failed') return;
  await openNotice(tx, {
    id: newId('notice'),
    ownerId: row.ownerId,
    kind: 'notify_failing',
    key,
    subject: row.destination,
    title: `${row.destination} is not told what waits`,
    detail: reason.slice(0, 300),
  });
}
