import { sql } from 'kysely';
import type { Executor } from '../database.ts';
import type { DropSubject } from '../drop-schedules.ts';
import { iso, type PageRequest } from './page.ts';

export interface DropScheduleView extends DropSubject {
  id: string;
  times: string[];
  weekdays: number[];
  timeZone: string;
  jitterMinutes: number;
  quietFrom: string | null;
  quietTo: string | null;
  perDay: number;
  channels: string[];
  paused: boolean;
  note: string;
  nextAt: string;
  createdAt: string;
}

function schedulesOf(db: Executor, ownerId: string) {
  return db
    .selectFrom('dropSchedules')
    .select(['id', 'agentId', 'clusterId', 'guildId', 'times', 'weekdays', 'timeZone', 'jitterMinutes', 'quietFrom'])
    .select(['quietTo', 'perDay', 'paused', 'note', 'nextAt', 'createdAt'])
    .select(
      sql<
        string[]
      >`array(select c.channel_id from drop_schedule_channels c where c.schedule_id = drop_schedules.id order by c.channel_id)`.as(
        'channels',
      ),
    )
    .where('ownerId', '=', ownerId);
}

type Row = Awaited<ReturnType<ReturnType<typeof schedulesOf>['executeTakeFirstOrThrow']>>;
const viewOf = (row: Row): DropScheduleView => ({ ...row, nextAt: iso(row.nextAt), createdAt: iso(row.createdAt) });

/** The last made first. */
export async function listDropSchedules(db: Executor, page: PageRequest): Promise<DropScheduleView[]> {
  let query = schedulesOf(db, page.ownerId);
  if (page.after !== undefined) query = query.where('id', '<', page.after);
  return (await query.orderBy('id', 'desc').limit(page.limit).execute()).map(viewOf);
}

export async function findDropSchedule(
  db: Executor,
  ownerId: string,
  id: string,
): Promise<DropScheduleView | undefined> {
  const row = await schedulesOf(db, ownerId).where('id', '=', id).executeTakeFirst();
  return row && viewOf(row);
}
