import { Context } from '@temporalio/activity';
import { setTimeout as pause } from 'node:timers/promises';
import { isAbsolute, join } from 'node:path';
import { DomainError, isDomainError } from '../domain/errors.ts';
import { type TrustedService, untrustedReason } from '../domain/service-trust.ts';
import type { RunnableService } from '../domain/service-units.ts';
import type { ServiceSpec } from '../domain/services.ts';
import {
  NotStarted,
  type Supervisor,
  type Supervisors,
  supervisorKindOf,
} from '../integrations/supervisors/supervisor.ts';
import type { RefusedStart, RunKey, ServiceRunStore, WaveService } from '../stores/service-runs.ts';
import { beating } from './beating.ts';
import type { HeldLease } from './machine-calls.ts';

export interface StartOutcome {
  outcome: 'started' | 'failed' | 'superseded' | 'held';
  /** Where it is held: who has to stop it first. */
  holderId?: string;
}

/** What a machine brings along to run services. */
export interface ServiceHost {
  machineId: string;
  lease: () => Pick<HeldLease, 'machineId' | 'epoch'>;
  runs: ServiceRunStore;
  supervisors: Supervisors;
  /** What the machine has agreed to for this service; read anew each time. @throws INVALID_INPUT where the file is not to be trusted */
  trustOf: (spec: ServiceSpec) => { entry: TrustedService } | { changed: boolean };
  /** Notes a start that the machine has not agreed to; where nothing of the service is left here, whoever plans is to know. */
  refused: (refusal: RefusedStart) => Promise<void>;
  /** Of the worker's own variables. */
  variablesNamed: (names: readonly string[]) => Record<string, string>;
  /** The file of a command's first word. */
  findProgram: (word: string, folder: string) => string | undefined;
  /** From `createTurns`: two requests would start and stop the same unit at once. */
  oneAtATime: ReturnType<typeof createTurns>;
}

/** How long a service that has been started is looked at before it counts as started: what fails at once is told at once. */
const standsMs = 2_000;
const lookEveryMs = 250;

/** Activities of a machine's own queue. */
export function createServiceRunActivities(host: ServiceHost) {
  const { machineId, runs, lease, oneAtATime } = host;

  async function start(key: RunKey): Promise<StartOutcome> {
    const failed = async (reason: string): Promise<StartOutcome> => {
      await runs.failed(key, reason);
      return { outcome: 'failed' };
    };
    const spec = await runs.specOf(key.serviceId);
    if (spec === undefined) return { outcome: 'superseded' };
    if (spec.command === undefined && spec.image === undefined)
      return failed(
        'fleet.d names neither a command nor an image for it: it is watched, and there is nothing to start',
      );
    const trust = trustOn(host, spec);
    if (typeof trust === 'string') {
      if (await runsHere(host, key.serviceId)) return failed(`${trust}; what was started there before runs on`);
      // What its supervisor would start again some day must be nobody's.
      await stopLocally(host, key.serviceId);
      await host.refused({ key, spec, reason: trust });
      return { outcome: 'failed' };
    }
    const runnable = runnableOn(host, spec, trust);
    if (typeof runnable === 'string') return failed(runnable);
    const supervisor = await supervisorFor(host, spec);
    if (typeof supervisor === 'string') return failed(supervisor);
    const held = lease();
    const taken = await runs.take(key, held);
    if (taken.outcome !== 'taken') return taken;
    try {
      await supervisor.start(runnable);
    } catch (err) {
      if (!(err instanceof NotStarted)) throw err;
      return failed(err.message);
    }
    const { state, reason } = await settled(supervisor, key.serviceId);
    if (state !== 'running') return failed(`${reason}; its log says more`);
    const outcome = await runs.started(key, held);
    if (outcome !== 'lost') return { outcome };
    // The lease went while it was started: another machine may run it by now.
    await supervisor.stop(key.serviceId);
    throw new DomainError('FENCED', `${machineId} has lost ${key.serviceId} while it started it`);
  }

  async function stop(key: RunKey): Promise<void> {
    const spec = await runs.specToStop(key.serviceId);
    const supervisor = spec && (await supervisorFor(host, spec));
    if (!(await runs.stopping(key, machineId))) return;
    // Without its supervisor nobody knows whether it runs.
    if (typeof supervisor === 'string') throw new DomainError('UNAVAILABLE', supervisor);
    await stopLocally(host, key.serviceId);
    await runs.stopped(key, machineId);
  }

  return {
    startService: (key: RunKey): Promise<StartOutcome> => beating(() => oneAtATime(key.serviceId, () => start(key))),

    stopService: (key: RunKey): Promise<void> => beating(() => oneAtATime(key.serviceId, () => stop(key))),
  };
}
export type ServiceRunActivities = ReturnType<typeof createServiceRunActivities>;

/** Activities of coordination. */
export function createServiceRequestActivities({ runs }: { runs: ServiceRunStore }) {
  return {
    serviceWave: ({ requestId, wave }: { requestId: string; wave: number }): Promise<WaveService[]> =>
      runs.wave(requestId, wave),

    servicesNotUp: ({ requestId, wave }: { requestId: string; wave: number }): Promise<string[]> =>
      runs.notUpYet(requestId, wave),

    noteServiceFailed: ({ reason, ...key }: RunKey & { reason: string }): Promise<void> => runs.failed(key, reason),

    /** Of one that no machine runs. */
    noteServiceStopped: (key: RunKey): Promise<void> => runs.stopped(key, null),
  };
}
export type ServiceRequestActivities = ReturnType<typeof createServiceRequestActivities>;

/**
 * Brings a machine that comes back in line with the rows before it takes anything: what is no longer its own is stopped, what is and
 * does not run is asked for anew.
 * @param ask false: it was asked for already, and only what could not be stopped is left to do
 * @returns what was stopped, what was asked for, and what is to be stopped while nobody answers who could
 */
export async function reconcileServices(
  { machineId, runs, lease, supervisors, oneAtATime }: ServiceHost,
  ask = true,
): Promise<{ stopped: string[]; asked: string[]; left: string[] }> {
  const rows = await runs.adopt(lease());
  const known = { systemd: await supervisors.systemd(), compose: await supervisors.compose() };
  const living = Object.values(known).filter((supervisor) => supervisor !== undefined);
  const there: Array<[Supervisor, string]> = [];
  for (const supervisor of living) for (const serviceId of await supervisor.own()) there.push([supervisor, serviceId]);
  const stopped: string[] = [];
  const running = new Set<string>();
  for (const [supervisor, serviceId] of there)
    await oneAtATime(serviceId, async () => {
      // As the rows are now: when this is tried again, requests go on beside it.
      if (!(await runs.runsOn(machineId, serviceId))) {
        await supervisor.stop(serviceId);
        stopped.push(serviceId);
      } else if (['running', 'starting'].includes((await supervisor.look(serviceId)).state)) running.add(serviceId);
    });
  const left: string[] = [];
  for (const { serviceId, wanted, kind } of rows) {
    if (wanted !== 'stopped') continue;
    // Without its supervisor nobody knows whether it runs.
    if (known[supervisorKindOf({ kind })] === undefined) left.push(serviceId);
    else await oneAtATime(serviceId, () => runs.stopped({ serviceId }, machineId));
  }
  const asked = rows.flatMap(({ serviceId, wanted }) =>
    ask && wanted === 'running' && !running.has(serviceId) ? [serviceId] : [],
  );
  if (asked.length > 0) await runs.startAgain(machineId, asked);
  return { stopped, asked, left };
}

/** Tells the rows how the services of this machine do, as their supervisors see them. */
export async function lookAtServices({ runs, lease, supervisors }: ServiceHost): Promise<void> {
  const held = lease();
  const own = await runs.runningOn(held.machineId);
  for (const kind of ['systemd', 'compose'] as const) {
    const ids = own.filter(({ spec }) => supervisorKindOf(spec) === kind).map(({ spec }) => spec.id);
    const supervisor = ids.length === 0 ? undefined : await supervisors[kind]();
    if (supervisor === undefined) continue;
    const states = await supervisor.lookAll(ids);
    await runs.saw(
      held,
      ids.map((serviceId, i) => ({ serviceId, ...states[i]! })),
    );
  }
}

/** What the machine has agreed to, or why it has not. */
function trustOn({ machineId, trustOf }: ServiceHost, spec: ServiceSpec): TrustedService | string {
  try {
    const trust = trustOf(spec);
    return 'entry' in trust ? trust.entry : untrustedReason(spec.id, machineId, trust.changed);
  } catch (err) {
    if (!isDomainError(err, 'INVALID_INPUT')) throw err;
    return `command not trusted on ${machineId}: ${err.message}`;
  }
}

/** What the supervisor is told, or why this machine does not run it. */
function runnableOn(host: ServiceHost, spec: ServiceSpec, entry: TrustedService): RunnableService | string {
  const { machineId } = host;
  const { workingDirectory = '.' } = spec;
  const folder = isAbsolute(workingDirectory) ? workingDirectory : join(entry.folder, workingDirectory);
  const shared = {
    id: spec.id,
    machineId,
    folder,
    ports: spec.ports,
    gpu: spec.gpu !== undefined,
    environment: host.variablesNamed(entry.environment),
    limits: entry.limits ?? {},
    user: entry.user,
  };
  const words = spec.command ?? [];
  if (words.some((word) => word.includes('\0'))) return 'its command holds a NUL, which no program can be given';
  if (supervisorKindOf(spec) === 'compose') {
    if (spec.image === undefined) return 'no image is named for it; build one, and name it in fleet.d';
    return { ...shared, command: words, image: spec.image };
  }
  // Agreed to for inside of a container; on the host itself it would be another thing.
  if (spec.image !== undefined) return `it names an image, which only a container runs, and is a ${spec.kind}`;
  const [first] = words;
  if (first === undefined) return 'no command is named for it in fleet.d';
  if (/[\p{Cc}\\]/u.test(folder)) return `its working directory ${JSON.stringify(folder)} cannot stand in a unit`;
  const program = host.findProgram(first, folder);
  if (program === undefined) return `${JSON.stringify(first)} is no program on ${machineId}, seen from ${folder}`;
  return { ...shared, command: [program, ...words.slice(1)] };
}

async function supervisorFor(host: ServiceHost, spec: ServiceSpec): Promise<Supervisor | string> {
  const { machineId, supervisors } = host;
  const kind = supervisorKindOf(spec);
  const own = await supervisors[kind]();
  if (own !== undefined) return own;
  const other = await supervisors[kind === 'systemd' ? 'compose' : 'systemd']();
  if (other === undefined) return `no systemd and no docker on ${machineId}`;
  return kind === 'systemd'
    ? `no systemd on ${machineId}, which a ${spec.kind} needs`
    : `no docker with compose on ${machineId}, which a ${spec.kind} needs`;
}

async function runsHere({ supervisors }: ServiceHost, serviceId: string): Promise<boolean> {
  const seen = await Promise.all(
    (await livingSupervisors(supervisors)).map((supervisor) => supervisor.look(serviceId)),
  );
  return seen.some(({ state }) => state === 'running' || state === 'starting');
}

/** By whichever supervisor has it: the fleet may say another kind now. */
async function stopLocally({ supervisors }: ServiceHost, serviceId: string): Promise<void> {
  for (const supervisor of await livingSupervisors(supervisors)) await supervisor.stop(serviceId);
}

async function livingSupervisors(supervisors: Supervisors): Promise<Supervisor[]> {
  return (await Promise.all([supervisors.systemd(), supervisors.compose()])).filter(
    (supervisor) => supervisor !== undefined,
  );
}

/** How it does once it has stood for a while, or sooner where it does not. */
async function settled(supervisor: Supervisor, serviceId: string) {
  const until = performance.now() + standsMs;
  for (;;) {
    const seen = await supervisor.look(serviceId);
    const over = performance.now() >= until;
    // After a good start `starting` says that it has ended already: until it is started again, it would pass for one that stands.
    if (seen.state !== 'running' || over) return seen;
    await pause(lookEveryMs, undefined, { signal: Context.current().cancellationSignal });
  }
}

/** Of one service one thing at a time. */
export function createTurns() {
  const last = new Map<string, Promise<unknown>>();
  return function inTurn<Result>(key: string, work: () => Promise<Result>): Promise<Result> {
    const next = (last.get(key) ?? Promise.resolve()).then(work, work);
    const done = next
      .catch(() => undefined)
      .finally(() => {
        if (last.get(key) === done) last.delete(key);
      });
    last.set(key, done);
    return next;
  };
}
