import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { exportFleet, loadFleetFile, parseFleet } from '../../config/fleet-file.ts';
import { type Fleet, fleetAgents } from '../../domain/fleet.ts';
import { fleetChangeLines } from '../../domain/fleet-change-lines.ts';
import { type FleetChange, fileOwned, fleetChanges, type LivingAgent } from '../../domain/fleet-changes.ts';
import { bornOutsideLines, livingFleet } from '../../domain/fleet-living.ts';
import { personaOf } from '../../domain/personas.ts';

const fleet = loadFleetFile(fileURLToPath(new URL('../../fleet.yaml', import.meta.url)));

function born(from: Fleet): LivingAgent[] {
  return fleetAgents(from).map((agent) => ({
    id: agent.id,
    archetype: agent.archetype.id,
    origin: 'fleet',
    state: 'active',
    retiredBy: null,
    ...personaOf(agent),
    ...fileOwned(agent),
  }));
}

function changedFleet(change: (draft: Fleet) => void): Fleet {
  const draft = structuredClone(fleet);
  change(draft);
  return draft;
}

/** The same with another value in its first leaf; a list with its last entry gone. */
function otherwise(value: unknown): unknown {
  if (Array.isArray(value)) return value.length > 0 ? value.slice(0, -1) : [{ id: 'another', kind: 'drops' }];
  if (typeof value !== 'object' || value === null)
    return typeof value === 'number' ? value + 1 : `other ${String(value)}`;
  const [first] = Object.keys(value);
  if (first === undefined) return { 'vesper-001': { cadence: '1h' } };
  return { ...value, [first]: otherwise((value as Record<string, unknown>)[first]) };
}

const brief = ({ action, kind, id }: FleetChange) => `${action} ${kind} ${id}`;

describe('what an apply would change', () => {
  test('is everything at first, and nothing the second time', () => {
    const first = fleetChanges(undefined, fleet, []);
    expect(first.every(({ action }) => action === 'create')).toBe(true);
    expect(first.filter(({ kind }) => kind === 'agent')).toHaveLength(297);
    expect(first.map(brief)).toEqual(
      expect.arrayContaining([
        'create machine mainpc',
        'create model qwen32b',
        'create schedule reflect-6h',
        'create setting limits',
      ]),
    );
    expect(fleetChanges(fleet, fleet, born(fleet))).toEqual([]);
  });

  test.each(Object.keys(fleet) as Array<keyof Fleet>)('leaves out nothing that the file says: %s', (part) => {
    if (part === 'version') return;
    const next = changedFleet((draft) => {
      (draft as Record<string, unknown>)[part] = otherwise(draft[part]);
    });
    expect(fleetChanges(fleet, next, born(fleet))).not.toEqual([]);
  });

  test('names each field with what it was and what it becomes', () => {
    const next = changedFleet((draft) => {
      draft.machines[1]!.gpus[0]!.reserveGiB = 2;
      draft.limits.stallTimeout = '5s';
      draft.archetypes.find(({ id }) => id === 'oracle')!.cadence = '3h';
    });
    const changes = fleetChanges(fleet, next, born(fleet));
    expect(changes[0]).toEqual({
      action: 'change',
      kind: 'machine',
      id: 'pc2',
      fields: [{ field: 'gpus.0.reserveGiB', from: 1, to: 2 }],
    });
    expect(changes.map(brief)).toEqual([
      'change machine pc2',
      'create schedule reflect-3h',
      'change setting limits',
      ...Array.from({ length: 8 }, (_, i) => `change agent oracle-00${i + 1}`),
    ]);
    expect(changes.at(-1)!.fields).toEqual([{ field: 'cadence', from: '12h', to: '3h' }]);
  });

  test('retires what the file no longer names and revives what it names again', () => {
    const next = changedFleet((draft) => {
      draft.machines.shift();
      draft.models.pop();
      draft.archetypes.find(({ id }) => id === 'courier')!.count = 18;
    });
    const changes = fleetChanges(fleet, next, born(fleet)).map(brief);
    expect(changes).toEqual([
      'retire machine mainpc',
      'retire model qwen1_5b',
      'retire agent courier-019',
      'retire agent courier-020',
    ]);
    const rows = born(fleet).map(
      (row): LivingAgent => (row.id === 'courier-020' ? { ...row, state: 'retired', retiredBy: 'file' } : row),
    );
    expect(fleetChanges(next, fleet, rows).map(brief)).toContain('revive agent courier-020');
    expect(fleetChanges(next, fleet, rows).map(brief)).not.toContain('create agent courier-020');
  });

  test('leaves agents born outside the file alone, and keeps the Schedules of their cadences', () => {
    const [one] = born(fleet);
    const spawned: LivingAgent = { ...one!, id: 'vesper-maren', name: 'Maren', origin: 'spawn', cadence: '5h' };
    expect(fleetChanges(fleet, fleet, [...born(fleet), spawned])).toEqual([]);
    const next = changedFleet((draft) => {
      draft.archetypes.find(({ id }) => id === 'oracle')!.cadence = '5h';
    });
    const changes = fleetChanges(fleet, next, [...born(fleet), spawned]);
    expect(changes.filter(({ kind }) => kind === 'schedule')).toEqual([]);
    const text = exportFleet(
      livingFleet(fleet, [...born(fleet), spawned]),
      bornOutsideLines([...born(fleet), spawned]),
    );
    expect(text).toContain('# Not in this file: 1 living agents born outside it.');
    expect(parseFleet(text)).toMatchObject({ fleet });
    expect(bornOutsideLines([{ ...spawned, state: 'retired' }])).toEqual([]);
  });

  test('leaves a living persona alone and says so', () => {
    const next = changedFleet((draft) => {
      draft.archetypes.find(({ id }) => id === 'bard')!.summary = 'sings for money';
    });
    const changes = fleetChanges(fleet, next, born(fleet));
    expect(new Set(changes.map(({ action, kind }) => `${action} ${kind}`))).toEqual(new Set(['keep agent']));
    expect(changes).toHaveLength(10);
    expect(changes[0]!.fields.map(({ field }) => field)).toEqual(['persona']);
    expect(changes[0]!.note).toContain('the database owns its persona');
  });

  test('does not speak of a persona that grew away from the file by itself', () => {
    const rows = born(fleet).map((row) => ({ ...row, persona: `${row.persona} And since then, much.` }));
    expect(fleetChanges(fleet, fleet, rows)).toEqual([]);
  });

  test('compares what runs are expected to take with the file, not with what was learned from runs', () => {
    const rows = born(fleet).map((row) => ({ ...row, expectedTokens: row.expectedTokens + 77 }));
    expect(fleetChanges(fleet, fleet, rows)).toEqual([]);
    const next = changedFleet((draft) => {
      draft.archetypes.find(({ id }) => id === 'oracle')!.expectedTokens = 100;
    });
    expect(new Set(fleetChanges(fleet, next, rows).map(({ action }) => action))).toEqual(new Set(['keep']));
  });

  test('reads as a few lines, agents with the same change on one', () => {
    const next = changedFleet((draft) => {
      draft.archetypes.find(({ id }) => id === 'oracle')!.cadence = '6h';
    });
    expect(fleetChangeLines(fleetChanges(fleet, next, born(fleet)))).toEqual([
      '~ change 8 agents oracle-001 … oracle-008  cadence 12h → 6h',
    ]);
    expect(fleetChangeLines(fleetChanges(undefined, fleet, []))).toContain(
      '+ create 14 agents vesper-001 … vesper-014',
    );
  });
});

describe('the living fleet as a file', () => {
  test('is the file itself while nobody has changed', () => {
    expect(livingFleet(fleet, born(fleet))).toEqual(fleet);
  });

  test('gives birth to the agents as they have become', () => {
    const rows = born(fleet).map((row, i) =>
      i % 40 === 0
        ? { ...row, name: `${row.name} the Changed`, persona: 'Changed by a year of storms.', traits: ['weathered'] }
        : row,
    );
    const parsed = parseFleet(exportFleet(livingFleet(fleet, rows)));
    if ('errors' in parsed) throw new Error(JSON.stringify(parsed.errors));
    expect(fleetAgents(parsed.fleet).map(personaOf)).toEqual(
      rows.map(({ name, persona, traits, maskSeed }) => ({ name, persona, traits, maskSeed })),
    );
  });
});
