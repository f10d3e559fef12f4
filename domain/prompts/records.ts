import type { ReflectableMemory, ReflectingAgent } from '../reflections.ts';
import { asData } from './chat.ts';

/** What a prompt of reflection (questions/N, reflect/N) is made of. */
export interface ReflectPromptInput {
  agent: ReflectingAgent;
  /** What the records were looked up for; null: they are what is new. */
  question: string | null;
  /** In the order shown: the first is `m1`. Models copy two characters more surely than a UUID. */
  memories: readonly ReflectableMemory[];
  /** New memories that did not fit. */
  unshown: number;
}

export function aliasOf(place: number): string {
  return `m${place + 1}`;
}

export function recordsOf(memories: readonly ReflectableMemory[]): string[] {
  return memories.map((memory, place) => recordOf(aliasOf(place), memory));
}

/** One memory as a line of the versions before an end was told. */
function recordOf(alias: string, memory: ReflectableMemory): string {
  const { occurredAt, importance, text, isReflection } = memory;
  const kind = isReflection === true ? { kind: 'reflection' } : {};
  return asData({ id: alias, at: occurredAt.slice(0, 10), ...kind, importance, text });
}

/** One memory as a line; an earlier reflection says that it is one, and what no longer holds until when it did. */
export function recordWithEnd(alias: string, memory: ReflectableMemory): string {
  const { occurredAt, until, importance, text, isReflection } = memory;
  const end = until === undefined ? {} : { until: until.slice(0, 10) };
  const kind = isReflection === true ? { kind: 'reflection' } : {};
  return asData({ id: alias, at: occurredAt.slice(0, 10), ...end, ...kind, importance, text });
}
