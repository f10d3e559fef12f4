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
import { readTrustFile, trustedCommands, trustOf } from '../config/trust-file.ts';
import { isDomainError } from '../domain/errors.ts';
import type { TrustedCommand } from '../domain/service-trust.ts';
import { findProgram } from '../integrations/supervisors/find-program.ts';
import { createSupervisors } from '../integrations/supervisors/supervisors.ts';
import type { MachineReportStore } from '../stores/machine-reports.ts';
import type { RefusedStart, ServiceRunStore } from '../stores/service-runs.ts';

/** How soon it is told that a service has gone down by itself. */
const lookEveryMs = 10_000;

/** The owner's services on this machine: only what its own trust file agrees to, and under whatever supervises services here. */
export function createMachineServices(options: {
  machineId: string;
  environment: ServiceEnvironment;
  runs: ServiceRunStore;
  reports: Pick<MachineReportStore, 'reportTrust'>;
  lease: () => HeldLease;
  log: Logger;
}) {
  const { machineId, environment, runs, reports, lease, log } = options;
  const host: ServiceHost = {
    machineId,
    lease,
    runs,
    supervisors: createSupervisors({ ...environment, machineId }),
    trustOf: (spec) => trustOf(readTrustFile(environment.trustFile), spec),
    refused: (refusal) => tellTrust(refusal),
    variablesNamed,
    findProgram: (word, folder) => findProgram(word, folder, environment.path),
    oneAtATime: createTurns(),
  };
  /** What was last told of the trust file; undefined: nothing under this lease. */
  let told: string | undefined;
  let fault: string | undefined;
  let telling: Promise<void> | undefined;

  /** Tells which commands of the fleet's this machine would run, where that has changed. */
  async function tellTrust(refused?: RefusedStart): Promise<void> {
    const trusts = await readTrusted();
    const text = JSON.stringify(trusts);
    if (text === told && refused === undefined) return;
    await reports.reportTrust(machineId, trusts, refused);
    told = text;
  }

  /** Nothing of a file that somebody else could have written. */
  async function readTrusted(): Promise<TrustedCommand[]> {
    try {
      const file = readTrustFile(environment.trustFile);
      const hashed = file.services.filter((entry) => entry.sha256 !== undefined);
      const specs = new Map(await Promise.all(hashed.map(async ({ id }) => [id, await runs.specOf(id)] as const)));
      fault = undefined;
      return trustedCommands(file, (id) => specs.get(id));
    } catch (err) {
      if (!isDomainError(err, 'INVALID_INPUT')) throw err;
      if (fault !== err.message) log.error({ err, machineId }, 'the trust file is not to be trusted: no service is');
      fault = err.message;
      return [];
    }
  }

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
      await Promise.all([looking, telling]);
    },

    activities: createServiceRunActivities(host),

    /** As often as the lease is renewed; what cannot be told now is told at the next. */
    beat(): void {
      // What it says has services started here: not beside those of before that are being stopped.
      telling ??= bringing
        .then(() => tellTrust())
        .catch((err: unknown) => log.warn({ err, machineId }, 'what is trusted here was not told'))
        .finally(() => {
          telling = undefined;
        });
    },

    /** The machine works on where this fails: its services are then what they were, and each look tries it again. */
    async reconcile(): Promise<void> {
      left = 'all';
      told = undefined;
      try {
        await inTurn();
        await tellTrust();
      } catch (err) {
        log.error({ err, machineId }, 'services not brought in line');
      }
    },
  };
}
