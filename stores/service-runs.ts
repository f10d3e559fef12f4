import { sql } from 'kysely';
import { DomainError } from '../domain/errors.ts';
import { runServicesWorkflowId } from '../domain/ids.ts';
import { type ServiceSpec, storedService } from '../domain/services.ts';
import { type Dependent, wavesOf, withDependants, withNeeded } from '../domain/service-waves.ts';
import type { ServiceAction } from '../domain/states.ts';
import type { Database, Executor } from './database.ts';
import { neverRan, whyHeld } from './deploy-blockers.ts';
import { appendEvents } from './events.ts';
import { newId } from './ids.ts';
import { insertIntent } from './intents.ts';
import type { HeldEpoch } from './machines.ts';

/** What a request for services comes to. */
export interface ServiceRequest {
  ownerId: string;
  action: ServiceAction;
  /** Empty: all. */
  serviceIds: readonly string[];
}
export interface AskedService {
  id: string;
  action: ServiceAction;
  /** Where it is to run; null: nowhere. */
  machineId: string | null;
}

/** One service of a wave as its workflow needs it. */
export interface WaveService {
  serviceId: string;
  machineId: string | null;
  /** The machine that runs it now, or may. */
  holderId: string | null;
  action: ServiceAction;
  /** Why it may not be started; empty: it may. */
  held: string;
  /** Whether something looks how it does, so that it can be waited for. */
  probed: boolean;
}

export type Taken =
  | { outcome: 'taken' }
  /** A later request decides, or there is nothing to do any more. */
  | { outcome: 'superseded' }
  /** Another machine runs it, and has to stop it first. */
  | { outcome: 'held'; holderId: string };

/** Who may act on a service. */
export interface RunKey {
  serviceId: string;
  requestId: string;
}

/** A start that a machine has not agreed to, where nothing of the service runs there any more. */
export interface RefusedStart {
  key: RunKey;
  /** As it was refused. */
  spec: ServiceSpec;
  reason: string;
}

interface KnownService extends Dependent {
  machineId: string | null;
  wanted: string | null;
  holderId: string | null;
}

/** What the request comes to, in waves from the first to start to the last. @throws NOT_FOUND, CONFLICT for a circle */
export async function plannedRequest(db: Executor, request: ServiceRequest): Promise<AskedService[][]> {
  const { ownerId, action, serviceIds } = request;
  const { rows: known } = await sql<KnownService>`
    select s.id, s.spec -> 'dependsOn' as depends_on, s.machine_id, r.wanted, r.machine_id as holder_id
    from services s left join service_runs r on r.service_id = s.id
    where s.owner_id = ${ownerId} and (s.retired_at is null or (${action} = 'stop' and r.machine_id is not null))
    order by s.id`.execute(db);
  const byId = new Map(known.map((service) => [service.id, service]));
  for (const id of serviceIds) {
    if (!byId.has(id)) throw new DomainError('NOT_FOUND', `no service ${id}`);
  }
  const runs = ({ wanted, holderId }: KnownService) => wanted === 'running' || holderId !== null;
  const asked = serviceIds.length > 0 ? serviceIds : known.map(({ id }) => id);
  // What needs a service cannot do without it while it is away.
  const stops = [...withDependants(known, action === 'start' ? [] : asked)].filter(
    (id) => asked.includes(id) || runs(byId.get(id)!),
  );
  const starts = action === 'stop' ? new Set<string>() : withNeeded(known, action === 'start' ? asked : stops);
  const actions = new Map<string, ServiceAction>([
    ...stops.map((id) => [id, action] as const),
    ...[...starts].filter((id) => !stops.includes(id)).map((id) => [id, 'start'] as const),
  ]);
  const chosen = known.filter(({ id }) => actions.has(id));
  return wavesOf(chosen).map((wave) =>
    wave.map((id) => ({ id, action: actions.get(id)!, machineId: byId.get(id)!.machineId })),
  );
}

/** Asks for it in the caller's transaction: from here on only this request may act on these services. */
export async function requestServices(
  tx: Executor,
  request: ServiceRequest,
  requestId: string = newId('request'),
): Promise<{ requestId: string; waves: AskedService[][] }> {
  const { ownerId, action } = request;
  // In the order in which applies lock them, too.
  await sql`select id from services where owner_id = ${ownerId} order by id for no key update`.execute(tx);
  const waves = await plannedRequest(tx, request);
  const rows = waves.flatMap((wave, number) => wave.map((service) => ({ ...service, number })));
  if (rows.length === 0) return { requestId, waves };
  await sql`
    insert into service_runs (service_id, owner_id, wanted, request_id, action, wave, state)
    select asked.id, ${ownerId}, case when asked.action = 'stop' then 'stopped' else 'running' end, ${requestId}, asked.action, asked.wave, 'waiting'
    from unnest(${rows.map(({ id }) => id)}::text[], ${rows.map((row) => row.action)}::text[], ${rows.map(({ number }) => number)}::int[])
      as asked (id, action, wave)
    order by asked.id
    on conflict (service_id) do update set wanted = excluded.wanted, request_id = excluded.request_id, action = excluded.action,
      wave = excluded.wave, state = 'waiting', reason = '', changed_at = now()`.execute(tx);
  await insertIntent(tx, {
    workflowId: runServicesWorkflowId(requestId),
    type: 'runServices',
    args: [{ requestId, action, waves: waves.length }],
  });
  return { requestId, waves };
}

/** What a new plan has changed for services that run: where they are put, and what no file names any more. */
export async function requestMovedServices(tx: Executor, ownerId: string): Promise<void> {
  await sql`select id from services where owner_id = ${ownerId} order by id for no key update`.execute(tx);
  const { rows } = await sql<{ id: string; retired: boolean; requestId: string; said: string }>`
    select s.id, s.retired_at is not null as retired, r.request_id, case r.state when 'failed' then r.reason else '' end as said
    from services s join service_runs r on r.service_id = s.id left join machines holder on holder.id = r.machine_id
    where s.owner_id = ${ownerId} and r.wanted = 'running' and case when s.retired_at is not null then r.machine_id is not null
      else s.machine_id is distinct from r.machine_id and (s.machine_id is not null or holder.state = 'lost') end
    order by s.id`.execute(tx);
  const held = await heldByFindings(tx, ownerId, rows);
  const free = rows.filter(({ id }) => !held.has(id));
  for (const { id, requestId, said } of rows) {
    const reason = held.get(id);
    if (reason !== undefined && reason !== said) await failRun(tx, { serviceId: id, requestId }, reason);
  }
  for (const [retired, found] of Map.groupBy(free, (row) => row.retired)) {
    const serviceIds = found.map(({ id }) => id);
    await requestServices(tx, { ownerId, action: retired ? 'stop' : 'start', serviceIds });
  }
}

/** What never ran anywhere is no move: a critical finding holds it as it holds a start that somebody asks for. */
async function heldByFindings(
  tx: Executor,
  ownerId: string,
  rows: ReadonlyArray<{ id: string; retired: boolean }>,
): Promise<Map<string, string>> {
  const starting = rows.filter(({ retired }) => !retired).map(({ id }) => id);
  const held = new Map<string, string>();
  for (const id of await neverRan(tx, starting)) {
    const why = await whyHeld(tx, ownerId, [id]);
    if (why !== undefined) held.set(id, why);
  }
  return held;
}

export function createServiceRunStore(db: Database) {
  return {
    request: (request: ServiceRequest, requestId?: string) =>
      db.transaction().execute((tx) => requestServices(tx, request, requestId)),

    /** What is left to do of one wave of a request. */
    async wave(requestId: string, wave: number): Promise<WaveService[]> {
      const { rows } = await sql<Omit<WaveService, 'held'> & { held: string | null }>`
        select r.service_id, s.machine_id, r.machine_id as holder_id, r.action, s.spec ? 'healthCheck' as probed,
          case when s.retired_at is not null then 'no file of fleet.d names it any more'
            when s.machine_id is null then 'it is placed nowhere: ' || s.placed_because
            else (select 'it needs ' || needed.id || ', which is down: ' || run.reason
              from services needed join service_runs run on run.service_id = needed.id
              where s.spec -> 'dependsOn' ? needed.id and run.state = 'failed' and needed.spec ->> 'required' is distinct from 'false'
              order by needed.id limit 1) end as held
        from service_runs r join services s on s.id = r.service_id
        where r.request_id = ${requestId} and r.wave = ${wave} order by r.service_id`.execute(db);
      return rows.map((row) => ({ ...row, held: row.held ?? '' }));
    },

    /** Of a wave, what was started and is not up yet though somebody looks. */
    async notUpYet(requestId: string, wave: number): Promise<string[]> {
      const { rows } = await sql<{ serviceId: string }>`
        select r.service_id from service_runs r join services s on s.id = r.service_id
        where r.request_id = ${requestId} and r.wave = ${wave} and r.state = 'started' and s.state <> 'up' and s.spec ? 'healthCheck'
        order by r.service_id`.execute(db);
      return rows.map(({ serviceId }) => serviceId);
    },

    /** @returns undefined where no file names it any more */
    async specOf(serviceId: string): Promise<ServiceSpec | undefined> {
      const row = await db
        .selectFrom('services')
        .select('spec')
        .where('id', '=', serviceId)
        .where('retiredAt', 'is', null)
        .executeTakeFirst();
      return row && storedService(row.spec);
    },

    /** The same, of one that no file names any more, too: it may still run. */
    async specToStop(serviceId: string): Promise<ServiceSpec | undefined> {
      const row = await db.selectFrom('services').select('spec').where('id', '=', serviceId).executeTakeFirst();
      return row && storedService(row.spec);
    },

    /**
     * Makes the service this machine's before anything of it is started there. Another machine gives it up only by stopping it,
     * or by being lost.
     * @throws FENCED where the machine's lease has passed to a later epoch
     */
    async take({ serviceId, requestId }: RunKey, { machineId, epoch }: HeldEpoch): Promise<Taken> {
      return db.transaction().execute(async (tx): Promise<Taken> => {
        // Before the service, as an apply locks them.
        const own = await sql`select 1 from machines where id = ${machineId} and epoch = ${epoch} and state <> 'lost'
          and removed_at is null for share`.execute(tx);
        const { rows } = await sql<{ placed: string | null; holderId: string | null; holderLost: boolean | null }>`
          select s.machine_id as placed, r.machine_id as holder_id, (m.state = 'lost' or m.removed_at is not null) as holder_lost
          from services s join service_runs r on r.service_id = s.id left join machines m on m.id = r.machine_id
          where s.id = ${serviceId} and s.retired_at is null and r.request_id = ${requestId} and r.wanted = 'running'
          for no key update of s, r`.execute(tx);
        const row = rows[0];
        if (row === undefined || row.placed !== machineId) return { outcome: 'superseded' };
        if (own.rows.length === 0) throw new DomainError('FENCED', `${machineId} has lost its lease of epoch ${epoch}`);
        if (row.holderId !== null && row.holderId !== machineId && row.holderLost !== true)
          return { outcome: 'held', holderId: row.holderId };
        await tx
          .updateTable('serviceRuns')
          .set({ machineId, epoch, state: 'starting', reason: '', changedAt: sql<Date>`now()` })
          .where('serviceId', '=', serviceId)
          .execute();
        await setState(tx, serviceId, 'starting', `${machineId} starts it`);
        return { outcome: 'taken' };
      });
    },

    /** lost: it is no longer this machine's to run, and has to be stopped there again; superseded: a later request sees to it. */
    async started(key: RunKey, { machineId, epoch }: HeldEpoch): Promise<'started' | 'superseded' | 'lost'> {
      return db.transaction().execute(async (tx) => {
        await lockService(tx, key.serviceId);
        const row = await tx
          .updateTable('serviceRuns')
          .set({
            state: 'started',
            reason: '',
            changedAt: sql<Date>`now()`,
            firstStartedAt: sql<Date>`coalesce(first_started_at, now())`,
          })
          .where('serviceId', '=', key.serviceId)
          .where('requestId', '=', key.requestId)
          .where('machineId', '=', machineId)
          .where('epoch', '=', epoch)
          .where('wanted', '=', 'running')
          .returning('ownerId')
          .executeTakeFirst();
        if (row === undefined) {
          const own = await tx
            .selectFrom('serviceRuns')
            .select('serviceId')
            .where('serviceId', '=', key.serviceId)
            .where('machineId', '=', machineId)
            .where('epoch', '=', epoch)
            .where('wanted', '=', 'running')
            .executeTakeFirst();
          return own === undefined ? 'lost' : 'superseded';
        }
        await appendEvents(tx, [
          { ownerId: row.ownerId, type: 'service.started', subject: key.serviceId, data: { machineId } },
        ]);
        return 'started';
      });
    },

    /** Nothing where a later request decides. */
    async failed(key: RunKey, reason: string): Promise<void> {
      await db.transaction().execute((tx) => failRun(tx, key, reason));
    },

    /** Whether a machine is asked to stop it by who may ask; it shows so from here on. */
    async stopping({ serviceId, requestId }: RunKey, machineId: string): Promise<boolean> {
      const row = await db
        .updateTable('serviceRuns')
        .set({ state: 'stopping', changedAt: sql<Date>`now()` })
        .where('serviceId', '=', serviceId)
        .where('requestId', '=', requestId)
        .where((where) => where.or([where('machineId', 'is', null), where('machineId', '=', machineId)]))
        .returning('serviceId')
        .executeTakeFirst();
      return row !== undefined;
    },

    /** No machine runs it any more; one that is to run elsewhere waits for that. Without a request: only where it is to be stopped. */
    async stopped(key: RunKey | { serviceId: string }, machineId: string | null): Promise<void> {
      await db.transaction().execute(async (tx) => {
        await lockService(tx, key.serviceId);
        let update = tx
          .updateTable('serviceRuns')
          .set({
            machineId: null,
            epoch: null,
            state: sql<string>`case when wanted = 'running' then 'waiting' else 'stopped' end`,
            reason: '',
            changedAt: sql<Date>`now()`,
          })
          .where('serviceId', '=', key.serviceId);
        update =
          'requestId' in key ? update.where('requestId', '=', key.requestId) : update.where('wanted', '=', 'stopped');
        update =
          machineId === null
            ? update.where('machineId', 'is', null)
            : update.where((where) => where.or([where('machineId', 'is', null), where('machineId', '=', machineId)]));
        const row = await update.returning(['ownerId', 'wanted']).executeTakeFirst();
        if (row === undefined) return;
        if (row.wanted === 'stopped') await setState(tx, key.serviceId, 'stopped', 'stopped by its operator');
        await appendEvents(tx, [
          { ownerId: row.ownerId, type: 'service.stopped', subject: key.serviceId, data: { machineId } },
        ]);
      });
    },

    /**
     * What a machine runs by the rows, now under this epoch of its lease: it goes on after a restart of its worker.
     * @throws FENCED where its lease has passed to a later epoch: what it runs is not for it to say then
     */
    async adopt({
      machineId,
      epoch,
    }: HeldEpoch): Promise<Array<{ serviceId: string; wanted: string; kind: ServiceSpec['kind'] }>> {
      return db.transaction().execute(async (tx) => {
        // In the order in which applies and requests lock them.
        const own = await sql`select 1 from machines where id = ${machineId} and epoch = ${epoch} for share`.execute(
          tx,
        );
        if (own.rows.length === 0) throw new DomainError('FENCED', `${machineId} has lost its lease of epoch ${epoch}`);
        await sql`select s.id from services s join service_runs r on r.service_id = s.id where r.machine_id = ${machineId}
          order by s.id for no key update of s`.execute(tx);
        const { rows } = await sql<{ serviceId: string; wanted: string; spec: unknown }>`
          update service_runs r set epoch = ${epoch} from services s
          where s.id = r.service_id and r.machine_id = ${machineId}
          returning r.service_id, r.wanted, s.spec`.execute(tx);
        return rows.map(({ spec, ...row }) => ({ ...row, kind: storedService(spec).kind }));
      });
    },

    /** Whether it is this machine's, and is to run. */
    async runsOn(machineId: string, serviceId: string): Promise<boolean> {
      const row = await db
        .selectFrom('serviceRuns')
        .select('serviceId')
        .where('serviceId', '=', serviceId)
        .where('machineId', '=', machineId)
        .where('wanted', '=', 'running')
        .executeTakeFirst();
      return row !== undefined;
    },

    /** What a machine runs and nothing is being done to. */
    async runningOn(machineId: string): Promise<Array<{ spec: ServiceSpec }>> {
      const { rows } = await sql<{ spec: unknown }>`
        select s.spec from services s join service_runs r on r.service_id = s.id
        where r.machine_id = ${machineId} and r.wanted = 'running' and r.state in ('started', 'failed') and s.retired_at is null
        order by s.id`.execute(db);
      return rows.map(({ spec }) => ({ spec: storedService(spec) }));
    },

    /**
     * How its supervisor sees each. Whether one with a health check is up is for who asks that to say; here it is told only that it is
     * down. Written where it changes something, and only while nothing is being done to it.
     */
    async saw(
      { machineId, epoch }: HeldEpoch,
      seen: ReadonlyArray<{ serviceId: string; state: string; reason: string }>,
    ): Promise<void> {
      await db.transaction().execute(async (tx) => {
        const column = (name: 'serviceId' | 'state' | 'reason') => seen.map((one) => one[name]);
        const rows = sql`unnest(${column('serviceId')}::text[], ${column('state')}::text[], ${column('reason')}::text[]) as seen (id, state, reason)`;
        const own = sql`r.machine_id = ${machineId} and r.epoch = ${epoch} and r.wanted = 'running' and r.state in ('started', 'failed')`;
        await sql`select s.id from services s join service_runs r on r.service_id = s.id
          where s.id = any(${column('serviceId')}) and ${own} order by s.id for no key update of s`.execute(tx);
        await sql`
          update services s set state = next.state, reason = next.reason, changed_at = now()
          from (
            select seen.id, case seen.state when 'running' then 'up' when 'starting' then 'starting' else 'down' end as state, seen.reason,
              seen.state = 'running' as runs
            from ${rows}
          ) next, service_runs r
          where s.id = next.id and r.service_id = s.id and ${own}
            and (not next.runs or not s.spec ? 'healthCheck') and (s.state, s.reason) is distinct from (next.state, next.reason)`.execute(
          tx,
        );
        await sql`
          update service_runs r set state = next.state, reason = next.reason, changed_at = now()
          from (
            select seen.id, case seen.state when 'running' then 'started' when 'starting' then null else 'failed' end as state, seen.reason
            from ${rows}
          ) next
          where r.service_id = next.id and ${own} and (r.state, r.reason) is distinct from (next.state, next.reason)
            -- What ends again and again stands for a moment each time: it has to have had the time to fail anew.
            and next.state is not null and not (next.state = 'started' and r.changed_at > now() - interval '15 seconds')`.execute(
          tx,
        );
      });
    },

    /** What should run on this machine and does not is started again, by the same way as ever. */
    async startAgain(machineId: string, serviceIds: readonly string[]): Promise<void> {
      await db.transaction().execute(async (tx) => {
        const { rows } = await sql<{ ownerId: string; id: string }>`
          select s.owner_id, s.id from services s join service_runs r on r.service_id = s.id
          where s.id = any(${serviceIds}) and s.retired_at is null and r.wanted = 'running' and r.machine_id = ${machineId}
          order by s.owner_id, s.id`.execute(tx);
        for (const [ownerId, services] of Map.groupBy(rows, (row) => row.ownerId))
          await requestServices(tx, { ownerId, action: 'start', serviceIds: services.map(({ id }) => id) });
      });
    },
  };
}
export type ServiceRunStore = ReturnType<typeof createServiceRunStore>;

/**
 * Nothing where a later request decides.
 * @param leftBy a machine on which nothing of it is left: it is that machine's no more
 */
export async function failRun(
  tx: Executor,
  { serviceId, requestId }: RunKey,
  reason: string,
  leftBy: string | null = null,
): Promise<void> {
  await lockService(tx, serviceId);
  const { rows } = await sql<{ ownerId: string }>`
    update service_runs set state = 'failed', reason = ${reason}, changed_at = now(),
      epoch = case when machine_id = ${leftBy} then null else epoch end,
      machine_id = case when machine_id = ${leftBy} then null else machine_id end
    where service_id = ${serviceId} and request_id = ${requestId} returning owner_id`.execute(tx);
  const [row] = rows;
  if (row === undefined) return;
  await setState(tx, serviceId, 'down', reason);
  await appendEvents(tx, [{ ownerId: row.ownerId, type: 'service.failed', subject: serviceId, data: { reason } }]);
}

/** Always before its run is locked, as whoever asks for services does. */
async function lockService(tx: Executor, serviceId: string): Promise<void> {
  await sql`select id from services where id = ${serviceId} for no key update`.execute(tx);
}

async function setState(tx: Executor, serviceId: string, state: string, reason: string): Promise<void> {
  await tx
    .updateTable('services')
    .set({
      state,
      reason,
      changedAt: sql<Date>`case when state = ${state} and reason = ${reason} then changed_at else now() end`,
    })
    .where('id', '=', serviceId)
    .execute();
}
