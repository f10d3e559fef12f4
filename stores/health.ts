import { sql } from 'kysely';
import { type Health, type HealthLook, healthLooks, patience, settle } from '../domain/health.ts';
import {
  judgeAgent,
  judgeArchive,
  judgeBackup,
  judgeCertificate,
  judgeChannel,
  judgeCoordination,
  judgeDisk,
  judgeLedger,
  judgeMachine,
  judgeMirror,
  judgeModelServer,
  judgeSchedule,
  judgeService,
  judgeToken,
  judgeWorker,
  type Judgement,
  noCertificates,
  wellUntil,
  type ScheduleFacts,
} from '../domain/health-rules.ts';
import type { HealthKind, HealthState } from '../domain/states.ts';
import type { Database, DatabaseTransaction } from './database.ts';
import { appendEvents } from './events.ts';
import { tellHealth } from './health-notices.ts';
import {
  agentFacts,
  archiveFacts,
  backupFacts,
  certificateFacts,
  channelFacts,
  fleetOwner,
  ledgerFacts,
  machineFacts,
  mirrorFacts,
  neededSchedules,
  oldestIntentAt,
  serviceFacts,
  tokenFacts,
  tellingFacts,
} from './health-facts.ts';

/** A subject as one look saw it. */
interface Seen extends Judgement {
  kind: HealthKind;
  id: string;
  ownerId: string;
  /** Until then it is not looked at again if nothing happens to it, in seconds since 1970. */
  lookAt?: number;
}

export interface HealthChange {
  kind: HealthKind;
  id: string;
  ownerId: string;
  /** Null: it was judged for the first time. */
  from: HealthState | null;
  to: HealthState;
  reason: string;
}

/** Temporal's Schedules by id, as the worker reads them. */
export type SchedulesSeen = ReadonlyMap<string, Omit<ScheduleFacts, 'missing'>>;

/** Of the coordination machines together: whether what was asked for is started. */
const coordinationSubject = 'coordination';

/** A look may come this much early: the clock that asks for it is not the database's. */
const earlySeconds = 1;
/** Rows of one statement that is built of values. */
const page = 5_000;

export function createHealthStore(db: Database) {
  return {
    /** Looks whose time has come. */
    async due(): Promise<HealthLook[]> {
      const { rows } = await sql<{ look: HealthLook; age: number }>`
        select look, extract(epoch from clock_timestamp() - looked_at)::float8 as age from health_looks`.execute(db);
      const age = new Map(rows.map((row) => [row.look, row.age]));
      return (Object.keys(healthLooks) as HealthLook[]).filter(
        (look) => (age.get(look) ?? Number.POSITIVE_INFINITY) >= healthLooks[look].everySeconds - earlySeconds,
      );
    },

    /** Whether Temporal lacked a Schedule that the fleet needs, by the last looks. */
    async lacksSchedules(): Promise<boolean> {
      const { rows } = await sql`select from health where subject_kind = 'schedule' and state = 'lost' limit 1`.execute(
        db,
      );
      return rows.length > 0;
    },

    /**
     * Takes one look at every subject of its kinds: stores what has settled, and tells each change once, as a row and an event.
     * One that another execution has just taken is not taken again, since looks are counted.
     */
    async look(look: HealthLook, schedules?: SchedulesSeen): Promise<HealthChange[]> {
      return db.transaction().execute(async (tx) => {
        const last = await take(tx, look);
        if (last === undefined) return [];
        if (look === 'agents') return lookAtAgents(tx, last);
        const before = await known(tx, healthLooks[look].kinds);
        const seen = await see(tx, look, { now: last.now, before, schedules });
        if (seen === undefined) return [];
        return store(tx, before, seen, await forget(tx, before, seen));
      });
    },
  };
}
export type HealthStore = ReturnType<typeof createHealthStore>;

interface Taken {
  /** Seconds since 1970. */
  now: number;
  /** When the look was taken before, less what a transaction may take: what was committed since has happened since. */
  since: Date;
}

/** @returns undefined where another execution has just taken it */
async function take(tx: DatabaseTransaction, look: HealthLook): Promise<Taken | undefined> {
  await sql`insert into health_looks (look, looked_at) values (${look}, 'epoch') on conflict do nothing`.execute(tx);
  const before = await sql<{ lookedAt: Date; age: number; now: number }>`
    select looked_at, extract(epoch from clock_timestamp())::float8 as now,
      extract(epoch from clock_timestamp() - looked_at)::float8 as age,
      -- Compiling these statements takes longer than they do.
      set_config('jit', 'off', true)
    from health_looks where look = ${look} for update`.execute(tx);
  const { lookedAt, age, now } = before.rows[0]!;
  if (age < healthLooks[look].everySeconds - earlySeconds) return undefined;
  await sql`update health_looks set looked_at = clock_timestamp() where look = ${look}`.execute(tx);
  return { now, since: new Date(lookedAt.getTime() - 60_000) };
}

type Known = ReadonlyMap<string, Health & { lookAt: Date | null }>;
const keyOf = (kind: HealthKind, id: string) => `${kind}:${id}`;

/** @param ids only these; absent: all of the kinds */
async function known(tx: DatabaseTransaction, kinds: readonly HealthKind[], ids?: readonly string[]): Promise<Known> {
  let query = tx
    .selectFrom('health')
    .select(['subjectKind', 'subjectId', 'state', 'reason', 'pendingState', 'pendingLooks', 'lookAt'])
    .where('subjectKind', 'in', kinds);
  if (ids !== undefined) query = query.where('subjectId', '=', sql<string>`any(${ids}::text[])`);
  const rows = await query.execute();
  return new Map(
    rows.map(({ subjectKind, subjectId, ...health }) => [
      keyOf(subjectKind as HealthKind, subjectId),
      health as unknown as Health & { lookAt: Date | null },
    ]),
  );
}

/** Of thousands only those whose health can have changed. */
async function lookAtAgents(tx: DatabaseTransaction, { now, since }: Taken): Promise<HealthChange[]> {
  const { rows: gone } = await sql<{ id: string }>`delete from health h where subject_kind = 'agent' and not exists
    (select from agents a where a.id = h.subject_id and a.state not in ('retired', 'dormant'))
    returning subject_id as id`.execute(tx);
  const facts = await agentFacts(tx, since);
  const before = await known(
    tx,
    ['agent'],
    facts.map(({ id }) => id),
  );
  const seen = facts.map((of): Seen => {
    const judgement = judgeAgent(of, now);
    const isWell = judgement.state === 'ok' && judgement.reason === '';
    return {
      kind: 'agent',
      id: of.id,
      ownerId: of.ownerId,
      ...judgement,
      ...(isWell ? { lookAt: wellUntil(of) } : {}),
    };
  });
  return store(tx, before, seen, new Set(gone.map(({ id }) => keyOf('agent', id))));
}

/** @returns undefined where there is nothing to judge by */
async function see(
  tx: DatabaseTransaction,
  look: Exclude<HealthLook, 'agents'>,
  { now, before, schedules }: { now: number; before: Known; schedules: SchedulesSeen | undefined },
): Promise<Seen[] | undefined> {
  const owner = await fleetOwner(tx);
  if (look === 'channels') {
    const telling = owner === undefined ? [] : await tellingFacts(tx, owner);
    return [...(await channelFacts(tx)), ...telling].map((facts) => ({
      kind: 'channel',
      id: facts.id,
      ownerId: facts.ownerId,
      ...judgeChannel(facts, now),
    }));
  }
  if (look === 'services')
    return (await serviceFacts(tx)).map((facts) => ({
      kind: 'service',
      id: facts.id,
      ownerId: facts.ownerId,
      ...judgeService(facts),
    }));
  if (owner === undefined) return [];
  if (look === 'machines') {
    const coordination = judgeCoordination(await oldestIntentAt(tx), now);
    const machines = (await machineFacts(tx)).flatMap((facts): Seen[] => {
      const of = { id: facts.id, ownerId: facts.ownerId };
      const disk = { ...facts, before: before.get(keyOf('disk', facts.id))?.state };
      return [
        { kind: 'machine', ...of, ...judgeMachine(facts) },
        { kind: 'worker', ...of, ...judgeWorker(facts, now) },
        { kind: 'model_server', ...of, ...judgeModelServer(facts) },
        { kind: 'disk', ...of, ...judgeDisk(disk) },
      ];
    });
    return [{ kind: 'worker', id: coordinationSubject, ownerId: owner, ...coordination }, ...machines];
  }
  if (look === 'schedules') {
    if (schedules === undefined) return undefined;
    return [...new Set([...(await neededSchedules(tx)), ...schedules.keys()])].map((id) => ({
      kind: 'schedule',
      id,
      ownerId: owner,
      ...judgeSchedule({ ...(schedules.get(id) ?? absent), missing: !schedules.has(id) }, now),
    }));
  }
  const books = await ledgerFacts(tx, owner);
  const certificates = await certificateFacts(tx);
  const archive = await archiveFacts(tx);
  return [
    ...books.map((facts) => ({
      kind: 'ledger' as const,
      id: facts.id,
      ownerId: facts.ownerId,
      ...judgeLedger(facts, now),
    })),
    { kind: 'backup', id: 'fleet', ownerId: owner, ...judgeBackup(await backupFacts(tx), now) },
    ...(archive === undefined
      ? []
      : [{ kind: 'archive' as const, id: 'cluster', ownerId: owner, ...judgeArchive(archive, now) }]),
    ...(certificates.length > 0
      ? certificates.map((facts) => ({
          kind: 'certificate' as const,
          id: facts.id,
          ownerId: facts.ownerId,
          ...judgeCertificate(facts, now),
        }))
      : [{ kind: 'certificate' as const, id: 'edge', ownerId: owner, ...noCertificates }]),
    ...(await tokenFacts(tx)).map((facts) => ({
      kind: 'token' as const,
      id: facts.id,
      ownerId: facts.ownerId,
      ...judgeToken(facts, now),
    })),
    ...(await mirrorFacts(tx)).map((facts) => ({
      kind: 'mirror' as const,
      id: facts.target,
      ownerId: owner,
      ...judgeMirror(facts, now),
    })),
  ];
}

const absent: Omit<ScheduleFacts, 'missing'> = {
  paused: false,
  note: '',
  lastAt: null,
  nextAt: null,
  afterNextAt: null,
  ends: [],
  lastFailure: '',
};

async function store(
  tx: DatabaseTransaction,
  before: Known,
  seen: readonly Seen[],
  gone: ReadonlySet<string>,
): Promise<HealthChange[]> {
  const writes: object[] = [];
  const changes: HealthChange[] = [];
  for (const { kind, id, ownerId, lookAt, ...judgement } of seen) {
    const was = before.get(keyOf(kind, id));
    const now = settle(was, judgement, patience[kind]);
    // What has yet to settle is looked at again at once.
    const at = now.state === 'ok' && lookAt !== undefined ? new Date(lookAt * 1000) : null;
    if (was !== undefined && isSame(was, now) && was.lookAt?.getTime() === at?.getTime()) continue;
    writes.push({
      kind,
      id,
      owner_id: ownerId,
      state: now.state,
      reason: now.reason,
      pending: now.pendingState,
      looks: now.pendingLooks,
      look_at: at,
    });
    // What begins well, or is not there yet, is no news.
    const isNews = was === undefined ? now.state !== 'ok' && now.state !== 'not_set_up' : was.state !== now.state;
    if (isNews) changes.push({ kind, id, ownerId, from: was?.state ?? null, to: now.state, reason: now.reason });
  }
  if (writes.length > 0)
    await sql`
      insert into health (subject_kind, subject_id, owner_id, state, reason, pending_state, pending_looks, look_at)
      select kind, id, owner_id, state, reason, pending, looks, look_at from jsonb_to_recordset(${JSON.stringify(writes)}::jsonb)
        as w (kind text, id text, owner_id text, state text, reason text, pending text, looks smallint, look_at timestamptz)
      on conflict (subject_kind, subject_id) do update set owner_id = excluded.owner_id, state = excluded.state,
        reason = excluded.reason, pending_state = excluded.pending_state, pending_looks = excluded.pending_looks, look_at = excluded.look_at,
        since = case when health.state = excluded.state then health.since else excluded.since end`.execute(tx);
  await tell(tx, changes);
  await tellHealth(tx, changes, gone);
  return changes;
}

/** Deletes what is not there any more. @returns its keys */
async function forget(tx: DatabaseTransaction, before: Known, seen: readonly Seen[]): Promise<ReadonlySet<string>> {
  const gone = new Set(before.keys());
  for (const { kind, id } of seen) gone.delete(keyOf(kind, id));
  if (gone.size > 0)
    await sql`delete from health where subject_kind || ':' || subject_id = any(${[...gone]}::text[])`.execute(tx);
  return gone;
}

function isSame(a: Health, b: Health): boolean {
  return (
    a.state === b.state &&
    a.reason === b.reason &&
    a.pendingState === b.pendingState &&
    a.pendingLooks === b.pendingLooks
  );
}

async function tell(tx: DatabaseTransaction, changes: readonly HealthChange[]): Promise<void> {
  for (let at = 0; at < changes.length; at += page) {
    const some = changes.slice(at, at + page);
    await tx
      .insertInto('healthChanges')
      .values(
        some.map(({ kind, id, ownerId, from, to, reason }) => ({
          ownerId,
          subjectKind: kind,
          subjectId: id,
          fromState: from,
          toState: to,
          reason,
        })),
      )
      .execute();
    await appendEvents(
      tx,
      some.map(({ kind, id, ownerId, from, to, reason }) => ({
        ownerId,
        type: 'health.changed',
        subject: id,
        data: { kind, from, to, reason },
      })),
    );
  }
}
