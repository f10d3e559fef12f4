import { sourceItemOfKey } from './sources.ts';

/** A whisper is a request that may call a new persona into being; the same words as the SQL checks. */
export const whisperSources = ['api', 'reply', 'guild', 'source', 'cluster'] as const;
export type WhisperSource = (typeof whisperSources)[number];

export const whisperStates = ['received', 'awaiting_approval', 'spawned', 'refused', 'expired'] as const;
export type WhisperState = (typeof whisperStates)[number];
export const openWhisperStates = ['received', 'awaiting_approval'] as const satisfies readonly WhisperState[];

export const whisperChars = 2_000;

/** The request that a message makes: the same message asks once. */
export function replyRequestId(messageId: string): string {
  return `message:${messageId}`;
}

/** The request that an item of a source makes, in whatever version: the same item asks once. */
export function sourceRequestId(sourceId: string, itemHash: string): string {
  return `source:${sourceId}:${itemHash}`;
}

/** The request made of the same words as the memory with this key: what was said to an agent, or came from a source. */
export function requestIdOfMemory(externalKey: string): string | undefined {
  const [, messageId] = /^message:([^:]+):said$/.exec(externalKey) ?? [];
  if (messageId !== undefined) return replyRequestId(messageId);
  const item = sourceItemOfKey(externalKey);
  return item && sourceRequestId(item.sourceId, item.itemHash);
}

/** What the birth of a cluster whispers, in the words that set it apart; nothing where there are none. */
export function clusterWhisper(members: number, terms: readonly string[]): string | undefined {
  if (terms.length === 0) return undefined;
  return `${members} of us have come to speak of the same: ${terms.slice(0, 6).join(', ')}. Somebody who belongs here should come.`;
}

/** Why a whisper ended without a persona. A retry is a new whisper that names the old one. */
export const refusalCodes = [
  // By admission.
  'PARENT_RETIRED',
  'TOO_DEEP',
  'TOO_MANY_CHILDREN',
  'GROWING_TOO_FAST',
  'LINEAGE_RATE',
  'FLEET_RATE',
  // On the way.
  'NO_MACHINE',
  'TOO_ALIKE',
  'NO_ROOM',
  'NOT_APPROVED',
  'APPROVAL_EXPIRED',
  'EGO_TOO_LOW',
  'NO_NAME',
  'CANCELED',
  'FAILED',
] as const;
export type RefusalCode = (typeof refusalCodes)[number];

export interface Refusal {
  code: RefusalCode;
  reason: string;
}

/** How a whisper ended. */
export type SpawnEnd =
  | { state: 'spawned'; agentId: string }
  | { state: 'refused' | 'expired'; code: string; reason: string };
