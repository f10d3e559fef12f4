import type { Logger } from 'pino';
import type { HeldLease } from '../activities/machine-calls.ts';
import {
  createServiceRunActivities,
  createTurns,
  lookAtServices,
  reconcileServices,
  type ServiceHost,
} from '../activities/service-runs.ts';
import { type ServiceEnvironment, variablesNamed } from '../config/environment.ts';
import { readTrustFile, trustOf } from '../config/trust-file.ts';
import { findProgram } from '../integrations/supervisors/find-program.ts';
import { createSupervisors } from '../integrations/supervisors/supervisors.ts';
import type { ServiceRunStore } from '../stores/service-runs.ts';

/** How soon it is told that a service has gone down by itself. */
const lookEveryMs = 10_000;

/** The owner's services on this machine: only what its own trust file agrees to, and under whatever supervises services here. */
export function createMachineServices(options: {
  machineId: string;
  environment: ServiceEnvironment;
  runs: ServiceRunStore;
  lease: () => HeldLease;
  log: Logger;
}) {
  const { machineId, environment, runs, lease, log } = options;
  const host: ServiceHost = {
    machineId,
    lease,
    runs,
    supervisors: createSupervisors({ ...environment, machineId }),
    trustOf: (spec) => trustOf(readTrustFile(environment.trustFile), spec),
    variablesNamed,
    findProgram: (word, folder) => findProgram(word, folder, environment.path),
    oneAtATime: createTurns(),
  };
  /** What is left to do before the machine is in line with the rows. */
  let left: 'all' | 'stops' | 'nothing' = 'all';
  /** A lease that is won anew is not answered by what was done under the one before: one after the other. */
  let bringing: Promise<void> = Promise.resolve();
  async function bringInLine(): Promise<void> {
    const waited = left === 'stops';
    const { stopped, asked, left: unanswered } = await reconcileServices(host, left === 'all');
    left = unanswered.length > 0 ? 'stops' : 'nothing';
    if (stopped.length > 0) log.warn({ machineId, services: stopped }, 'services stopped that are no longer its own');
    if (asked.length > 0) log.info({ machineId, services: asked }, 'services asked for again');
    if (unanswered.length > 0 && !waited)
      log.warn({ machineId, services: unanswered }, 'services not stopped: nothing that supervises them answers');
  }
  function inTurn(): Promise<void> {
    const next = bringing.then(bringInLine);
    bringing = next.catch(() => undefined);
    return next;
  }
  async function seen(): Promise<void> {
    if (left !== 'nothing') await inTurn();
    await lookAtServices(host);
  }
  let looking: Promise<void> | undefined;
  /** One look at a time; what it cannot see now it sees at the next. */
  function look(): void {
    looking ??= seen()
      .catch((err: unknown) => log.warn({ err, machineId }, 'services not looked at'))
      .finally(() => {
        looking = undefined;
      });
  }
  const timer = setInterval(look, lookEveryMs);

  return {
    async stop(): Promise<void> {
      clearInterval(timer);
      await looking;
    },

    activities: createServiceRunActivities(host),

    /** The machine works on where this fails: its services are then what they were, and each look tries it again. */
    async reconcile(): Promise<void> {
      left = 'all';
      try {
        await inTurn();
      } catch (err) {
        log.error({ err, machineId }, 'services not brought in line');
      }
    },
  };
}
