import type { RunnableService } from '../../domain/service-units.ts';
import type { ServiceSpec } from '../../domain/services.ts';

/** How a service does, as whoever supervises it says. */
export interface SupervisedState {
  /** starting: it ended, or does not stand yet, and is started again. */
  state: 'running' | 'starting' | 'stopped' | 'failed';
  reason: string;
}

/** What keeps services running on a host; it is never ours. */
export interface Supervisor {
  /** Starts it, or leaves it be where it runs as described. @throws NotStarted where it does not come up */
  start(service: RunnableService): Promise<void>;
  /** Stops it and forgets it; nothing where it is not this machine's. */
  stop(serviceId: string): Promise<void>;
  look(serviceId: string): Promise<SupervisedState>;
  /** Several at once, each in its place. */
  lookAll(serviceIds: readonly string[]): Promise<SupervisedState[]>;
  /** Services of this machine that it knows. */
  own(): Promise<string[]>;
}

/** Why a service does not stand, in words for its owner: no fault of ours, and trying again at once mends nothing. */
export class NotStarted extends Error {
  override readonly name = 'NotStarted';
}

/** The supervisors of a host; undefined where it has none of that kind. */
export interface Supervisors {
  systemd(): Promise<Supervisor | undefined>;
  compose(): Promise<Supervisor | undefined>;
}

export function supervisorKindOf({ kind }: Pick<ServiceSpec, 'kind'>): 'systemd' | 'compose' {
  return kind === 'process' || kind === 'unit' ? 'systemd' : 'compose';
}
