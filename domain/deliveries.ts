import { type ChannelKindName, channelKindRow } from './channel-kinds.ts';
import type { DropDeliveryState } from './states.ts';

/** What follows from the attempts of one drop on one channel. Pure: stores/deliveries.ts keeps it. */

/**
 * deferred: it was surely not taken, and may be later (no byte left; 429; what the service says is not taken).
 * refused: it was not taken and never will be. unknown: bytes left, and no answer tells what became of them.
 */
export const deliveryOutcomes = ['published', 'deferred', 'refused', 'unknown'] as const;
export type DeliveryOutcome = (typeof deliveryOutcomes)[number];

/** Seconds an attempt may take to its first byte; it leaves none after that, so a process that stood still posts nothing late. */
export const leaveWithinSeconds = 5;
/** It looks once more whether it is stopped when it could leave; seconds after which that look counts no more. */
export const leaveAfterLookSeconds = 1;
/** Seconds an attempt may take in all. */
export const attemptSeconds = 10;
/** An attempt without an end that is older was made by somebody who died: it can neither send nor hear any more. */
export const deadAfterSeconds = 15;
/** A place in the row of a destination that was not taken up within this is lost: places that have passed make no burst. */
export const slotSeconds = 10;

/** Seconds between attempts: about a day in all. */
const delays = [5, 30, 120, 600, 1_800, 7_200, 18_000, 36_000] as const;
/** A service may put it off for a day. */
export const longestPutOffSeconds = 86_400;

export interface PastAttempt {
  outcome: DeliveryOutcome;
  /** Seconds since it was begun. */
  age: number;
}

export interface DeliveryStep {
  state: DropDeliveryState;
  againInSeconds?: number;
}

/** What a key's life is shortened by: the clocks of others, what stands in queues, and the attempt itself. */
function keyMargin(life: number): number {
  return Math.max(30, life / 10);
}

/** Seconds for which the service may still be at work on an attempt of which nobody knows: whoever sends it again waits them out. */
export function patienceLeft(kind: ChannelKindName, attempts: readonly PastAttempt[]): number {
  const { patience } = channelKindRow(kind);
  const youngest = Math.min(...attempts.filter(({ outcome }) => outcome === 'unknown').map(({ age }) => age));
  return patience === 0 ? 0 : Math.max(0, leaveWithinSeconds + patience - youngest);
}

/** Whether another request can make no second post, so long after the first attempt of which nobody knows. */
export function mayResend(kind: ChannelKindName, secondsSinceDoubt: number): boolean {
  const { keyLife } = channelKindRow(kind);
  if (typeof keyLife === 'string') return keyLife === 'always';
  return secondsSinceDoubt < keyLife - keyMargin(keyLife);
}

/** The first attempt of which nobody knows what became of it. */
export function firstDoubt(attempts: readonly PastAttempt[]): PastAttempt | undefined {
  return attempts.find(({ outcome }) => outcome === 'unknown');
}

/**
 * What follows from how the attempts of a delivery ended, all since a person last asked for it. One in doubt is never `failed`:
 * it may be there. It goes out again by itself only where that can make no second post.
 */
export function afterAttempt(kind: ChannelKindName, attempts: readonly PastAttempt[], waitSeconds = 0): DeliveryStep {
  const last = attempts.at(-1);
  if (last?.outcome === 'published') return { state: 'published' };
  const doubt = firstDoubt(attempts);
  const over: DeliveryStep = { state: doubt === undefined ? 'failed' : 'unconfirmed' };
  if (last?.outcome === 'refused') return over;
  const delay = delays[attempts.length - 1];
  if (delay === undefined) return over;
  const againInSeconds = Math.max(delay, patienceLeft(kind, attempts), Math.min(waitSeconds, longestPutOffSeconds));
  if (doubt !== undefined && !mayResend(kind, doubt.age + againInSeconds)) return over;
  return { state: 'pending', againInSeconds };
}
