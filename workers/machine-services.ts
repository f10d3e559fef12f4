import type { Logger } from 'pino';
import type { HeldLease } from '../activities/machine-calls.ts';
import {
  createServiceRunActivities,
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
  };
  let looking: Promise<void> | undefined;
  /** One look at a time; what it cannot see now it sees at the next. */
  function look(): void {
    looking ??= lookAtServices(host)
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

    /** The machine works on where this fails: its services are then what they were. */
    async reconcile(): Promise<void> {
      try {
        const { stopped, asked } = await reconcileServices(host);
        if (stopped.length > 0)
          log.warn({ machineId, services: stopped }, 'services stopped that are no longer its own');
        if (asked.length > 0) log.info({ machineId, services: asked }, 'services asked for again');
      } catch (err) {
        log.error({ err, machineId }, 'services not brought in line');
      }
    },
  };
}
