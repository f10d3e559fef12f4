import { createHash, randomBytes } from 'node:crypto';
import { sql } from 'kysely';
import { hashTextOf, isDeeperThan, mostJsonDepth } from '../domain/any-json.ts';
import { DomainError } from '../domain/errors.ts';
import { workWorkflowId } from '../domain/ids.ts';
import { isEndedWork, type WorkOutcome, type WorkState } from '../domain/states.ts';
import { externalQueue } from '../domain/task-queues.ts';
import {
  type BegunWork,
  jsonBytes,
  mostOpenWorks,
  mostWorkBytes,
  mostWorkReason,
  type WorkJoin,
} from '../domain/work.ts';
import type { Database, DatabaseTransaction, Executor } from './database.ts';
import { newId } from './ids.ts';
import { insertIntent } from './intents.ts';
import { openNotice } from './notices.ts';

/** NOTIFY: work can be claimed. */
export const workOffersChannel = 'work_offers';
/** NOTIFY: work was submitted, claimed or ended. */
export const worksChannel = 'works';

export interface NewWork {
  id: string;
  ownerId: string;
  serviceId: string;
  /** The service that submits it; null: a person. */
  submittedBy: string | null;
  input: unknown;
  priority: number;
  attempts: number;
  leaseSeconds: number;
  deadline: Date | undefined;
  /** Where none was named. */
  deadlineSeconds: number;
  requestHash: Buffer;
}

/** What a claimer is given, and what tells Temporal of it. */
export interface Claim {
  workId: string;
  attempt: number;
  /** Told this one time. */
  token: string;
  taskToken: Buffer;
  input: unknown;
  leaseSeconds: number;
  /** Since it could be claimed. */
  waitedSeconds: number;
}

export type WorkAnswer =
  | { kind: 'completed'; result: unknown }
  | { kind: 'failed'; reason: string; retryable: boolean };

/** What came of an answer, the same however often it comes. */
export interface Answered {
  workId: string;
  attempt: number;
  state: WorkState;
  taskToken: Buffer;
}

/** Of an offer to claimers. */
export interface Offer {
  state: WorkState;
  serviceId: string;
  /** The attempt before it ran out of its lease. */
  lost: boolean;
}

export interface UnclaimedWork {
  ownerId: string;
  serviceId: string;
  queue: string;
  joins: WorkJoin;
  pieces: number;
}

interface WorkRow {
  id: string;
  serviceId: string;
  state: WorkState;
  attempt: number;
  attempts: number;
}

/** Work may wait this long before somebody is told that nobody takes it. */
const unclaimedAfter = sql`interval '5 minutes'`;

const hashOf = (token: string) => createHash('sha256').update(token).digest();
const notify = (tx: Executor, channel: string) => sql`select pg_notify(${channel}, '')`.execute(tx);

/**
 * Takes work in and asks for its workflow. The same work again is what it was.
 * @throws NOT_FOUND · SERVICE_TAKES_NO_WORK · INVALID_INPUT where its deadline has passed · RATE_LIMITED · CONFLICT where the id
 * came before with other content
 */
export async function submitWork(tx: DatabaseTransaction, work: NewWork): Promise<void> {
  const known = await tx.selectFrom('works').select('requestHash').where('id', '=', work.id).executeTakeFirst();
  if (known !== undefined) return sameRequest(known.requestHash, work.requestHash);
  const service = await tx
    .selectFrom('services')
    .select(sql<string | null>`spec->>'joins'`.as('joins'))
    .where('id', '=', work.serviceId)
    .where('ownerId', '=', work.ownerId)
    .where('retiredAt', 'is', null)
    .executeTakeFirst();
  if (!service) throw new DomainError('NOT_FOUND', `no service ${work.serviceId}; the files of fleet.d name them`);
  if (service.joins !== 'work' && service.joins !== 'native')
    throw new DomainError('SERVICE_TAKES_NO_WORK', `the entry of ${work.serviceId} has no \`joins\``);
  const { deadline, deadlineSeconds, input, ...row } = work;
  // Here and not where the body is read: the same work again is no error because its deadline has come meanwhile.
  if (deadline !== undefined && deadline.getTime() <= Date.now()) {
    throw new DomainError('INVALID_INPUT', 'the deadline has passed', {
      fields: [{ path: 'deadline', rule: 'must be in the future', mend: 'Name a later time.' }],
    });
  }
  const { rows: full } = await sql`select from works where service_id = ${work.serviceId} and ended_at is null
    offset ${mostOpenWorks - 1} limit 1`.execute(tx);
  if (full.length > 0)
    throw new DomainError('RATE_LIMITED', `${work.serviceId} has ${mostOpenWorks} open pieces of work already`);
  const inserted = await tx
    .insertInto('works')
    .values({
      ...row,
      queue: externalQueue(work.serviceId),
      joins: service.joins,
      input: JSON.stringify(input),
      deadline: deadline ?? sql<Date>`now() + make_interval(secs => ${deadlineSeconds})`,
    })
    .onConflict((conflict) => conflict.column('id').doNothing())
    .returning('id')
    .executeTakeFirst();
  if (inserted === undefined) {
    // It came twice at the same moment.
    const other = await tx
      .selectFrom('works')
      .select('requestHash')
      .where('id', '=', work.id)
      .executeTakeFirstOrThrow();
    return sameRequest(other.requestHash, work.requestHash);
  }
  await insertIntent(tx, {
    workflowId: workWorkflowId(work.id),
    type: 'runWork',
    args: [{ workId: work.id, serviceId: work.serviceId }],
  });
  await notify(tx, worksChannel);
}

function sameRequest(known: Buffer, asked: Buffer): void {
  if (!known.equals(asked)) throw new DomainError('CONFLICT', 'this Idempotency-Key came before with other content');
}

/** Canceled by a person. @returns what it is now; what has ended stays as it was. @throws NOT_FOUND */
export async function cancelWork(tx: DatabaseTransaction, ownerId: string, id: string): Promise<WorkState> {
  const owned = await tx
    .selectFrom('works')
    .select('id')
    .where('id', '=', id)
    .where('ownerId', '=', ownerId)
    .executeTakeFirst();
  if (!owned) throw new DomainError('NOT_FOUND', `no work ${id}`);
  return endOf(tx, id, { state: 'canceled', reason: 'canceled by hand' });
}

async function lockWork(tx: DatabaseTransaction, id: string): Promise<WorkRow> {
  const { rows } = await sql<WorkRow>`select id, service_id as "serviceId", state, attempt, attempts from works
    where id = ${id} for no key update`.execute(tx);
  const [row] = rows;
  if (!row) throw new DomainError('NOT_FOUND', `no work ${id}`);
  return row;
}

async function endAttempt(tx: DatabaseTransaction, { id, attempt }: WorkRow, outcome: WorkOutcome, reason: string) {
  await sql`update work_attempts set outcome = ${outcome}, reason = ${reason}, ended_at = now()
    where work_id = ${id} and attempt = ${attempt} and ended_at is null`.execute(tx);
}

interface WorkEnd {
  state: 'completed' | 'failed' | 'expired' | 'canceled';
  reason: string;
  result?: unknown;
}

async function setEnded(tx: DatabaseTransaction, id: string, { state, reason, result }: WorkEnd): Promise<void> {
  await sql`update works set state = ${state}, reason = ${reason}, ended_at = now(), task_token = null,
    result = ${state === 'completed' ? JSON.stringify(result ?? null) : null} where id = ${id}`.execute(tx);
  await notify(tx, worksChannel);
}

/** Ends work that is open; what has ended stays as it was. */
async function endOf(tx: DatabaseTransaction, id: string, end: WorkEnd): Promise<WorkState> {
  const row = await lockWork(tx, id);
  if (isEndedWork(row.state)) return row.state;
  if (row.state === 'running') await endAttempt(tx, row, end.state, end.reason);
  await setEnded(tx, id, end);
  return end.state;
}

/** Why an answer or a heartbeat is not taken. */
async function leaseLost(db: Executor, serviceId: string, token: string): Promise<DomainError> {
  const { rows } = await sql<{
    id: string;
    state: WorkState;
    attempt: number;
    outcome: WorkOutcome | null;
    reason: string;
  }>`
    select w.id, w.state, a.attempt, a.outcome, w.reason from work_attempts a join works w on w.id = a.work_id
    where a.token_hash = ${hashOf(token)} and a.service_id = ${serviceId}`.execute(db);
  const [row] = rows;
  const why =
    row === undefined
      ? 'no attempt of this service has this token'
      : row.outcome === 'lost'
        ? `the lease of attempt ${row.attempt} of ${row.id} ran out`
        : `${row.id} is ${row.state}${row.reason === '' ? '' : `: ${row.reason}`}`;
  return new DomainError('WORK_LEASE_LOST', why);
}

/**
 * Gives the next work of a service to exactly one claimer: by priority, then by age. Temporal has still to be asked whether the
 * offer stands; where it does not, `giveBack`.
 */
export async function claimWork(tx: DatabaseTransaction, serviceId: string): Promise<Claim | undefined> {
  const token = `swk_${randomBytes(32).toString('base64url')}`;
  const { rows } = await sql<Omit<Claim, 'token'>>`
    with next as (select id from works where service_id = ${serviceId} and state = 'queued' and task_token is not null
      and deadline > now() order by priority, created_at, id limit 1 for no key update skip locked)
    update works w set state = 'running', attempt = w.attempt + 1, started_at = coalesce(w.started_at, now()), reason = ''
    from next where w.id = next.id
    returning w.id as "workId", w.attempt, w.task_token as "taskToken", w.input, w.lease_seconds as "leaseSeconds",
      extract(epoch from now() - w.offered_at)::float8 as "waitedSeconds"`.execute(tx);
  const [row] = rows;
  if (!row) return undefined;
  await sql`insert into work_attempts (work_id, attempt, service_id, token_hash, task_token)
    values (${row.workId}, ${row.attempt}, ${serviceId}, ${hashOf(token)}, ${row.taskToken})`.execute(tx);
  await notify(tx, worksChannel);
  return { ...row, token };
}

/** A heartbeat, written down. @throws WORK_LEASE_LOST where the token holds nothing any more */
export async function beatWork(
  tx: DatabaseTransaction,
  serviceId: string,
  token: string,
): Promise<{ workId: string; taskToken: Buffer; leaseSeconds: number }> {
  const { rows } = await sql<{ workId: string; taskToken: Buffer; leaseSeconds: number }>`
    update work_attempts a set beat_at = now() from works w
    where a.token_hash = ${hashOf(token)} and a.service_id = ${serviceId} and a.ended_at is null
      and w.id = a.work_id and w.state = 'running' and w.attempt = a.attempt
    returning w.id as "workId", a.task_token as "taskToken", w.lease_seconds as "leaseSeconds"`.execute(tx);
  if (!rows[0]) throw await leaseLost(tx, serviceId, token);
  return rows[0];
}

/**
 * What a claimer answers: the committed row is what counts, whatever Temporal hears of it, and when.
 * @throws WORK_LEASE_LOST · CONFLICT where the attempt was answered differently before
 */
export async function answerWork(
  tx: DatabaseTransaction,
  serviceId: string,
  token: string,
  answer: WorkAnswer,
): Promise<Answered> {
  const answerHash = createHash('sha256').update(hashTextOf(answer)).digest();
  const claim = await tx
    .selectFrom('workAttempts')
    .select(['workId', 'attempt', 'taskToken'])
    .where('tokenHash', '=', hashOf(token))
    .where('serviceId', '=', serviceId)
    .executeTakeFirst();
  if (!claim) throw await leaseLost(tx, serviceId, token);
  const { workId, attempt, taskToken } = claim;
  const row = await lockWork(tx, workId);
  // Under the lock: another answer may have come in between.
  const now = await tx
    .selectFrom('workAttempts')
    .select(['answerHash', 'endedAt'])
    .where('workId', '=', workId)
    .where('attempt', '=', attempt)
    .executeTakeFirst();
  const told = (state: WorkState): Answered => ({ workId, attempt, state, taskToken });
  if (now?.answerHash) {
    if (now.answerHash.equals(answerHash))
      return told(answer.kind === 'completed' ? 'completed' : stateAfter({ ...row, attempt }, answer));
    throw new DomainError('CONFLICT', `attempt ${attempt} of ${workId} was answered differently before`);
  }
  if (!now || now.endedAt !== null || row.state !== 'running' || row.attempt !== attempt)
    throw await leaseLost(tx, serviceId, token);
  await sql`update work_attempts set answer_hash = ${answerHash} where work_id = ${workId} and attempt = ${attempt}`.execute(
    tx,
  );
  const reason = answer.kind === 'failed' ? answer.reason.slice(0, mostWorkReason) : '';
  await endAttempt(tx, row, answer.kind, reason);
  if (answer.kind === 'completed') {
    await setEnded(tx, workId, { state: 'completed', reason: '', result: answer.result });
    return told('completed');
  }
  const state = stateAfter(row, answer);
  if (state === 'failed') await setEnded(tx, workId, { state, reason });
  else {
    await sql`update works set state = 'queued', task_token = null, offered_at = null, reason = ${reason}
      where id = ${workId}`.execute(tx);
  }
  return told(state);
}

export function createWorkStore(db: Database) {
  return {
    claim: (serviceId: string) => db.transaction().execute((tx) => claimWork(tx, serviceId)),

    /**
     * A claim that nobody got: it counts as none. The work waits for its next offer, or, where this one may stand still, for
     * whoever claims next.
     */
    async giveBack({ workId, attempt }: Pick<Claim, 'workId' | 'attempt'>, mayStand = false): Promise<void> {
      await db.transaction().execute(async (tx) => {
        const row = await lockWork(tx, workId);
        if (row.state !== 'running' || row.attempt !== attempt) return;
        await sql`delete from work_attempts where work_id = ${workId} and attempt = ${attempt}`.execute(tx);
        await sql`update works set state = 'queued', attempt = attempt - 1
          ${mayStand ? sql`` : sql`, task_token = null, offered_at = null`} where id = ${workId}`.execute(tx);
      });
    },

    /** What the workflow goes by. @throws NOT_FOUND */
    async begin(id: string): Promise<BegunWork> {
      const row = await db
        .selectFrom('works')
        .select(['state', 'joins', 'queue', 'priority', 'attempts', 'leaseSeconds', 'serviceId', 'input'])
        .select(sql<number>`greatest(extract(epoch from deadline - now()), 0)::float8`.as('remainingSeconds'))
        .where('id', '=', id)
        .executeTakeFirst();
      if (!row) throw new DomainError('NOT_FOUND', `no work ${id}`);
      const { serviceId: service, input, ...rest } = row;
      const { leaseSeconds } = row;
      return {
        ...rest,
        state: row.state as WorkState,
        joins: row.joins as WorkJoin,
        native: row.joins === 'native' ? { workId: id, service, input, leaseSeconds } : undefined,
      };
    },

    /**
     * Temporal has given an attempt to us: from now on the work can be claimed. Whoever had it before has lost it, unless it has
     * answered: then that is the end.
     */
    async offer(id: string, taskToken: Uint8Array): Promise<Offer> {
      return db.transaction().execute(async (tx) => {
        const row = await lockWork(tx, id);
        const { serviceId } = row;
        if (isEndedWork(row.state)) return { state: row.state, serviceId, lost: false };
        const lost = row.state === 'running';
        if (lost) {
          await endAttempt(tx, row, 'lost', 'its lease ran out');
          if (row.attempt >= row.attempts) {
            const reason = `the lease of attempt ${row.attempt} ran out, and it was the last one`;
            await setEnded(tx, id, { state: 'failed', reason });
            return { state: 'failed', serviceId, lost };
          }
        }
        await sql`update works set state = 'queued', task_token = ${Buffer.from(taskToken)}, offered_at = now()
          ${lost ? sql`, reason = ${`the lease of attempt ${row.attempt} ran out`}` : sql``} where id = ${id}`.execute(
          tx,
        );
        await notify(tx, workOffersChannel);
        return { state: 'queued', serviceId, lost };
      });
    },

    /** Nobody has claimed it, and we can offer it no longer. @returns whether it was so; else somebody has it, or it has ended */
    async withdraw(id: string, taskToken: Uint8Array): Promise<boolean> {
      const done = await sql`update works set task_token = null, offered_at = null
        where id = ${id} and state = 'queued' and task_token = ${Buffer.from(taskToken)}`.execute(db);
      return (done.numAffectedRows ?? 0n) > 0n;
    },

    /** Of work that we offer: that which is offered no longer, with what it is now. */
    async settled(ids: readonly string[]): Promise<Array<{ id: string; state: WorkState }>> {
      const { rows } = await sql<{ id: string; state: WorkState }>`select id, state from works
        where id = any(${ids}::text[]) and (state <> 'queued' or task_token is null)`.execute(db);
      return rows;
    },

    /** Ends what is open; what has ended stays as it was. */
    end(id: string, end: WorkEnd): Promise<WorkState> {
      const wrong = isDeeperThan(end.result, mostJsonDepth)
        ? `its result is nested deeper than ${mostJsonDepth}`
        : end.result !== undefined && jsonBytes(end.result) > mostWorkBytes
          ? `its result is over ${mostWorkBytes} bytes`
          : undefined;
      const said: WorkEnd = wrong === undefined ? end : { state: 'failed', reason: wrong };
      return db.transaction().execute((tx) => endOf(tx, id, { ...said, reason: said.reason.slice(0, mostWorkReason) }));
    },

    /** Services whose work waits while nobody claims any; of native ones Temporal has to be asked who polls. */
    async unclaimed(): Promise<UnclaimedWork[]> {
      const { rows } = await sql<UnclaimedWork>`
        select w.owner_id as "ownerId", w.service_id as "serviceId", w.queue, w.joins, count(*) as pieces
        from works w where w.state = 'queued' and case w.joins
          when 'work' then w.offered_at < now() - ${unclaimedAfter} and not exists (select from work_attempts a
            where a.service_id = w.service_id and a.claimed_at > now() - ${unclaimedAfter})
          else w.created_at < now() - ${unclaimedAfter} end
        group by 1, 2, 3, 4 order by 2`.execute(db);
      return rows;
    },

    /** Opens a notice for each, and closes those of all others. */
    async tellUnclaimed(unclaimed: readonly UnclaimedWork[]): Promise<void> {
      const keyOf = ({ serviceId }: UnclaimedWork) => `work_unclaimed:${serviceId}`;
      await db.transaction().execute(async (tx) => {
        for (const one of unclaimed) {
          await openNotice(tx, {
            id: newId('notice'),
            ownerId: one.ownerId,
            kind: 'work_unclaimed',
            key: keyOf(one),
            subject: one.serviceId,
            title: `Nobody takes the work of ${one.serviceId}`,
            detail: `${one.pieces} ${one.pieces === 1 ? 'piece waits' : 'pieces wait'} on ${one.queue}`,
            action: `soulfra services show ${one.serviceId}`,
          });
        }
        await sql`update notices set resolved_at = now() where kind = 'work_unclaimed' and resolved_at is null
          and not key = any(${unclaimed.map(keyOf)}::text[])`.execute(tx);
      });
    },

    /** Queues with open work that is claimed over HTTP: each needs a worker of ours. */
    async openQueues(): Promise<string[]> {
      const { rows } = await sql<{
        queue: string;
      }>`select distinct queue from works where ended_at is null and joins = 'work'`.execute(db);
      return rows.map(({ queue }) => queue);
    },
  };
}
export type WorkStore = ReturnType<typeof createWorkStore>;

function stateAfter({ attempt, attempts }: Pick<WorkRow, 'attempt' | 'attempts'>, answer: WorkAnswer): WorkState {
  return answer.kind === 'failed' && answer.retryable && attempt < attempts ? 'queued' : 'failed';
}
