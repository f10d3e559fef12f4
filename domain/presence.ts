import { leaseSeconds, renewEverySeconds } from './health.ts';

/** What a machine does right now, as its worker shows it in Redis. */
export interface Presence {
  /** Calls that run on its model server. */
  running: number;
  sequences: number;
  polls: string[];
  /** Models that left memory because nothing called them; the next call has them loaded again. */
  idle: Array<{ modelId: string; since: string }>;
  at: string;
}

export function presenceKey(machineId: string): string {
  return `soulfra:presence:${machineId}`;
}

/** What has not changed is shown again with every third renewal of the lease; gone is who has not done so for as many leases. */
export const showAgainSeconds = 3 * renewEverySeconds - 1;
export const presenceSeconds = 3 * leaseSeconds;
