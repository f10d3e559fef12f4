import { sql } from 'kysely';
import {
  type DropTimes,
  dropTimesSchema,
  isTimeZone,
  localDay,
  nextDropTime,
  publishTime,
  type QuietHours,
} from '../domain/drop-times.ts';
import { DomainError } from '../domain/errors.ts';
import { compositionWorkflowId, dropWorkflowId } from '../domain/ids.ts';
import type { Database, DatabaseTransaction } from './database.ts';
import { newId } from './ids.ts';
import { insertIntent } from './intents.ts';
import { takeLock } from './locks.ts';
import { openNotice, resolveNotice } from './notices.ts';

export interface DropScheduleRef {
  ownerId: string;
  id: string;
}

/** Whose reflections: one of them. */
export interface DropSubject {
  agentId: string | null;
  clusterId: string | null;
  guildId: string | null;
}

const mostSchedules = 500;
/** Claimed in one transaction. */
const claimed = 50;
/** A drop that has been leaving for so long is looked at: its workflow may be gone. */
const lostAfterSeconds = 300;
const resumed = 50;

interface ScheduleRow extends DropScheduleRef {
  /** Undefined: its time zone is not known here any more. */
  times: DropTimes | undefined;
  timeZone: string;
}

/** @throws NOT_FOUND for what it names · CONFLICT where the owner has as many as one may */
export async function addDropSchedule(
  tx: DatabaseTransaction,
  schedule: DropScheduleRef & DropSubject & { times: DropTimes; channels: readonly string[] },
): Promise<void> {
  const { ownerId, id, times, channels, ...subject } = schedule;
  await takeLock(tx, 'dropSchedules', ownerId);
  const { rows } = await sql<{ total: number; at: Date }>`
    select count(*) as total, now() as at from drop_schedules where owner_id = ${ownerId}`.execute(tx);
  if (rows[0]!.total >= mostSchedules)
    throw new DomainError('CONFLICT', `you have ${rows[0]!.total} schedules already; remove one first`);
  await refuseUnknownSubject(tx, ownerId, subject);
  const there = await tx
    .selectFrom('channels')
    .select('id')
    .where('ownerId', '=', ownerId)
    .where('removedAt', 'is', null)
    .where('id', 'in', [...channels])
    .execute();
  const gone = channels.find((channel) => !there.some((row) => row.id === channel));
  if (gone !== undefined) throw new DomainError('NOT_FOUND', `no channel ${gone}`);
  await tx
    .insertInto('dropSchedules')
    .values({ id, ownerId, ...subject, ...times, nextAt: nextDropTime(times, rows[0]!.at) })
    .execute();
  await tx
    .insertInto('dropScheduleChannels')
    .values(channels.map((channelId) => ({ scheduleId: id, channelId })))
    .execute();
}

async function refuseUnknownSubject(
  tx: DatabaseTransaction,
  ownerId: string,
  { agentId, clusterId, guildId }: DropSubject,
): Promise<void> {
  const { rows } = await sql<{ there: boolean }>`select
    exists (select from agents where id = ${agentId}::text and owner_id = ${ownerId} and state <> 'retired')
    or exists (select from clusters where id = ${clusterId}::text and owner_id = ${ownerId} and state = 'living')
    or exists (select from guilds where id = ${guildId}::text and owner_id = ${ownerId} and state = 'open') as there`.execute(
    tx,
  );
  if (!rows[0]!.there) throw new DomainError('NOT_FOUND', `nobody is ${agentId ?? clusterId ?? guildId ?? 'meant'}`);
}

/** Paused, nothing is composed; taken up again, times that have passed are not made up for. @throws NOT_FOUND */
export async function pauseDropSchedule(
  tx: DatabaseTransaction,
  { ownerId, id }: DropScheduleRef,
  paused: boolean,
): Promise<void> {
  const { times, timeZone } = await lockSchedule(tx, { ownerId, id });
  if (times === undefined && !paused)
    throw new DomainError('CONFLICT', `${unknownZone(timeZone)}: remove ${id}, and add it with one that is`);
  const { rows } = await sql<{ at: Date }>`select now() as at`.execute(tx);
  await tx
    .updateTable('dropSchedules')
    .set({ paused, ...(times === undefined ? {} : { nextAt: nextDropTime(times, rows[0]!.at) }) })
    .where('id', '=', id)
    .execute();
}

/** What it has composed stays. @throws NOT_FOUND */
export async function removeDropSchedule(tx: DatabaseTransaction, ref: DropScheduleRef): Promise<void> {
  await lockSchedule(tx, ref);
  await tx.deleteFrom('dropSchedules').where('id', '=', ref.id).execute();
  await resolveNotice(tx, scheduleNotice(ref.id));
}

async function lockSchedule(tx: DatabaseTransaction, { ownerId, id }: DropScheduleRef): Promise<ScheduleRow> {
  const row = await tx
    .selectFrom('dropSchedules')
    .selectAll()
    .where('id', '=', id)
    .where('ownerId', '=', ownerId)
    .forUpdate()
    .executeTakeFirst();
  if (!row) throw new DomainError('NOT_FOUND', `no schedule ${id}`);
  return { id, ownerId, times: timesOf(row), timeZone: row.timeZone };
}

const unknownZone = (timeZone: string) => `the time zone ${timeZone} is not known here any more`;

/** Undefined where its time zone has gone since: names of places come and go with each edition of Node. */
function timesOf(row: {
  times: string[];
  weekdays: number[];
  timeZone: string;
  jitterMinutes: number;
  quietFrom: string | null;
  quietTo: string | null;
  perDay: number;
}): DropTimes | undefined {
  if (!isTimeZone(row.timeZone)) return undefined;
  const { times, weekdays, timeZone, jitterMinutes, quietFrom, quietTo, perDay } = row;
  return dropTimesSchema.parse({ times, weekdays, timeZone, jitterMinutes, quietFrom, quietTo, perDay });
}

export function createDropScheduleStore(db: Database) {
  return {
    /**
     * Takes up what is due: for each a composition and its workflow, and the next time, in one transaction. However many times have
     * passed meanwhile, one drop is composed for them, and none where the last is older than `missedAfter`.
     * @returns schedules taken up
     */
    async claimDue({ missedAfter }: { missedAfter: number }): Promise<number> {
      return db.transaction().execute(async (tx) => {
        const due = await tx
          .selectFrom('dropSchedules')
          .selectAll()
          .select(sql<Date>`now()`.as('at'))
          .where('paused', '=', false)
          .where('nextAt', '<=', sql<Date>`now()`)
          .orderBy('nextAt')
          .limit(claimed)
          .forUpdate()
          .skipLocked()
          .execute();
        for (const row of due) {
          const times = timesOf(row);
          if (times === undefined) {
            // Nobody can say when it is due: it composes nothing until somebody looks, and holds up no other.
            await tx
              .updateTable('dropSchedules')
              .set({ paused: true, note: unknownZone(row.timeZone) })
              .where('id', '=', row.id)
              .execute();
            await tellUnknownZone(tx, row);
            continue;
          }
          const period = lastTime(times, row.nextAt, row.at);
          const missed = row.at.getTime() - period.getTime() > missedAfter * 1000;
          const note = missed ? `missed: ${period.toISOString()} was too long ago` : '';
          if (!missed) await openComposition(tx, row, { times, period, missedAfter });
          await tx
            .updateTable('dropSchedules')
            .set({ nextAt: nextDropTime(times, row.at), note })
            .where('id', '=', row.id)
            .execute();
        }
        return due.length;
      });
    },

    /**
     * Scheduled drops whose time is past: their workflows were not told, or a signal was lost. One that is still there some minutes later
     * has none any more, as somebody ended it: it is begun anew, which one that runs does not notice.
     */
    async overdueDrops(): Promise<string[]> {
      return db.transaction().execute(async (tx) => {
        const { rows } = await sql<{ id: string; lost: boolean }>`
          select id, publish_at < now() - interval '5 minutes' as lost from drops where state = 'scheduled'
          and publish_at < now() - interval '1 minute' order by publish_at limit 50`.execute(tx);
        for (const { id: dropId } of rows.filter(({ lost }) => lost))
          await insertIntent(tx, { workflowId: dropWorkflowId(dropId), type: 'publishDrop', args: [{ dropId }] });
        return rows.map(({ id }) => id);
      });
    },

    /**
     * Begins the workflows of drops that are leaving anew, each every few minutes: where one runs, or has done its work, nothing comes of it;
     * where it was ended by somebody, or lost with Temporal's database, another goes on from the rows. What may be there is not sent again
     * for that: each attempt is in them.
     */
    async resumePublishing(): Promise<number> {
      return db.transaction().execute(async (tx) => {
        const { rows } = await sql<{ id: string }>`update drops set begun_at = now() where id in (
          select id from drops where state = 'publishing' and begun_at < now() - make_interval(secs => ${lostAfterSeconds})
          order by begun_at limit ${resumed} for update skip locked) returning id`.execute(tx);
        if (rows.length === 0) return 0;
        const open = await tx
          .selectFrom('deliveries')
          .select(['id', 'dropId', 'channelId', 'again'])
          .where(
            'dropId',
            'in',
            rows.map(({ id }) => id),
          )
          .where('state', 'in', ['pending', 'sending'])
          .execute();
        // What a person has asked for again has a workflow of its own.
        for (const { id: deliveryId, dropId, channelId, again: count } of open)
          await insertIntent(
            tx,
            count === 0
              ? { workflowId: dropWorkflowId(dropId), type: 'publishDrop', args: [{ dropId }] }
              : {
                  workflowId: dropWorkflowId(dropId, { channelId, count }),
                  type: 'publishDrop',
                  args: [{ dropId, deliveryId }],
                },
          );
        return rows.length;
      });
    },
  };
}
export type DropScheduleStore = ReturnType<typeof createDropScheduleStore>;

async function tellUnknownZone(
  tx: DatabaseTransaction,
  { ownerId, id, timeZone }: DropScheduleRef & { timeZone: string },
) {
  await openNotice(tx, {
    id: newId('notice'),
    ownerId,
    kind: 'drop_schedule_paused',
    key: scheduleNotice(id),
    subject: id,
    title: 'A schedule of drops is paused: nobody can say when it is due',
    detail: unknownZone(timeZone),
    action: `soulfra drops schedule remove ${id}, and soulfra drops schedule add … with another --time-zone`,
  });
}

const scheduleNotice = (id: string) => `drop-schedule:${id}`;

/**
 * The schedule's, or that of the schedule which has composed a drop, with its cap; nothing where there is none. Where its time zone is
 * not known any more they are those of UTC: what is made by then goes out.
 */
export async function quietHoursOf(
  tx: DatabaseTransaction,
  of: { scheduleId: string } | { dropId: string },
): Promise<(QuietHours & Pick<DropTimes, 'perDay'>) | undefined> {
  const { rows } = await sql<QuietHours & Pick<DropTimes, 'perDay'>>`
    select s.quiet_from as "quietFrom", s.quiet_to as "quietTo", s.time_zone as "timeZone", s.per_day as "perDay" from drop_schedules s
    where ${'scheduleId' in of ? sql`s.id = ${of.scheduleId}` : sql`s.id in (select c.schedule_id from compositions c where c.drop_id = ${of.dropId})`}`.execute(
    tx,
  );
  const [row] = rows;
  return row === undefined || isTimeZone(row.timeZone) ? row : { ...row, timeZone: 'UTC' };
}

/** The last of the times from the one that was due up to now. */
function lastTime(times: DropTimes, due: Date, now: Date): Date {
  // A week has every time, so that older ones need not be walked through.
  let last = due;
  let next = nextDropTime(times, new Date(Math.max(due.getTime(), now.getTime() - 8 * 86_400_000)));
  while (next.getTime() <= now.getTime()) {
    last = next;
    next = nextDropTime(times, next);
  }
  return last;
}

/** Drops that a schedule has made, or is making, for the local day of a moment. @param but this composition is not counted */
export async function dropsOfDay(
  tx: DatabaseTransaction,
  { scheduleId, timeZone, at, but = '' }: { scheduleId: string; timeZone: string; at: Date; but?: string },
): Promise<number> {
  const near = await tx
    .selectFrom('compositions')
    .select('publishAt')
    .where('scheduleId', '=', scheduleId)
    .where('id', '<>', but)
    .where('state', 'in', ['composing', 'composed'])
    .where('publishAt', '>', new Date(at.getTime() - 2 * 86_400_000))
    .execute();
  const day = localDay(at, timeZone);
  return near.filter((one) => localDay(one.publishAt, timeZone) === day).length;
}

export const cappedReason = (made: number) => `${made} drops of that day are there already`;

/** Why nothing is composed for a time; undefined: it is. */
async function whyNot(
  tx: DatabaseTransaction,
  scheduleId: string,
  { times, publishAt, missedAfter }: { times: DropTimes; publishAt: Date; missedAfter: number },
): Promise<string | undefined> {
  // What waits for a machine and for hours would come out all at once, and say the same.
  const { rows } = await sql`select from compositions where schedule_id = ${scheduleId} and state = 'composing'
    and created_at > now() - make_interval(secs => ${missedAfter}) limit 1`.execute(tx);
  if (rows.length > 0) return 'the drop of an earlier time is still being composed, and is of this time, too';
  const made = await dropsOfDay(tx, { scheduleId, timeZone: times.timeZone, at: publishAt });
  return made >= times.perDay ? cappedReason(made) : undefined;
}

async function openComposition(
  tx: DatabaseTransaction,
  { id: scheduleId, ownerId }: DropScheduleRef,
  { times, period, missedAfter }: { times: DropTimes; period: Date; missedAfter: number },
): Promise<void> {
  const publishAt = publishTime(times, period, scheduleId);
  const reason = await whyNot(tx, scheduleId, { times, publishAt, missedAfter });
  const id = newId('composition');
  const inserted = await tx
    .insertInto('compositions')
    .values({
      id,
      ownerId,
      scheduleId,
      period,
      publishAt,
      ...(reason === undefined ? {} : { state: 'capped', reason, endedAt: sql<Date>`now()` }),
    })
    .onConflict((conflict) => conflict.columns(['scheduleId', 'period']).doNothing())
    .returning('id')
    .executeTakeFirst();
  if (inserted === undefined || reason !== undefined) return;
  await insertIntent(tx, {
    workflowId: compositionWorkflowId(id),
    type: 'composeDrop',
    args: [{ compositionId: id }],
  });
}
