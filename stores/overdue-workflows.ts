import { sql } from 'kysely';
import {
  ballotWorkflowId,
  compositionWorkflowId,
  inviteWorkflowId,
  mailWorkflowId,
  notificationWorkflowId,
  rollbackWorkflowId,
  rolloutWorkflowId,
  webhookDeliveryWorkflowId,
  workWorkflowId,
} from '../domain/ids.ts';
import { sweepOverdueSeconds } from '../domain/sweeps.ts';
import type { Database, Executor } from './database.ts';
import { type Intent, insertIntent } from './intents.ts';

/** Rows whose workflows should have gone on by now, by noun. */
export interface OverdueRows {
  ballots: number;
  invites: number;
  compositions: number;
  notifications: number;
  mails: number;
  webhookDeliveries: number;
  rollouts: number;
  runs: number;
  works: number;
  sweeps: number;
}

/** Looked at by one transaction, in no order: more of them that only take long hold up none that is lost. */
const page = 100;
/** What is not done so long after its time is looked at, in seconds. */
const overdueSeconds = 300;
/** A run takes as long as its model does. */
const runOverdueSeconds = 3_600;

/**
 * Workflows that somebody ended, or that were lost with Temporal's database: those of rows that should have gone on are begun anew
 * under the same id, and go on from the row. Where one runs, or has done its work, nothing comes of it. Drops have their own look.
 */
export function createOverdueWorkflowStore(db: Database) {
  return {
    resume: (): Promise<OverdueRows> => db.transaction().execute((tx) => beginAnew(tx)),
  };
}

/**
 * @param all every row that has not ended, late or not: for a Temporal that knows of none of them
 * @returns how many rows of each noun were asked for
 */
export async function beginAnew(tx: Executor, { all = false } = {}): Promise<OverdueRows> {
  /** Whether the time in a column is past by so much. */
  const isPast = (column: string, seconds = overdueSeconds) =>
    all ? sql`true` : sql`${sql.ref(column)} < now() - make_interval(secs => ${seconds})`;
  const isSilent = all
    ? sql`true`
    : sql`(task_token is null or (state = 'running' and not exists (select from work_attempts a where a.work_id = k.id
        and a.attempt = k.attempt and a.beat_at > now() - make_interval(secs => 3 * k.lease_seconds))))`;
  const begin = (rowsThatWait: ReturnType<typeof sql>, intentOf: (id: string, part: string) => Intent) =>
    ask(tx, rowsThatWait, intentOf, all ? null : page);
  return {
    // The discussion, the vote, or the effect is over.
    ballots: await begin(
      sql`(select id from ballots where ended_at is null and ((state = 'discussion' and ${isPast('opens_at')})
        or (state = 'open' and ${isPast('closes_at')}) or (state = 'passed' and ${isPast('closed_at')}))) b`,
      (ballotId) => ({ workflowId: ballotWorkflowId(ballotId), type: 'holdBallot', args: [{ ballotId }] }),
    ),
    invites: await begin(
      sql`(select id from guild_invites where state = 'pending' and ${isPast('expires_at')}) i`,
      (inviteId) => ({
        workflowId: inviteWorkflowId(inviteId),
        type: 'inviteToGuild',
        args: [{ inviteId, continued: true }],
      }),
    ),
    compositions: await begin(
      sql`(select id from compositions where state = 'composing' and ${isPast('created_at')}) c`,
      (compositionId) => ({
        workflowId: compositionWorkflowId(compositionId),
        type: 'composeDrop',
        args: [{ compositionId }],
      }),
    ),
    // Until it is sent or given up, nothing else is told there.
    notifications: await begin(
      sql`(select id from notifications where ended_at is null and ${isPast('created_at')}) n`,
      (notificationId) => ({
        workflowId: notificationWorkflowId(notificationId),
        type: 'sendNotification',
        args: [{ notificationId }],
      }),
    ),
    mails: await begin(
      sql`(select id, resends::text as part from mails where ended_at is null and ${isPast('queued_at')}) m`,
      (mailId, resend) => ({
        workflowId: mailWorkflowId(mailId, Number(resend)),
        type: 'sendMail',
        args: [{ mailId }],
      }),
    ),
    webhookDeliveries: await begin(
      sql`(select id, redeliveries::text as part from webhook_deliveries
        where ended_at is null and ${isPast('created_at')}) d`,
      (deliveryId, redelivery) => ({
        workflowId: webhookDeliveryWorkflowId(deliveryId, Number(redelivery)),
        type: 'deliverWebhook',
        args: [{ deliveryId }],
      }),
    ),
    // One that was done has another workflow for its rollback; where the first one still runs, a second waits beside it.
    rollouts: await begin(
      sql`(select id, state as part from rollouts where ended_at is null and ${isPast('changed_at')}) r`,
      (rolloutId, state) => ({
        workflowId: state === 'rolling_back' ? rollbackWorkflowId(rolloutId) : rolloutWorkflowId(rolloutId),
        type: 'rollOut',
        args: [{ rolloutId }],
      }),
    ),
    // Its row is open, so no other run of the agent begins. One whose workflow has not begun is its sweep's.
    runs: await begin(
      sql`(select workflow_id as id, json_build_object('agentId', agent_id, 'period', period, 'trigger', trigger)::text as part
        from runs where state in ('queued', 'running', 'parked') and temporal_run_id is not null
          and ${isPast('created_at', runOverdueSeconds)}) r`,
      (workflowId, input) => ({ workflowId, type: 'reflectAgent', args: [JSON.parse(input)] }),
    ),
    // What nobody offers, and whose claimer is silent, has a workflow that waits for a while, or none.
    works: await begin(
      sql`(select id, service_id as part from works k where ended_at is null and ${isPast('created_at')}
        and ${isSilent}) w`,
      (workId, serviceId) => ({
        workflowId: workWorkflowId(workId),
        type: 'runWork',
        args: [{ workId, serviceId }],
      }),
    ),
    // Rows that it has not begun are nobody's else, and keep their agents from every later run.
    sweeps: await begin(
      sql`(select workflow_id as id, json_build_object('cadence', cadence, 'trigger', trigger, 'period', period, 'resume',
          json_build_object('sweepId', id, 'period', period, 'lost', true,
            'refill', (select coalesce(max(refill), 0) from runs where sweep_id = s.id),
            'started', (select count(*) from runs where sweep_id = s.id and temporal_run_id is not null)))::text as part
        from sweeps s where state = 'running' and ${isPast('started_at', sweepOverdueSeconds)}) w`,
      (workflowId, input) => ({ workflowId, type: 'reflectFleet', args: [JSON.parse(input)] }),
    ),
  };
}

async function ask(
  tx: Executor,
  rowsThatWait: ReturnType<typeof sql>,
  intentOf: (id: string, part: string) => Intent,
  most: number | null,
): Promise<number> {
  const { rows } = await sql<{ id: string; part?: string }>`select * from ${rowsThatWait}
    order by random() limit ${most}`.execute(tx);
  // In one order, since every relay does this; and what waits to be started already is not waited for: the next look is soon.
  const intents = rows
    .map(({ id, part }) => intentOf(id, part ?? ''))
    .toSorted((a, b) => (a.workflowId < b.workflowId ? -1 : 1));
  const { rows: known } = await sql<{ id: string }>`select workflow_id as id from intents
    where workflow_id = any(${intents.map(({ workflowId }) => workflowId)}::text[])`.execute(tx);
  const asked = new Set(known.map(({ id }) => id));
  for (const intent of intents) if (!asked.has(intent.workflowId)) await insertIntent(tx, intent);
  return rows.length;
}
