import {
  ActivityFailure,
  isCancellation,
  log,
  proxyActivities,
  proxyLocalActivities,
  setCurrentDetails,
  sleep,
  TimeoutFailure,
} from '@temporalio/workflow';
import type { ServiceRequestActivities, ServiceRunActivities } from '../activities/service-runs.ts';
import type { ServiceAction } from '../domain/states.ts';
import { machineQueue } from '../domain/task-queues.ts';

export interface RunServicesInput {
  requestId: string;
  action: ServiceAction;
  /** Their number; the rows say what is in each. */
  waves: number;
}
export interface RunServicesResult {
  started: number;
  stopped: number;
  failed: number;
}

const { serviceWave, servicesNotUp, noteServiceFailed, noteServiceStopped } =
  proxyLocalActivities<ServiceRequestActivities>({
    startToCloseTimeout: '5 seconds',
    retry: { maximumInterval: '2 seconds' },
  });

/** At once in a wave: a host that starts all it has at one moment serves none of it. */
const mostAtOnce = 20;
/** How long a wave waits for what it started to be up by its probe, before the next one goes by that it was started. */
const upWithin = { looks: 15, every: '2 seconds' } as const;

/** Stops services in waves from the last to the first, then starts them the other way; one that fails holds what needs it. */
export async function runServices({ requestId, action, waves }: RunServicesInput): Promise<RunServicesResult> {
  const result: RunServicesResult = { started: 0, stopped: 0, failed: 0 };
  const show = (what: string) =>
    setCurrentDetails(`${what} · ${result.started} started, ${result.stopped} stopped, ${result.failed} failed`);
  const notStopped = new Set<string>();
  if (action !== 'start') {
    for (let wave = waves - 1; wave >= 0; wave -= 1) {
      show(`Stops wave ${wave + 1} of ${waves}`);
      const rows = (await serviceWave({ requestId, wave })).filter((row) => row.action !== 'start');
      await eachOf(rows, async ({ serviceId, holderId }) => {
        const stopped = await stopOn(holderId, { serviceId, requestId });
        if (stopped) result.stopped += 1;
        else {
          result.failed += 1;
          notStopped.add(serviceId);
        }
      });
    }
  }
  if (action !== 'stop') {
    for (let wave = 0; wave < waves; wave += 1) {
      show(`Starts wave ${wave + 1} of ${waves}`);
      const rows = await serviceWave({ requestId, wave });
      // Where it was not stopped the old process may run on: to start it would call that one started.
      const free = rows.filter(({ serviceId, holderId }) => holderId === null || !notStopped.has(serviceId));
      await eachOf(free, async ({ serviceId, machineId, held }) => {
        const key = { serviceId, requestId };
        const started = held === '' && machineId !== null ? await startOn(machineId, key) : await fail(key, held);
        if (started) result.started += 1;
        else result.failed += 1;
      });
      if (wave + 1 < waves) await waitUntilUp(requestId, wave);
    }
  }
  show('Done');
  return result;
}

async function startOn(machineId: string, key: { serviceId: string; requestId: string }): Promise<boolean> {
  const { startService } = proxyActivities<ServiceRunActivities>({
    taskQueue: machineQueue(machineId),
    scheduleToStartTimeout: '20 seconds',
    startToCloseTimeout: '15 minutes',
    heartbeatTimeout: '10 seconds',
    retry: { initialInterval: '500 milliseconds', maximumAttempts: 5 },
    summary: `${key.serviceId} on ${machineId}`,
  });
  try {
    const first = await startService(key);
    if (first.outcome !== 'held') return first.outcome === 'started';
    // It runs elsewhere, by an older plan.
    if (!(await stopOn(first.holderId ?? null, key))) return false;
    return (await startService(key)).outcome === 'started';
  } catch (err) {
    return fail(key, `${machineId} has not started it: ${reasonOf(err)}`);
  }
}

/** @returns false where it may still run there */
async function stopOn(holderId: string | null, key: { serviceId: string; requestId: string }): Promise<boolean> {
  if (holderId === null) {
    await noteServiceStopped(key);
    return true;
  }
  const { stopService } = proxyActivities<ServiceRunActivities>({
    taskQueue: machineQueue(holderId),
    scheduleToStartTimeout: '20 seconds',
    startToCloseTimeout: '5 minutes',
    heartbeatTimeout: '10 seconds',
    retry: { initialInterval: '500 milliseconds', maximumAttempts: 5 },
    summary: `${key.serviceId} on ${holderId}`,
  });
  try {
    await stopService(key);
    return true;
  } catch (err) {
    // A machine that is away does so when it comes back; one that answered and could not leaves it as it is.
    const said = `${holderId} has not stopped it`;
    return fail(
      key,
      isAway(err)
        ? `${said}, and does so when it comes back: ${reasonOf(err)}`
        : `${said}, and it may run on: ${reasonOf(err)}`,
    );
  }
}

async function fail(key: { serviceId: string; requestId: string }, reason: string): Promise<false> {
  log.warn('service not brought to what was asked', { ...key, reason });
  await noteServiceFailed({ ...key, reason });
  return false;
}

async function waitUntilUp(requestId: string, wave: number): Promise<void> {
  for (let look = 0; look < upWithin.looks; look += 1) {
    if ((await servicesNotUp({ requestId, wave })).length === 0) return;
    await sleep(upWithin.every, { summary: 'until the wave is up' });
  }
}

/** Nobody answered in its stead: its worker is gone, or went while it was at it. */
function isAway(err: unknown): boolean {
  return err instanceof ActivityFailure && err.cause instanceof TimeoutFailure;
}

function reasonOf(err: unknown): string {
  if (isCancellation(err) || !(err instanceof ActivityFailure)) throw err;
  return err.cause?.message ?? err.message;
}

async function eachOf<Item>(items: readonly Item[], work: (item: Item) => Promise<void>): Promise<void> {
  const left = [...items];
  const next = async (): Promise<void> => {
    for (let item = left.shift(); item !== undefined; item = left.shift()) await work(item);
  };
  await Promise.all(Array.from({ length: Math.min(mostAtOnce, items.length) }, next));
}
