import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { loadFleetFile } from '../../config/fleet-file.ts';
import { type Fleet, fleetAgents } from '../../domain/fleet.ts';
import { personaOf } from '../../domain/personas.ts';

const fleet = loadFleetFile(fileURLToPath(new URL('../../fleet.yaml', import.meta.url)));
const agents = fleetAgents(fleet);
const agent = (id: string) => agents.find((one) => one.id === id)!;

function grown(factor: number): Fleet {
  return { ...fleet, archetypes: fleet.archetypes.map((one) => ({ ...one, count: one.count * factor })) };
}

function sentences(text: string): string[] {
  return text.split(/(?<=[.!?])\s+/);
}

describe('personas', () => {
  test('are 297 different names and characters in the shipped fleet', () => {
    const personas = agents.map(personaOf);
    expect(new Set(personas.map(({ name }) => name)).size).toBe(297);
    expect(new Set(personas.map(({ persona }) => persona)).size).toBe(297);
    expect(new Set(personas.map(({ maskSeed }) => maskSeed)).size).toBe(297);
  });

  test('differ in more than the name', () => {
    const nameless = agents.map((one) => {
      const { name, persona } = personaOf(one);
      return persona.replaceAll(name, '').replaceAll(name.split(' ')[0]!, '');
    });
    expect(new Set(nameless).size).toBe(297);
  });

  test('stay different in a fleet of five thousand, and beyond the list of given names', () => {
    const many = fleetAgents(grown(17)).map(personaOf);
    expect(many.length).toBeGreaterThan(5000);
    expect(new Set(many.map(({ name }) => name)).size).toBe(many.length);
    expect(new Set(many.map(({ persona }) => persona)).size).toBe(many.length);
    const one = { ...fleet, archetypes: [{ ...fleet.archetypes[0]!, count: 30_000 }], agents: {} };
    expect(new Set(fleetAgents(one).map((each) => personaOf(each).name)).size).toBe(30_000);
  });

  test('are the same on every host', () => {
    expect(personaOf(agent('vesper-001'))).toMatchInlineSnapshot(`
      {
        "maskSeed": 4271175268,
        "name": "Tess Vesper",
        "persona": "Tess Vesper keeps the evening watch and writes down what changed since yesterday. Tess comes of a long line of people who left before the end. Tess lets a silence do the asking, and never says “soon” where a number would do. Sooner or later Tess comes back to a tune that breaks off in the same place each time, and hopes, without saying so, to be needed a little less and liked a little more.",
        "traits": [
          "patient",
          "watchful",
          "exact",
          "dry-witted",
        ],
      }
    `);
  });

  test('do not change when other agents come or go', () => {
    const others = fleetAgents({ ...grown(2), archetypes: grown(2).archetypes.toReversed() });
    for (const id of ['courier-020', 'bard-001', 'oracle-008']) {
      expect(personaOf(others.find((one) => one.id === id)!)).toEqual(personaOf(agent(id)));
    }
  });

  test('are two to four plain sentences that name their bearer and carry no open slot', () => {
    for (const one of fleetAgents(grown(5))) {
      const { name, persona } = personaOf(one);
      expect(persona).toContain(name.split(' ')[0]);
      expect(persona).not.toMatch(/[{}]|undefined|\s\s|\.\./);
      expect(sentences(persona).length).toBeGreaterThanOrEqual(2);
      expect(sentences(persona).length).toBeLessThanOrEqual(4);
      for (const sentence of sentences(persona)) expect(sentence).toMatch(/^\p{Lu}.*[.!?]$/u);
    }
  });

  test('speak from their traits, also from one that no list knows', () => {
    const odd = { ...agent('baker-001'), traits: ['moon-struck'] };
    expect(personaOf(odd).persona).toContain('“moon-struck”');
    expect(personaOf(odd).traits).toEqual(['moon-struck']);
  });

  test('give way to what the file says of one agent by name', () => {
    const named = personaOf(agent('vesper-014'));
    expect(named.name).toBe('Isaura of the Last Lamp');
    expect(named.persona).toMatch(/^Isaura of the Last Lamp /);
    const written = { ...agent('vesper-014'), override: { persona: 'A lamp that listens.', maskSeed: 5 } };
    expect(personaOf(written)).toMatchObject({ persona: 'A lamp that listens.', maskSeed: 5 });
  });
});
