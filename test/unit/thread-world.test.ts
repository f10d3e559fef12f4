import { beforeAll, expect, test } from 'vitest';
import { type ThreadKind, threadKinds } from '../../domain/states.ts';
import { memoryWords } from '../../domain/memory-words.ts';
import { linkOf, type ThreadLink, type WeavableMemory } from '../../domain/thread-links.ts';
import { byTime, ThreadWindow } from '../../domain/thread-window.ts';
import { bestPerMemory } from '../../domain/threads.ts';
import { worldHistory } from '../../domain/world.ts';
import { personaOf } from '../../domain/personas.ts';
import { fleetAgents } from '../../domain/fleet.ts';
import { testFleet } from '../support/fleets.ts';
import { hashedEmbedder } from '../support/hashed-embedder.ts';
import { createWorldTruth, judged, keyOf, partneredBy, type ToldMemory } from '../support/world-truth.ts';

/** A month of a town of 60, told with another seed than the one on which the thresholds were chosen. */
const dayMs = 86_400_000;
const windows = { eventMs: 2 * 3_600_000, echoMs: 72 * 3_600_000 };
const agents = fleetAgents(testFleet({ heavy: 0, light: 60 })).map((agent) => ({
  id: agent.id,
  name: personaOf(agent).name,
  archetypeId: agent.archetype.id,
  traits: agent.traits,
}));
const names = new Map(agents.map(({ id, name }) => [id, name]));
const history: ToldMemory[] = [...worldHistory(agents, { seed: 61, endsAt: '2026-06-01T00:00:00Z', days: 30 })];
const told = new Map(history.map((each) => [keyOf(each.memory), each]));
const truth = createWorldTruth(history);
let links: ThreadLink[];

beforeAll(async () => {
  const memories = history
    .map(
      ({ memory }): WeavableMemory => ({
        id: keyOf(memory),
        agentId: memory.agentId,
        atMs: Date.parse(memory.occurredAt),
        contentHash: memory.text,
        words: memoryWords(memory.text, names.get(memory.agentId)!),
      }),
    )
    .sort(byTime);
  const vectors = await hashedEmbedder.embed(memories.map(({ id }) => told.get(id)!.memory.text));
  const vectorOf = new Map(memories.map(({ id }, i) => [id, vectors[i]!]));
  const place = new Map(memories.map(({ id }, i) => [id, i]));
  // As weaving slides it, a day at a time: what is rare is counted within days, not over the month.
  const window = new ThreadWindow(windows);
  const days = Map.groupBy(memories, ({ atMs }) => Math.floor(atMs / dayMs));
  links = [...days].flatMap(([day, ofDay]) => {
    const [fromMs, toMs] = [day * dayMs - windows.echoMs, (day + 1) * dayMs + windows.echoMs];
    window.keep(fromMs, toMs);
    window.add(memories.filter(({ atMs }) => atMs >= fromMs && atMs <= toMs));
    return ofDay.flatMap(({ id }) =>
      window
        .candidates(id, (otherId) => place.get(otherId)! > place.get(id)!)
        .flatMap((candidate) => linkOf(candidate, cosine(vectorOf.get(id)!, vectorOf.get(candidate.otherId)!)) ?? []),
    );
  });
});

function cosine(a: Float32Array, b: Float32Array): number {
  return a.reduce((sum, value, i) => sum + value * b[i]!, 0);
}

test.each<[ThreadKind, { precision: number; found: number }]>([
  // Hashed words stand in for vectors here; with the built-in model more is found (`npm run bench -- weave`).
  ['same_event', { precision: 0.95, found: 0.75 }],
  ['echo', { precision: 0.85, found: 0.85 }],
  // Few of the town's tellings are opposed by a word of the lists; those that are found are right.
  ['contradiction', { precision: 0.9, found: 0.02 }],
])('%s: the links are right and the partners found, by what the maker of the town knows', (kind, least) => {
  const own = bestPerMemory(
    links.filter((link) => link.kind === kind),
    3,
  ).map(({ memoryId, otherId }) => ({ memory: told.get(memoryId)!, other: told.get(otherId)! }));
  const { precision, found } = judged(own, kind, truth, partneredBy(history, kind, truth, windows));
  expect(precision).toBeGreaterThanOrEqual(least.precision);
  expect(found).toBeGreaterThanOrEqual(least.found);
});

test('no link joins memories of one agent or reaches beyond its window', () => {
  expect(new Set(links.map(({ kind }) => kind))).toEqual(new Set(threadKinds));
  for (const { kind, memoryId, otherId, hours } of links) {
    const [one, other] = [told.get(memoryId)!.memory, told.get(otherId)!.memory];
    expect(one.agentId).not.toBe(other.agentId);
    expect(Math.abs(hours) * 3_600_000).toBeLessThanOrEqual(kind === 'echo' ? windows.echoMs : windows.eventMs);
  }
});
