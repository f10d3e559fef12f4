import { sql } from 'kysely';
import { DomainError } from '../domain/errors.ts';
import { leaseSeconds, suspectAfterSeconds } from '../domain/health.ts';
import { drainWorkflowId } from '../domain/ids.ts';
import { inServiceStates, type MachineState, type RunsAs } from '../domain/states.ts';
import { type Database, type DatabaseTransaction, type Executor, preparedStatement } from './database.ts';
import { appendEvents } from './events.ts';
import { newId } from './ids.ts';
import { insertIntent } from './intents.ts';
import { openNotice, resolveNotice } from './notices.ts';
import { requestReplan } from './plans.ts';

export interface Lease {
  machineId: string;
  epoch: number;
  state: MachineState;
}

/** What a renewal says of the machine besides that it lives. */
export interface Polling {
  polls: string[];
  planVersion: number | null;
  missingModels?: string[];
  runsAs?: RunsAs;
  /** Seconds since the worker last completed a call; undefined: it has completed none. */
  quietSeconds?: number | undefined;
  /** Share of its data folder's disk that is free. */
  diskFree?: number | undefined;
}

export type HeldEpoch = Pick<Lease, 'machineId' | 'epoch'>;

export interface Renewal {
  /** Of the plan that work goes by; null: there is none. */
  planVersion: number | null;
}

export interface MachineRow {
  id: string;
  state: MachineState;
  reason: string;
  epoch: number;
  leaseUntil: string;
  alive: boolean;
  polls: string[];
  runsAs: RunsAs;
  planVersion: number | null;
  identity: string | null;
  modelServerUp: boolean;
  missingModels: string[];
  /** Why it gives its GPUs to their owner now; null: it does not. */
  yields: string | null;
}

const stoppedReason = 'its worker was stopped';
const goneReason = 'its worker is gone';

const lease = sql<Date>`clock_timestamp() + make_interval(secs => ${leaseSeconds})`;

function lostNoticeKey(machineId: string): string {
  return `machine_lost:${machineId}`;
}

function serverNoticeKey(machineId: string): string {
  return `model_server_down:${machineId}`;
}

export function createMachineStore(db: Database) {
  return {
    /**
     * A start of the machine's worker takes the next epoch; what an older epoch still holds is fenced from here on.
     * A machine that was lost, or never there, asks for a plan that counts on it.
     * @throws MACHINE_UNKNOWN when no applied fleet.yaml names it
     */
    async register(machineId: string, { identity, runsAs }: { identity: string; runsAs: RunsAs }): Promise<Lease> {
      return db.transaction().execute(async (tx) => {
        const before = await tx
          .selectFrom('machines')
          .select(['state', 'ownerId', 'runsAs'])
          .where('id', '=', machineId)
          .where('removedAt', 'is', null)
          .forUpdate()
          .executeTakeFirst();
        if (!before) throw new DomainError('MACHINE_UNKNOWN', `fleet.yaml names no machine ${machineId}`);
        const kept = before.state === 'draining' || before.state === 'drained';
        const row = await tx
          .updateTable('machines')
          .set({
            epoch: sql<number>`epoch + 1`,
            leaseUntil: lease,
            state: kept ? before.state : 'ready',
            ...(kept ? {} : { reason: '' }),
            polls: [],
            planVersion: null,
            identity,
            runsAs,
            progressAt: sql<Date>`clock_timestamp()`,
            changedAt: sql<Date>`now()`,
          })
          .where('id', '=', machineId)
          .returning(['epoch', 'state'])
          .executeTakeFirstOrThrow();
        await appendEvents(tx, [
          { ownerId: before.ownerId, type: 'machine.joined', subject: machineId, data: { epoch: row.epoch, runsAs } },
        ]);
        await resolveNotice(tx, lostNoticeKey(machineId));
        if (before.state === 'lost')
          await requestReplan(tx, { ownerId: before.ownerId, reason: `${machineId} joined` });
        return { machineId, epoch: row.epoch, state: row.state as MachineState };
      });
    },

    /** Renews the lease and says what the machine polls. @returns false when the epoch is no longer the machine's */
    async renew(held: HeldEpoch, polling: Polling): Promise<boolean> {
      return (await renewLease(db, held, polling)) !== undefined;
    },

    /** The same, and says what plan work goes by. @returns undefined when the epoch is no longer the machine's */
    renewUnderPlan: (held: HeldEpoch, polling: Polling): Promise<Renewal | undefined> => renewLease(db, held, polling),

    /** Identity of whoever holds an unexpired lease; undefined when nobody does. */
    async holder(machineId: string): Promise<string | undefined> {
      const row = await db
        .selectFrom('machines')
        .select('identity')
        .where('id', '=', machineId)
        .where('state', '<>', 'lost')
        .where('removedAt', 'is', null)
        .where('leaseUntil', '>', sql<Date>`clock_timestamp()`)
        .executeTakeFirst();
      return row?.identity ?? undefined;
    },

    /** An orderly stop gives the lease back, so that nobody waits for it to run out. */
    async leave({ machineId, epoch }: Lease): Promise<void> {
      await db.transaction().execute(async (tx) => {
        const row = await tx
          .updateTable('machines')
          .set({
            leaseUntil: sql<Date>`clock_timestamp()`,
            polls: [],
            reason: sql<string>`case when state = 'drained' then reason else ${stoppedReason} end`,
            changedAt: sql<Date>`now()`,
          })
          .where('id', '=', machineId)
          .where('epoch', '=', epoch)
          .returning('ownerId')
          .executeTakeFirst();
        if (row)
          await appendEvents(tx, [{ ownerId: row.ownerId, type: 'machine.left', subject: machineId, data: { epoch } }]);
      });
    },

    /**
     * Judges every lease. One that ran out makes its machine `lost`, and the epoch moves in the same statement. After a
     * silence of the checker or the database longer than a lease every machine first gets a fresh one: nobody could renew then.
     */
    async judgeLeases(): Promise<{ lost: string[]; silent: boolean }> {
      return db.transaction().execute(async (tx) => {
        const { rows } = await sql<{ silent: boolean }>`
          select clock_timestamp() - checked_at > make_interval(secs => ${leaseSeconds}) as silent from fleet_health for update`.execute(
          tx,
        );
        await tx.updateTable('fleetHealth').set({ checkedAt: sql<Date>`clock_timestamp()` }).execute();
        if (rows[0]?.silent) {
          await tx
            .updateTable('machines')
            .set({ leaseUntil: lease })
            .where('state', 'in', ['ready', 'suspect', 'draining'])
            .execute();
          return { lost: [], silent: true };
        }
        await tx
          .updateTable('machines')
          .set({
            state: 'suspect',
            reason: sql<string>`case when reason = ${stoppedReason} then reason else 'missed a renewal of its lease' end`,
          })
          .where('state', '=', 'ready')
          .where(
            'leaseUntil',
            '<',
            sql<Date>`clock_timestamp() + make_interval(secs => ${leaseSeconds - suspectAfterSeconds})`,
          )
          .execute();
        const lost = await tx
          .updateTable('machines')
          .set({
            state: 'lost',
            epoch: sql<number>`epoch + 1`,
            polls: [],
            reason: sql<string>`case when reason = ${stoppedReason} then reason else 'its lease ran out' end`,
            changedAt: sql<Date>`now()`,
          })
          .where('state', 'in', ['ready', 'suspect', 'draining'])
          .where('leaseUntil', '<', sql<Date>`clock_timestamp()`)
          .where('removedAt', 'is', null)
          .returning(['id', 'ownerId', 'epoch', 'reason'])
          .execute();
        for (const machine of lost) await tellLost(tx, machine);
        return { lost: lost.map((machine) => machine.id), silent: false };
      });
    },

    /** The model server has been silent for a lease: a notice, and a plan that does without this machine's GPUs. */
    async modelServerDown({ machineId, epoch }: HeldEpoch, reason: string): Promise<void> {
      await db.transaction().execute(async (tx) => {
        const row = await setModelServer(tx, { machineId, epoch }, false);
        if (!row) return;
        await openNotice(tx, {
          id: newId('notice'),
          ownerId: row.ownerId,
          kind: 'model_server_down',
          key: serverNoticeKey(machineId),
          subject: machineId,
          title: `The model server of ${machineId} does not answer`,
          detail: reason,
          action: `start it on ${machineId}; its queues are polled again by themselves`,
        });
        await appendEvents(tx, [
          { ownerId: row.ownerId, type: 'machine.model_server_down', subject: machineId, data: { reason } },
        ]);
        await requestReplan(tx, { ownerId: row.ownerId, reason: `model server of ${machineId} down` });
      });
    },

    async modelServerUp({ machineId, epoch }: HeldEpoch): Promise<void> {
      await db.transaction().execute(async (tx) => {
        const row = await setModelServer(tx, { machineId, epoch }, true);
        if (!row) return;
        await resolveNotice(tx, serverNoticeKey(machineId));
        await appendEvents(tx, [{ ownerId: row.ownerId, type: 'machine.model_server_up', subject: machineId }]);
        await requestReplan(tx, { ownerId: row.ownerId, reason: `model server of ${machineId} up again` });
      });
    },

    /** The machine gives its GPUs to their owner, or takes them back (null); a plan follows either way. Nothing under a passed epoch. */
    async setYields({ machineId, epoch }: HeldEpoch, reason: string | null): Promise<void> {
      await db.transaction().execute(async (tx) => {
        const before = await tx
          .selectFrom('machines')
          .select(['ownerId', 'yields'])
          .where('id', '=', machineId)
          .where('epoch', '=', epoch)
          .forUpdate()
          .executeTakeFirst();
        if (!before || before.yields === reason) return;
        await tx.updateTable('machines').set({ yields: reason }).where('id', '=', machineId).execute();
        if ((before.yields === null) === (reason === null)) return;
        const { ownerId } = before;
        const event =
          reason === null
            ? { ownerId, type: 'machine.returned' as const, subject: machineId }
            : { ownerId, type: 'machine.yielded' as const, subject: machineId, data: { reason } };
        await appendEvents(tx, [event]);
        await requestReplan(tx, {
          ownerId,
          reason: reason === null ? `${machineId} works again` : `${machineId} yields: ${reason}`,
        });
      });
    },

    /** What the host's own probe of its cards says against fleet.yaml; no shortfalls settle the notice. */
    async gpusProbed(machineId: string, shortfalls: readonly string[]): Promise<void> {
      const key = `gpu_differs:${machineId}`;
      if (shortfalls.length === 0) return resolveNotice(db, key);
      const { ownerId } = await db
        .selectFrom('machines')
        .select('ownerId')
        .where('id', '=', machineId)
        .executeTakeFirstOrThrow();
      await openNotice(db, {
        id: newId('notice'),
        ownerId,
        kind: 'gpu_differs',
        key,
        subject: machineId,
        title: `The GPUs of ${machineId} are not what fleet.yaml says`,
        detail: shortfalls.join('; '),
        action: 'mend machines[].gpus in fleet.yaml, then soulfra apply',
      });
    },

    list: () => listMachines(db),

    /** Takes a machine out of service in order; the workflow's id counts drains, so each is a new one. */
    async requestDrain(machineId: string, ownerId: string): Promise<{ workflowId: string }> {
      return db.transaction().execute(async (tx) => {
        const row = await tx
          .updateTable('machines')
          .set({
            state: 'draining',
            drains: sql<number>`drains + 1`,
            reason: 'drained by its operator',
            changedAt: sql<Date>`now()`,
          })
          .where('id', '=', machineId)
          .where('ownerId', '=', ownerId)
          .where('removedAt', 'is', null)
          .where('state', 'in', inServiceStates)
          .returning('drains')
          .executeTakeFirst();
        if (!row) throw await whyNot(tx, machineId, ownerId, 'ready');
        const workflowId = drainWorkflowId(machineId, row.drains);
        await insertIntent(tx, { workflowId, type: 'drainMachine', args: [{ machineId }] });
        await requestReplan(tx, { ownerId, reason: `${machineId} drains` });
        await appendEvents(tx, [{ ownerId, type: 'machine.draining', subject: machineId }]);
        return { workflowId };
      });
    },

    /**
     * A machine that did not answer its drain may still have calls in hand: its epoch moves, so none of them is stored.
     * @returns false when the machine is no longer draining: taken back, or lost on the way
     */
    async finishDrain(machineId: string, answered = true): Promise<boolean> {
      return db.transaction().execute(async (tx) => {
        const row = await tx
          .updateTable('machines')
          .set({
            state: 'drained',
            ...(answered ? {} : { epoch: sql<number>`epoch + 1`, polls: [] }),
            changedAt: sql<Date>`now()`,
          })
          .where('id', '=', machineId)
          .where('state', 'in', ['draining', 'drained'])
          .returning('ownerId')
          .executeTakeFirst();
        if (row) await appendEvents(tx, [{ ownerId: row.ownerId, type: 'machine.drained', subject: machineId }]);
        return row !== undefined;
      });
    },

    async undrain(machineId: string, ownerId: string): Promise<void> {
      await db.transaction().execute(async (tx) => {
        const row = await tx
          .updateTable('machines')
          .set({
            // now() stands still within the statement, so all four agree.
            state: sql<string>`case when lease_until > now() then 'ready' else 'lost' end`,
            epoch: sql<number>`epoch + case when lease_until > now() then 0 else 1 end`,
            polls: sql<string[]>`case when lease_until > now() then polls else '{}' end`,
            reason: sql<string>`case when lease_until > now() then '' else ${goneReason} end`,
            changedAt: sql<Date>`now()`,
          })
          .where('id', '=', machineId)
          .where('ownerId', '=', ownerId)
          .where('removedAt', 'is', null)
          .where('state', 'in', ['draining', 'drained'])
          .returning(['id', 'ownerId', 'epoch', 'reason', 'state'])
          .executeTakeFirst();
        if (!row) throw await whyNot(tx, machineId, ownerId, 'draining or drained');
        await appendEvents(tx, [{ ownerId, type: 'machine.undrained', subject: machineId }]);
        if (row.state === 'lost') await tellLost(tx, row);
        else await requestReplan(tx, { ownerId, reason: `${machineId} taken back in` });
      });
    },
  };
}
export type MachineStore = ReturnType<typeof createMachineStore>;

/** Takes the machine's lease away at once: its epoch moves, so that nothing it still does counts. */
export async function endLease(tx: DatabaseTransaction, machineId: string, reason: string): Promise<void> {
  const row = await tx
    .updateTable('machines')
    .set({
      state: 'lost',
      epoch: sql<number>`epoch + 1`,
      leaseUntil: sql<Date>`clock_timestamp()`,
      polls: [],
      reason,
      changedAt: sql<Date>`now()`,
    })
    .where('id', '=', machineId)
    .where('state', '<>', 'lost')
    .returning(['id', 'ownerId', 'epoch', 'reason'])
    .executeTakeFirst();
  if (row) await tellLost(tx, row);
}

/** What follows from `lost`, in the transaction that sets it. */
async function tellLost(
  tx: Executor,
  machine: { id: string; ownerId: string; epoch: number; reason: string },
): Promise<void> {
  const { id, ownerId, epoch, reason } = machine;
  await appendEvents(tx, [{ ownerId, type: 'machine.lost', subject: id, data: { epoch, reason } }]);
  await openNotice(tx, {
    id: newId('notice'),
    ownerId,
    kind: 'machine_lost',
    key: lostNoticeKey(id),
    subject: id,
    title: `${id} is lost`,
    detail: `${reason[0]!.toUpperCase()}${reason.slice(1)}. What can move has been replanned.`,
    action: `soulfra fleet start ${id}`,
  });
  await requestReplan(tx, { ownerId, reason: `${id} lost` });
}

/**
 * One statement, and no more: each machine does it every five seconds. What it has only now begun to poll, it cannot have neglected.
 * A renewal that Postgres loses in a crash is made up for by the fresh lease that every machine gets after a silence, so none waits
 * for the disk.
 */
const renewal = preparedStatement<Renewal>(
  'renew_lease',
  `with at_once as materialized (select set_config('synchronous_commit', 'off', true) as set)
  update machines set lease_until = clock_timestamp() + make_interval(secs => ${leaseSeconds}), polls = $3, plan_version = $4,
    missing_models = $5,
    progress_at = case when polls <> $3::text[] then clock_timestamp()
      else greatest(progress_at, clock_timestamp() - make_interval(secs => $6::float8)) end,
    disk_free = coalesce($7::real, disk_free), runs_as = coalesce($8, runs_as),
    state = case when state = 'suspect' then 'ready' else state end,
    reason = case when state = 'suspect' then '' else reason end
  from at_once
  where id = $1 and epoch = $2 and state <> 'lost' and at_once.set = 'off'
  returning (select max(version) from plans where state in ('applying', 'applied')) as "planVersion"`,
);

async function renewLease(
  db: Database,
  { machineId, epoch }: HeldEpoch,
  { polls, planVersion, missingModels = [], runsAs, quietSeconds, diskFree }: Polling,
): Promise<Renewal | undefined> {
  const of = [
    machineId,
    epoch,
    polls,
    planVersion,
    missingModels,
    quietSeconds ?? null,
    diskFree ?? null,
    runsAs ?? null,
  ];
  return (await renewal(db, of))[0];
}

export async function listMachines(db: Executor): Promise<MachineRow[]> {
  const rows = await db
    .selectFrom('machines')
    .select([
      'id',
      'state',
      'reason',
      'epoch',
      'leaseUntil',
      'polls',
      'runsAs',
      'planVersion',
      'identity',
      'modelServerUp',
      'yields',
      'missingModels',
    ])
    .select(sql<boolean>`lease_until > clock_timestamp() and state not in ('lost')`.as('alive'))
    .where('removedAt', 'is', null)
    .orderBy('id')
    .execute();
  return rows.map((row) => ({
    ...row,
    state: row.state as MachineState,
    runsAs: row.runsAs as RunsAs,
    // node-postgres gives infinity as a number
    leaseUntil: row.leaseUntil instanceof Date ? row.leaseUntil.toISOString() : String(row.leaseUntil),
  }));
}

/** @returns undefined when nothing changed, or the epoch has passed */
async function setModelServer(tx: Executor, { machineId, epoch }: HeldEpoch, up: boolean) {
  return tx
    .updateTable('machines')
    .set({ modelServerUp: up })
    .where('id', '=', machineId)
    .where('epoch', '=', epoch)
    .where('modelServerUp', '<>', up)
    .returning('ownerId')
    .executeTakeFirst();
}

async function whyNot(tx: Executor, machineId: string, ownerId: string, wanted: string): Promise<DomainError> {
  const row = await tx
    .selectFrom('machines')
    .select('state')
    .where('id', '=', machineId)
    .where('ownerId', '=', ownerId)
    .where('removedAt', 'is', null)
    .executeTakeFirst();
  return row
    ? new DomainError('CONFLICT', `${machineId} is ${row.state}; this needs it ${wanted}`)
    : new DomainError('NOT_FOUND', `no machine ${machineId}`);
}
