import { mainPort } from './fleet-map.ts';
import type { ServiceSpec } from './services.ts';
import type { ServiceState } from './states.ts';

/** How often the worker of a machine looks at the services there, and how long one look may take. */
export const serviceLookSeconds = 5;
export const serviceProbeSeconds = 3;
/** So many looks in a row must say otherwise before a service that was up is down, and the other way round. */
const looksUntilBelieved = 2;
/** One that is being started may be silent for so long. */
export const startGraceSeconds = 120;

/** Whether a look from outside can tell: by its health check, unless that is a command, or else by its main port. */
export function canBeLookedAt({ healthCheck, ports }: Pick<ServiceSpec, 'healthCheck' | 'ports'>): boolean {
  if (healthCheck !== undefined && healthCheck.kind !== 'command') return true;
  const main = mainPort({ ports });
  return main !== undefined && main.protocol !== 'udp';
}

/** What one look saw. unknown: there is nothing to look at, or what would tell is not there. */
export type ServiceSign = { sign: 'up' } | { sign: 'down'; reason: string } | { sign: 'unknown'; reason: string };

export interface WatchedService {
  state: ServiceState;
  /** Stands still while nothing changes, so that nothing is written. */
  reason: string;
  /** Looks in a row that said otherwise. */
  looks: number;
}

/**
 * What a service is after one more look. One that was stopped on purpose is not down, and one that is being started has its time.
 * @param forSeconds how long it has been in its state
 */
export function settleService(before: WatchedService, seen: ServiceSign, forSeconds: number): WatchedService {
  const same = { ...before, looks: 0 };
  if (seen.sign === 'unknown') return before.state === 'unknown' ? { ...same, reason: seen.reason } : same;
  const believed = (state: ServiceState, reason: string, at: number): WatchedService => {
    const looks = before.looks + 1;
    return looks >= at ? { state, reason, looks: 0 } : { ...before, looks };
  };
  if (seen.sign === 'up') {
    if (before.state === 'up') return { state: 'up', reason: '', looks: 0 };
    const at = before.state === 'unknown' || before.state === 'starting' ? 1 : looksUntilBelieved;
    return believed('up', '', at);
  }
  if (before.state === 'down') return { state: 'down', reason: seen.reason, looks: 0 };
  if (before.state === 'stopped') return same;
  if (before.state === 'starting' && forSeconds < startGraceSeconds) return same;
  return believed('down', seen.reason, looksUntilBelieved);
}
