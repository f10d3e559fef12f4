/** A whisper is a request that may call a new persona into being; the same words as the SQL checks. */
export const whisperSources = ['api', 'reply', 'guild', 'source', 'cluster'] as const;
export type WhisperSource = (typeof whisperSources)[number];

export const whisperStates = ['received', 'awaiting_approval', 'spawned', 'refused', 'expired'] as const;
export type WhisperState = (typeof whisperStates)[number];
export const openWhisperStates = ['received', 'awaiting_approval'] as const satisfies readonly WhisperState[];

export const whisperChars = 2_000;

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
