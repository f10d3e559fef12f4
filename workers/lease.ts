import type { Logger } from 'pino';
import type { HeldLease } from '../activities/machine-calls.ts';
import { DomainError, isDomainError } from '../domain/errors.ts';
import { leaseSeconds, renewEverySeconds } from '../domain/health.ts';
import type { RunsAs } from '../domain/states.ts';
import type { Lease, MachineStore, Polling, Renewal } from '../stores/machines.ts';

export interface LeaseOptions {
  machines: MachineStore;
  machineId: string;
  identity: string;
  runsAs: RunsAs;
  log: Logger;
  /** What the machine polls now, written with each renewal. */
  polling: () => Polling;
  /** Each time before it renews: what has to be done as often, and needs no timer of its own. */
  onBeat?: () => void;
  /** The epoch has passed to somebody else; called before the machine registers anew. */
  onLost: () => void;
  /** The database has not answered for a whole lease: finish calls in hand, take none. */
  onSilence: () => void;
  /** Each time the database has taken a renewal. */
  onRenewed: (renewal: Renewal) => void;
  /** Each time a renewal failed for a reason that may pass. */
  onFailed?: () => void;
  /** The lease holds again after a loss or a silence. */
  onHeld: () => void;
  /** fleet.yaml no longer names the machine, or another error that renewing cannot mend. */
  onFatal: (err: unknown) => void;
}

/**
 * Registers the machine and renews its lease every 5 s for 15 s. Three ways it can go: renewed; touched no row (the
 * epoch has moved: abort, register anew); no answer (keep trying; after 15 s take no more work).
 */
export async function keepLease(options: LeaseOptions) {
  const { machines, machineId, log } = options;
  let lease: Lease = await machines.register(machineId, options);
  let abort = new AbortController();
  let silent = false;
  let stopped = false;
  let timer: NodeJS.Timeout | undefined;
  let renewing: Promise<void> | undefined;

  async function renew(): Promise<void> {
    options.onBeat?.();
    try {
      const renewal = await machines.renewUnderPlan(lease, options.polling());
      if (renewal !== undefined) {
        silence.refresh();
        if (silent) {
          silent = false;
          log.info({ machineId }, 'lease held again');
          options.onHeld();
        }
        options.onRenewed(renewal);
        return;
      }
      await registerAnew();
    } catch (err) {
      log.warn({ err, machineId }, 'lease not renewed');
      options.onFailed?.();
    }
  }

  function onSilence(): void {
    silent = true;
    log.warn({ machineId }, 'the database is silent: no more work is taken');
    options.onSilence();
  }

  async function registerAnew(): Promise<void> {
    log.warn({ machineId, epoch: lease.epoch }, 'lease lost');
    abort.abort(new Error(`lease of epoch ${lease.epoch} lost`));
    options.onLost();
    try {
      const holder = await machines.holder(machineId);
      if (holder !== undefined && holder !== options.identity) {
        throw new DomainError('MACHINE_UNKNOWN', `${holder} works as ${machineId} now; one machine has one worker`);
      }
      lease = await machines.register(machineId, options);
    } catch (err) {
      if (isDomainError(err, 'MACHINE_UNKNOWN')) options.onFatal(err);
      throw err;
    }
    abort = new AbortController();
    silence.refresh();
    silent = false;
    log.info({ machineId, epoch: lease.epoch }, 'registered anew');
    options.onHeld();
  }

  function next(): void {
    if (stopped) return;
    timer = setTimeout(() => void renewNow(), renewEverySeconds * 1000);
  }

  /** Renews at once, after the one that is under way. */
  function renewNow(): Promise<void> {
    clearTimeout(timer);
    renewing = (renewing ?? Promise.resolve()).then(renew).finally(next);
    return renewing;
  }

  // A timer, since a database that hangs answers no query, and refuses none either. Each renewal puts it off, which wakes nobody.
  const silence = setTimeout(onSilence, leaseSeconds * 1000);
  next();
  return {
    held: (): HeldLease => ({ machineId, epoch: lease.epoch, signal: abort.signal }),
    renewNow,
    /** Aborts calls that have outlived the grace of a stop. */
    abort: (reason: string) => abort.abort(new Error(reason)),
    /** Gives the lease back. */
    async stop(): Promise<void> {
      stopped = true;
      clearTimeout(silence);
      clearTimeout(timer);
      await renewing;
      clearTimeout(timer);
      await machines.leave(lease);
    },
  };
}
