import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { loadFleetFile } from '../../config/fleet-file.ts';
import { fleetAgents } from '../../domain/fleet.ts';
import { personaOf } from '../../domain/personas.ts';
import { type WorldAgent, type WorldMemory, worldMemories } from '../../domain/world.ts';
import { threads } from '../../domain/world-threads.ts';

const fleet = loadFleetFile(fileURLToPath(new URL('../../fleet.yaml', import.meta.url)));
const agents: WorldAgent[] = fleetAgents(fleet).map((agent) => {
  const { name, traits } = personaOf(agent);
  return { id: agent.id, name, archetypeId: agent.archetype.id, traits };
});
const options = { seed: 7, endsAt: '2026-11-21T10:00:00.000Z', days: 30 };
const before = process.cpuUsage();
const memories = [...worldMemories(agents, options)];
// Processor time: what else runs on the box is not the world's.
const { user, system } = process.cpuUsage(before);
const seconds = (user + system) / 1_000_000;
const byAgent = Map.groupBy(memories, ({ agentId }) => agentId);

function sentenceRepeats(told: readonly WorldMemory[]): number {
  const counts = new Map<string, number>();
  for (const { text } of told) {
    for (const sentence of text.split(/(?<=[.!?]["”’]?)\s+/)) counts.set(sentence, (counts.get(sentence) ?? 0) + 1);
  }
  return [...counts.values()].reduce((most, count) => Math.max(most, count), 0);
}

describe('the world', () => {
  test('gives each of 297 agents at least 40 memories, in under two seconds', () => {
    expect(byAgent.size).toBe(297);
    expect([...byAgent.values()].every((told) => told.length >= 40)).toBe(true);
    expect(seconds).toBeLessThan(2);
  });

  test('repeats no sentence more than three times', () => {
    expect(sentenceRepeats(memories)).toBeLessThanOrEqual(3);
    expect(new Set(memories.map(({ text }) => text)).size).toBeGreaterThan(memories.length * 0.99);
  });

  test('repeats no sentence of a town of nine hundred either, nor of one that is nearly empty', () => {
    const many = Array.from({ length: 3 }, (_, copy) =>
      agents.map((agent) => ({ ...agent, id: `${agent.id}-${copy}`, name: `${agent.name} ${'IVX'[copy]}` })),
    ).flat();
    expect(sentenceRepeats([...worldMemories(many, options)])).toBeLessThanOrEqual(3);
    const few = [...worldMemories(agents.slice(0, 2), options)];
    expect(few.length).toBeGreaterThanOrEqual(80);
    expect(sentenceRepeats(few)).toBeLessThanOrEqual(3);
  });

  test('is well-formed prose without open slots', () => {
    for (const { text } of memories) {
      expect(text).toMatch(/^\p{Lu}.*[.!?”]$/u);
      expect(text).not.toMatch(/[{}[\]|]|undefined|\s\s|\b(in in|on on|at at|by by|the the|the an?|an? the)\b/);
      expect(text.length).toBeLessThan(420);
    }
  });

  test('lies within the thirty days, each agent in order of time, under keys of its own', () => {
    const [from, to] = [Date.parse('2026-10-22T00:00:00Z'), Date.parse('2026-11-21T00:00:00Z')];
    for (const told of byAgent.values()) {
      const times = told.map(({ occurredAt }) => Date.parse(occurredAt));
      expect(times).toEqual(times.toSorted((a, b) => a - b));
      expect(new Set(times).size).toBe(times.length);
      expect(times[0]).toBeGreaterThanOrEqual(from);
      expect(times.at(-1)).toBeLessThan(to);
      expect(new Set(told.map(({ externalKey }) => externalKey)).size).toBe(told.length);
    }
    const days = new Set(memories.map(({ occurredAt }) => occurredAt.slice(0, 10)));
    expect(days.size).toBe(30);
  });

  test('weighs memories from 1 to 10 and tells both what was seen and what was said', () => {
    for (const { importance } of memories)
      expect(importance >= 1 && importance <= 10 && Number.isInteger(importance)).toBe(true);
    for (const told of byAgent.values()) {
      expect(new Set(told.map(({ kind }) => kind))).toEqual(new Set(['observation', 'conversation']));
      expect(Math.max(...told.map(({ importance }) => importance))).toBeGreaterThanOrEqual(7);
    }
  });

  test('is the same for the same seed in any order of agents, and another for another seed', () => {
    expect([...worldMemories(agents.toReversed(), options)]).toEqual(memories);
    const other = [...worldMemories(agents.slice(0, 20), { ...options, seed: 8 })];
    expect(other.map(({ text }) => text)).not.toEqual(
      [...worldMemories(agents.slice(0, 20), options)].map((m) => m.text),
    );
  });

  test('has every public moment seen by several agents, and in contradictory ways', () => {
    for (const { moments } of threads) {
      for (const { tellings } of moments) {
        const holders = tellings.map((wordings) =>
          memories.filter(({ kind, text }) => kind === 'observation' && wordings.some((words) => text.includes(words))),
        );
        expect(holders[0]!.length).toBeGreaterThanOrEqual(3);
        expect(holders[1]!.length).toBeGreaterThanOrEqual(3);
      }
    }
  });

  test('lets agents dispute what each of them saw', () => {
    const known = (text: string) =>
      threads
        .flatMap(({ moments }) => moments)
        .some(({ tellings }) => tellings.every((words) => words.some((w) => text.includes(w))));
    for (const told of byAgent.values()) {
      expect(told.filter(({ kind, text }) => kind === 'conversation' && known(text)).length).toBeGreaterThanOrEqual(1);
    }
  });

  test('lets both sides remember a matter between them', () => {
    const lenders = memories.filter(({ text }) => text.includes('asked for nothing in writing'));
    expect(lenders.length).toBeGreaterThan(5);
    const answered = lenders.filter(({ agentId, text }) => {
      const lender = agents.find(({ id }) => id === agentId)!;
      return memories.some(
        (other) => other.text.includes(`${lender.name} lent me`) && text.includes(nameOf(other.agentId)),
      );
    });
    expect(answered.length).toBeGreaterThan(lenders.length * 0.9);
  });
});

function nameOf(agentId: string): string {
  return agents.find(({ id }) => id === agentId)!.name;
}
