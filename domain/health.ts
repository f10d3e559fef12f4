import { type HealthKind, type HealthState, healthStates } from './states.ts';

/** The lease: renewed every 5 s for 15 s, so that two renewals may be missed before a machine counts as lost. */
export const leaseSeconds = 15;
export const renewEverySeconds = 5;
/** After one missed renewal a machine is `suspect`: shown, nothing moved. */
export const suspectAfterSeconds = 8;
/** How often checkFleetHealth and judgeFleetHealth look. */
export const healthEverySeconds = 5;

/** A worker whose machine is no longer in fleet.yaml ends with this: whoever starts workers must not start it again. */
export const removedExitCode = 66;

/** What is looked at together: one pass over the tables of its kinds. */
export const healthLooks = {
  machines: { everySeconds: 5, kinds: ['machine', 'worker', 'model_server', 'disk'] },
  agents: { everySeconds: 30, kinds: ['agent'] },
  channels: { everySeconds: 30, kinds: ['channel'] },
  services: { everySeconds: 10, kinds: ['service'] },
  upkeep: { everySeconds: 60, kinds: ['ledger', 'backup', 'archive', 'mirror', 'certificate', 'token'] },
  // Last: it asks Temporal, and where that does not answer, all else has been judged.
  schedules: { everySeconds: 60, kinds: ['schedule'] },
} as const satisfies Record<string, { everySeconds: number; kinds: readonly HealthKind[] }>;
export type HealthLook = keyof typeof healthLooks;

/** How many looks in a row must agree before a state gets worse, and before it gets better. */
export interface Patience {
  worse: number;
  better: number;
}

const seenTwice: Patience = { worse: 2, better: 2 };
/** A lease is patient by itself, and books that do not add up are no accident; all else must be seen twice. */
export const patience: Readonly<Record<HealthKind, Patience>> = {
  machine: { worse: 1, better: 2 },
  worker: seenTwice,
  model_server: seenTwice,
  disk: seenTwice,
  agent: seenTwice,
  channel: seenTwice,
  schedule: seenTwice,
  ledger: { worse: 1, better: 2 },
  backup: seenTwice,
  archive: seenTwice,
  certificate: seenTwice,
  // A date does not flap.
  token: { worse: 1, better: 1 },
  mirror: seenTwice,
  // Its watch has seen it twice already.
  service: { worse: 1, better: 2 },
};

/** Without a look for this long, what is stored says nothing of now. */
export const unjudgedAfterSeconds = 60;

export interface Health {
  state: HealthState;
  reason: string;
  /** Seen in the last looks, and not yet often enough to count. */
  pendingState: HealthState | null;
  pendingLooks: number;
}

const isWorse = (state: HealthState, than: HealthState) => healthStates.indexOf(state) < healthStates.indexOf(than);

/**
 * What a subject's health is after one more look. A state gets worse only after `worse` looks in a row that were all worse than
 * it, and better only after `better` looks that were all better: whatever flaps faster than that changes nothing. What is not
 * set up is nothing that can flap. A subject without a row begins as ok.
 */
export function settle(
  before: Health | undefined,
  seen: { state: HealthState; reason: string },
  { worse, better }: Patience,
): Health {
  const after: Health = { ...seen, pendingState: null, pendingLooks: 0 };
  if (before === undefined && seen.state === 'not_set_up') return after;
  const from = before ?? { state: 'ok' as const, reason: '', pendingState: null, pendingLooks: 0 };
  if (seen.state === from.state || seen.state === 'not_set_up' || from.state === 'not_set_up') return after;
  const down = isWorse(seen.state, from.state);
  const goesOn = from.pendingState !== null && isWorse(from.pendingState, from.state) === down;
  const looks = (goesOn ? from.pendingLooks : 0) + 1;
  if (looks >= (down ? worse : better)) return after;
  return { ...from, pendingState: seen.state, pendingLooks: looks };
}
