import type { ThreadKind } from '../../domain/states.ts';
import { createWorldTruth, judged, type JudgedLinks, keyOf, type ToldMemory } from '../../test/support/world-truth.ts';

/** Links that each memory brings, as in stores/threads.ts. */
const linksPerMemory = 3;

/**
 * What cosine alone would find in the same windows: each memory's best three of those over a threshold. The threshold is the
 * best there is for it, chosen with the truth at hand.
 */
export function cosineAlone(
  history: readonly ToldMemory[],
  vectors: ReadonlyMap<string, Float32Array>,
  partnered: Readonly<Record<ThreadKind, ReadonlySet<ToldMemory>>>,
  windows: { eventMs: number; echoMs: number },
): Record<ThreadKind, JudgedLinks & { threshold: number }> {
  const truth = createWorldTruth(history);
  const at = new Map(history.map((told) => [told, Date.parse(told.memory.occurredAt)]));
  const ordered = history.toSorted((a, b) => at.get(a)! - at.get(b)!);
  const vectorOf = ordered.map((told) => vectors.get(keyOf(told.memory))!);
  const near: Array<{ memory: ToldMemory; other: ToldMemory; cosine: number }> = [];
  const far: typeof near = [];
  for (const [i, memory] of ordered.entries()) {
    const bestNear: typeof near = [];
    const bestFar: typeof near = [];
    for (let j = i - 1; j >= 0; j -= 1) {
      const other = ordered[j]!;
      const apart = at.get(memory)! - at.get(other)!;
      if (apart > windows.echoMs) break;
      if (other.memory.agentId === memory.memory.agentId) continue;
      keepBest(apart > windows.eventMs ? bestFar : bestNear, {
        memory,
        other,
        cosine: cosine(vectorOf[i]!, vectorOf[j]!),
      });
    }
    near.push(...bestNear);
    far.push(...bestFar);
  }
  const best = (kind: ThreadKind, links: typeof near) => {
    let found: (JudgedLinks & { threshold: number }) | undefined;
    for (let threshold = 0.4; threshold < 0.96; threshold += 0.05) {
      const over = links.filter((link) => link.cosine >= threshold);
      const result = { ...judged(over, kind, truth, partnered[kind]), threshold };
      if (found === undefined || harmonic(result) > harmonic(found)) found = result;
    }
    return found!;
  };
  return { same_event: best('same_event', near), echo: best('echo', far), contradiction: best('contradiction', near) };
}

function keepBest<Link extends { cosine: number }>(best: Link[], link: Link): void {
  if (best.length === linksPerMemory && link.cosine <= best.at(-1)!.cosine) return;
  best.push(link);
  best.sort((a, b) => b.cosine - a.cosine);
  if (best.length > linksPerMemory) best.pop();
}

function harmonic({ precision, found }: JudgedLinks): number {
  return precision + found === 0 ? 0 : (2 * precision * found) / (precision + found);
}

function cosine(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i += 1) sum += a[i]! * b[i]!;
  return sum;
}
