import { isLived, type MemoryKind } from './states.ts';

/**
 * The trigger of Park et al. 2023 (arXiv 2304.03442): an agent reflects when the importance of what happened to it since
 * it last did adds up to a threshold (`importanceThreshold`, 150 as in the paper).
 */

/** What is told later than this is history: it is read at the next run, and moves nobody to reflect at once. */
const toldInTimeMs = 24 * 3_600_000;

/** What a memory adds to the sum: its importance, where it was lived and told in time. An import of years moves nobody. */
export function countedImportance(
  memory: { kind: MemoryKind; importance: number; occurredAt: string; past?: object },
  now: Date,
): number {
  // What another fleet tells of is history, however young.
  if (memory.past !== undefined || !isLived(memory.kind)) return 0;
  return Date.parse(memory.occurredAt) >= now.getTime() - toldInTimeMs ? memory.importance : 0;
}
