import { sql } from 'kysely';
import { channelKindRow } from '../domain/channel-kinds.ts';
import {
  afterAttempt,
  deadAfterSeconds,
  type DeliveryOutcome,
  firstDoubt,
  mayResend,
  type PastAttempt,
  patienceLeft,
  slotSeconds,
} from '../domain/deliveries.ts';
import { afterQuiet } from '../domain/drop-times.ts';
import { DomainError } from '../domain/errors.ts';
import { dropWorkflowId } from '../domain/ids.ts';
import type { DropDeliveryState } from '../domain/states.ts';
import { channelNotice } from './channels.ts';
import type { Database, DatabaseTransaction } from './database.ts';
import { deliveryNotice, tellDelivery } from './delivery-notices.ts';
import { heldBack, type LockedDelivery, lockDelivery, type PostRules } from './delivery-locks.ts';
import { leaveAlone } from './destinations.ts';
import { quietHoursOf } from './drop-schedules.ts';
import type { DropRef } from './drops.ts';
import { newId } from './ids.ts';
import { insertIntent } from './intents.ts';
import { takeLock } from './locks.ts';
import { openNotice, resolveNotice } from './notices.ts';
import { createPublishingStore, restsOnForgotten } from './publishing.ts';

export type { PostRules };

/** What there is to do about a delivery now. */
export type PostTurn =
  | { kind: 'ended'; state: DropDeliveryState }
  | { kind: 'wait'; seconds: number; reason: string }
  | { kind: 'post'; post: LockedDelivery };

export interface AttemptEnd {
  outcome: DeliveryOutcome;
  reason: string;
  status?: number | undefined;
  url?: string | undefined;
  remoteId?: string | undefined;
  waitSeconds?: number | undefined;
  ofService?: boolean | undefined;
  stopChannel?: boolean | undefined;
}

/** Somebody who holds posts back may let go at any time. */
const heldLookSeconds = 60;

export function createDeliveryStore(db: Database) {
  const { settleDrop } = createPublishingStore(db);

  /** The drop's row is locked: `lockDelivery` did that. */
  async function setState(
    tx: DatabaseTransaction,
    { id, drop }: LockedDelivery,
    state: DropDeliveryState,
    reason: string,
    there: { url?: string | undefined; remoteId?: string | undefined; rehearsal?: boolean } = {},
  ): Promise<void> {
    const isOpen = state === 'pending' || state === 'sending';
    await tx
      .updateTable('deliveries')
      .set({
        state,
        reason: reason.slice(0, 500),
        endedAt: isOpen ? null : sql<Date>`now()`,
        ...(there.url === undefined ? {} : { url: there.url }),
        ...(there.remoteId === undefined ? {} : { remoteId: there.remoteId }),
        ...(there.rehearsal === undefined ? {} : { rehearsal: there.rehearsal }),
      })
      .where('id', '=', id)
      .execute();
    if (!isOpen) await settleDrop(tx, drop);
  }

  /** Puts down what follows from the attempts so far. */
  async function settle(
    tx: DatabaseTransaction,
    delivery: LockedDelivery,
    { reason, waitSeconds = 0, ...there }: Omit<AttemptEnd, 'outcome'>,
  ): Promise<PostTurn> {
    const attempts = await attemptsOf(tx, delivery);
    const step = afterAttempt(delivery.kind, attempts, waitSeconds);
    await setState(tx, delivery, step.state, step.state === 'published' ? '' : reason, there);
    await tell(tx, delivery, step.state, reason);
    return step.state === 'pending' || step.state === 'sending'
      ? { kind: 'wait', seconds: step.againInSeconds ?? deadAfterSeconds, reason }
      : { kind: 'ended', state: step.state };
  }

  async function fail(tx: DatabaseTransaction, delivery: LockedDelivery, reason: string): Promise<PostTurn> {
    // What is in doubt may be there.
    const state = firstDoubt(await attemptsOf(tx, delivery)) === undefined ? 'failed' : 'unconfirmed';
    await setState(tx, delivery, state, reason);
    await tell(tx, delivery, state, reason);
    return { kind: 'ended', state };
  }

  /** Whether it may be posted now; to post, every lock that this stands on is held until the transaction ends. */
  async function judge(tx: DatabaseTransaction, delivery: LockedDelivery, rules: PostRules): Promise<PostTurn> {
    const { state, channel, kind } = delivery;
    if (state !== 'pending' && state !== 'sending') return { kind: 'ended', state };
    const open = await sql<{ age: number }>`select extract(epoch from clock_timestamp() - began_at)::float8 as age
      from delivery_attempts where delivery_id = ${delivery.id} and outcome is null`.execute(tx);
    const age = open.rows[0]?.age;
    if (age !== undefined && age < deadAfterSeconds)
      return { kind: 'wait', seconds: deadAfterSeconds - age + 0.1, reason: 'an attempt is under way' };
    if (age !== undefined) {
      const reason = 'whoever sent it was gone before the answer';
      await sql`update delivery_attempts set ended_at = now(), outcome = 'unknown', reason = ${reason}
        where delivery_id = ${delivery.id} and outcome is null`.execute(tx);
      return settle(tx, delivery, { reason });
    }
    const attempts = await attemptsOf(tx, delivery);
    const doubt = firstDoubt(attempts);
    if (channel.removed) return fail(tx, delivery, 'the channel was removed');
    // Also while it is held back: who has to look is told as soon as nobody may send it again.
    if (doubt !== undefined && !mayResend(kind, doubt.age))
      return fail(tx, delivery, 'its key is too old for it to be sent again without a second post');
    if (doubt !== undefined && isOfOthers(delivery, doubt))
      return fail(
        tx,
        delivery,
        'its channel has other secrets since, and a key is of the account that it was sent with',
      );
    // By the rows, and not only by who waits: a workflow that was begun anew comes sooner.
    const patience = patienceLeft(kind, attempts);
    if (patience > 0)
      return { kind: 'wait', seconds: patience + 0.1, reason: 'its service may still be at work on it' };
    const held = heldBack(delivery, doubt !== undefined);
    if (held !== undefined) {
      await sql`update deliveries set reason = ${held.slice(0, 500)} where id = ${delivery.id} and reason <> ${held.slice(0, 500)}`.execute(
        tx,
      );
      return { kind: 'wait', seconds: heldLookSeconds, reason: held };
    }
    if (channel.stage === 'dry_run') return { kind: 'post', post: delivery };
    const barred = barredText(delivery);
    if (barred !== undefined) return fail(tx, delivery, barred);
    if (await restsOnForgotten(tx, delivery.drop.id)) return fail(tx, delivery, 'what it rests on was forgotten');
    // Also what was tried before: it may have been held back since.
    if (delivery.lateSeconds > rules.missedAfter)
      return fail(tx, delivery, `missed: it was due ${Math.round(delivery.lateSeconds / 3600)} hours ago`);
    // One in doubt goes on: its key may not last until the morning.
    const quiet = doubt === undefined ? await quietSeconds(tx, delivery) : 0;
    if (quiet > 0) return { kind: 'wait', seconds: quiet, reason: 'quiet hours of its schedule' };
    const late = doubt === undefined && delivery.lateSeconds > rules.lateAfter;
    const seconds = await placeInRow(tx, delivery, late ? rules.lateSpacing : undefined);
    return seconds > 0
      ? { kind: 'wait', seconds, reason: 'its destination is not free yet' }
      : { kind: 'post', post: delivery };
  }

  return {
    /** Whether it is to be posted now; a place in the row of its destination is kept for it. */
    async turn(id: string, rules: PostRules): Promise<PostTurn> {
      return db.transaction().execute(async (tx): Promise<PostTurn> => {
        const delivery = await lockDelivery(tx, id);
        return delivery === undefined ? { kind: 'ended', state: 'failed' } : judge(tx, delivery, rules);
      });
    },

    /**
     * Opens an attempt, committed before a byte leaves: from here on a death means that it may be there. In the transaction that
     * opens it stands that nobody has stopped it.
     */
    async begin(
      id: string,
      text: string,
      rules: PostRules,
    ): Promise<PostTurn | { kind: 'begun'; attempt: number; text: string }> {
      return db.transaction().execute(async (tx) => {
        const delivery = await lockDelivery(tx, id, { toPost: true });
        if (delivery === undefined) return { kind: 'ended', state: 'failed' };
        const turn = await judge(tx, delivery, rules);
        if (turn.kind !== 'post') return turn;
        const kept = delivery.text ?? text;
        await sql`update deliveries set text = ${kept}, slot_at = null where id = ${id}`.execute(tx);
        if (delivery.channel.stage === 'dry_run') {
          await setState(tx, delivery, 'published', 'dry run: nothing left', { rehearsal: true });
          return { kind: 'ended', state: 'published' };
        }
        const { rows } = await sql<{ attempt: number }>`insert into delivery_attempts (delivery_id, attempt, again)
          select ${id}, coalesce(max(attempt), 0) + 1, ${delivery.again} from delivery_attempts where delivery_id = ${id}
          returning attempt`.execute(tx);
        await sql`update destinations set last_at = clock_timestamp()
          where owner_id = ${delivery.ownerId} and key = ${delivery.channel.destination}`.execute(tx);
        await setState(tx, delivery, 'sending', '', { rehearsal: false });
        return { kind: 'begun', attempt: rows[0]!.attempt, text: kept };
      });
    },

    /**
     * Looked at once more when the connection stands: what was stopped, taken for dead or changed since the attempt was opened leaves
     * no byte. @throws CONFLICT
     */
    async refuseStopped(id: string, attempt: number, sealed: Uint8Array | null): Promise<void> {
      const { rows } = await sql<{ reason: string | null }>`
        select case when a.outcome is not null then 'the attempt was given up meanwhile'
          when s.stopped_at is not null then 'all posts were stopped meanwhile'
          when c.stopped_at is not null or c.removed_at is not null or c.stage = 'dry_run' then 'the channel was stopped meanwhile'
          when c.sealed is distinct from ${sealed}::bytea then 'the secrets of the channel were changed meanwhile'
          end as reason
        from delivery_attempts a join deliveries d on d.id = a.delivery_id join channels c on c.id = d.channel_id
          join drop_stops s on s.owner_id = d.owner_id
        where a.delivery_id = ${id} and a.attempt = ${attempt}`.execute(db);
      const reason = rows.length === 0 ? 'the drop is gone' : rows[0]!.reason;
      if (reason !== null) throw new DomainError('CONFLICT', reason);
    },

    /** Nothing could be tried: counted as an attempt that was surely not taken. */
    async deferred(id: string, end: Omit<AttemptEnd, 'outcome' | 'url' | 'remoteId'>): Promise<PostTurn> {
      return db.transaction().execute(async (tx): Promise<PostTurn> => {
        const delivery = await lockDelivery(tx, id);
        if (delivery === undefined) return { kind: 'ended', state: 'failed' };
        await obey(tx, delivery, end);
        if (delivery.state !== 'pending') return openTurn(delivery);
        await sql`insert into delivery_attempts (delivery_id, attempt, again, ended_at, outcome, status, reason)
          select ${id}, coalesce(max(attempt), 0) + 1, ${delivery.again}, now(), 'deferred', ${end.status ?? null}, ${end.reason.slice(0, 500)}
          from delivery_attempts where delivery_id = ${id}`.execute(tx);
        return settle(tx, delivery, end);
      });
    },

    /** What came of an attempt. Told late, after it was given up on, it still counts where it is there. */
    async end(id: string, attempt: number, answer: AttemptEnd): Promise<PostTurn> {
      return db.transaction().execute(async (tx): Promise<PostTurn> => {
        const delivery = await lockDelivery(tx, id);
        if (delivery === undefined) return { kind: 'ended', state: 'failed' };
        const { outcome, status, reason } = answer;
        const ended = await sql<{ again: number; late: boolean }>`
          update delivery_attempts a set ended_at = now(), outcome = ${outcome}, status = ${status ?? null}, reason = ${reason.slice(0, 500)}
          from delivery_attempts was where was.delivery_id = a.delivery_id and was.attempt = a.attempt
            and a.delivery_id = ${id} and a.attempt = ${attempt}
            and (a.outcome is null or (a.outcome = 'unknown' and ${outcome}::text = 'published'))
          returning a.again, was.outcome is not null as late`.execute(tx);
        const [row] = ended.rows;
        await obey(tx, delivery, answer);
        if (row === undefined || row.again !== delivery.again) return openTurn(delivery);
        const over = delivery.state === 'published' || delivery.state === 'failed';
        if (over || (row.late && outcome !== 'published')) return openTurn(delivery);
        return settle(tx, delivery, answer);
      });
    },

    /** A person has seen that it is there. @throws NOT_FOUND · CONFLICT where nobody asks */
    async confirm(tx: DatabaseTransaction, ref: DropRef, deliveryId: string, url: string | undefined): Promise<void> {
      const delivery = await ownDelivery(tx, ref, deliveryId);
      if (delivery.state !== 'unconfirmed')
        throw new DomainError('CONFLICT', `${deliveryId} is ${delivery.state}, not unconfirmed`);
      await setState(tx, delivery, 'published', 'a person has seen it', { url });
      await resolveNotice(tx, deliveryNotice(deliveryId));
    },

    /**
     * A person wants it posted again, for it is not there, or was only rehearsed. Where the key lasts for ever it is the same one.
     * @throws NOT_FOUND · CONFLICT where it is under way or there, or the channel is gone
     */
    async again(tx: DatabaseTransaction, ref: DropRef, deliveryId: string): Promise<void> {
      const delivery = await ownDelivery(tx, ref, deliveryId);
      const { state, rehearsal, channel, channelId } = delivery;
      if (state !== 'unconfirmed' && state !== 'failed' && !rehearsal)
        throw new DomainError('CONFLICT', `${deliveryId} is ${state}`);
      if (channel.removed) throw new DomainError('CONFLICT', `${channelId} was removed`);
      if (rehearsal && channel.stage === 'dry_run')
        throw new DomainError('CONFLICT', `${channelId} is in dry run: soulfra channels stage ${channelId} approval`);
      const count = delivery.again + 1;
      await sql`update deliveries set state = 'pending', again = ${count}, rehearsal = false,
        text = case when rehearsal then null else text end, due_at = now(), slot_at = null,
        reason = '', ended_at = null where id = ${deliveryId}`.execute(tx);
      await sql`update drops set state = 'publishing', reason = '', ended_at = null, begun_at = now() where id = ${ref.id}`.execute(
        tx,
      );
      await resolveNotice(tx, deliveryNotice(deliveryId));
      await insertIntent(tx, {
        workflowId: dropWorkflowId(ref.id, { channelId, count }),
        type: 'publishDrop',
        args: [{ dropId: ref.id, deliveryId }],
      });
    },
  };
}
export type DeliveryStore = ReturnType<typeof createDeliveryStore>;

/** Where somebody else has it in hand, or it has ended. */
function openTurn({ state }: LockedDelivery): PostTurn {
  return state === 'pending' || state === 'sending'
    ? { kind: 'wait', seconds: deadAfterSeconds, reason: 'somebody else has it in hand' }
    : { kind: 'ended', state };
}

async function ownDelivery(
  tx: DatabaseTransaction,
  { ownerId, id }: DropRef,
  deliveryId: string,
): Promise<LockedDelivery> {
  const delivery = await lockDelivery(tx, deliveryId);
  if (delivery?.drop.ownerId !== ownerId || delivery.drop.id !== id)
    throw new DomainError('NOT_FOUND', `no delivery ${deliveryId} of ${id}`);
  return delivery;
}

/** Of the post that a person last asked for. */
async function attemptsOf(tx: DatabaseTransaction, { id, again }: LockedDelivery): Promise<PastAttempt[]> {
  const { rows } =
    await sql<PastAttempt>`select outcome, extract(epoch from clock_timestamp() - began_at)::float8 as age
    from delivery_attempts where delivery_id = ${id} and again = ${again} and outcome is not null order by attempt`.execute(
      tx,
    );
  return rows;
}

/** However late it is, nothing that a schedule has composed goes out in the quiet hours. */
async function quietSeconds(tx: DatabaseTransaction, { drop }: LockedDelivery): Promise<number> {
  const quiet = await quietHoursOf(tx, { dropId: drop.id });
  if (quiet === undefined) return 0;
  const { at } = await tx.selectNoFrom(sql<Date>`clock_timestamp()`.as('at')).executeTakeFirstOrThrow();
  return (afterQuiet(quiet, at).getTime() - at.getTime()) / 1000;
}

/** Whether an attempt in doubt was made with other secrets than the channel has now, where its key lives at its account. */
function isOfOthers({ kind, channel }: LockedDelivery, doubt: PastAttempt): boolean {
  const { keyLife, keyOfPost = false } = channelKindRow(kind);
  return typeof keyLife === 'number' && !keyOfPost && doubt.age > channel.secretsSeconds;
}

function barredText({ words, channel }: LockedDelivery): string | undefined {
  if (words.source === 'extractive' && !channel.allowExtractive)
    return 'the channel takes no text that was put together by rule';
  if (words.degraded && !channel.allowDegraded) return 'the channel takes no text of a model that stood in';
  return undefined;
}

/**
 * Its place in the row of its destination: each attempt takes one, and no two are nearer than the spacing.
 * @param lateSpacing for one that is late: those have a row of their own, in which they stand far apart
 * @returns seconds until its turn; 0: now
 */
async function placeInRow(
  tx: DatabaseTransaction,
  { id, ownerId, kind, channel }: LockedDelivery,
  lateSpacing: number | undefined,
): Promise<number> {
  const late = lateSpacing !== undefined;
  const next = sql.raw(late ? 'next_late_slot' : 'next_slot');
  const { spacing } = channelKindRow(kind);
  // Whoever comes late to a place is not to be followed at once by who has the next one.
  const { rows } = await sql<{ slot: number | null; barred: number; next: number }>`
    select extract(epoch from d.slot_at - clock_timestamp())::float8 as slot,
      extract(epoch from greatest(t.not_before, t.last_at + make_interval(secs => ${spacing})) - clock_timestamp())::float8 as barred,
      extract(epoch from greatest(t.not_before, t.${next}) - clock_timestamp())::float8 as next
    from destinations t, deliveries d
    where t.owner_id = ${ownerId} and t.key = ${channel.destination} and d.id = ${id} for update of t`.execute(tx);
  const { slot, barred, next: free } = rows[0]!;
  if (slot !== null && slot > 0) return Math.max(slot, barred);
  if (slot !== null && slot > -slotSeconds) return Math.max(0, barred);
  const taken = Math.max(0, free, barred);
  await sql`update destinations set ${next} = clock_timestamp() + make_interval(secs => ${taken + (lateSpacing ?? spacing)})
    where owner_id = ${ownerId} and key = ${channel.destination}`.execute(tx);
  await sql`update deliveries set slot_at = clock_timestamp() + make_interval(secs => ${taken}) where id = ${id}`.execute(
    tx,
  );
  return taken;
}

/** What its server wants of everybody who posts there, whatever became of this attempt. */
async function obey(
  tx: DatabaseTransaction,
  delivery: LockedDelivery,
  {
    stopChannel,
    waitSeconds,
    ofService,
    reason,
  }: Pick<AttemptEnd, 'stopChannel' | 'waitSeconds' | 'ofService' | 'reason'>,
): Promise<void> {
  // Channel before destination, as `judge` takes them.
  if (stopChannel === true) await stop(tx, delivery, reason);
  if (waitSeconds === undefined) return;
  const { ownerId, kind, channel } = delivery;
  await leaveAlone(
    tx,
    { ownerId, kind, destination: channel.destination },
    { seconds: waitSeconds, ofService, reason },
  );
}

async function stop(
  tx: DatabaseTransaction,
  { channelId, ownerId, channel }: LockedDelivery,
  reason: string,
): Promise<void> {
  await takeLock(tx, 'channel', channelId);
  await sql`update channels set stopped_at = coalesce(stopped_at, now()), stop_reason = ${reason.slice(0, 300)}
    where id = ${channelId}`.execute(tx);
  await openNotice(tx, {
    id: newId('notice'),
    ownerId,
    kind: 'channel_stopped',
    key: channelNotice(channelId),
    subject: channelId,
    title: `The channel ${channel.name} does not work any more and is stopped`,
    detail: reason,
    action: `soulfra channels resume ${channelId}`,
  });
}

async function tell(
  tx: DatabaseTransaction,
  { id, ownerId, drop, channel }: LockedDelivery,
  state: DropDeliveryState,
  reason: string,
): Promise<void> {
  await tellDelivery(tx, { id, ownerId, dropId: drop.id, channel: channel.name }, state, reason);
}
