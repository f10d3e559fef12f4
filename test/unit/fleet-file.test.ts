import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { exportFleet, type FleetFileError, loadFleetFile, parseFleet } from '../../config/fleet-file.ts';
import { DomainError } from '../../domain/errors.ts';
import { type Fleet, fleetAgents, fleetSchema } from '../../domain/fleet.ts';
import { planPlacement } from '../../domain/placement.ts';
import { placementInputOf } from '../../domain/placement-input.ts';
import { gpuClasses } from '../../domain/task-queues.ts';

const shippedPath = fileURLToPath(new URL('../../fleet.yaml', import.meta.url));
const small = `version: 1
name: Small
machines:
  - id: box
    gpus:
      - { name: RTX 3090, class: 24g, vramGiB: 24 }
    modelServer: { kind: ollama, sequences: 4 }
    roles: { coordination: { pollers: 2, workflowSlots: 4, activitySlots: 2 } }
models:
  - id: tiny
    family: Tiny
    layers: 16
    queryHeads: 32
    kvHeads: 8
    headSize: 64
    context: { reflect: 2048, talk: 2048 }
    quantisations:
      q4: { fileGiB: 0.75, rates: { 24g: { tokensPerSecond: 300, slowdown: 0.1 } } }
archetypes:
  - id: vesper
    count: 3
    summary: keeps watch
    traits: [patient]
    maskSeed: 1
    cadence: 6h
    model: tiny_q4
    leastClass: 8g
    mayDegrade: false
    tokensPerDay: 1000
    expectedTokens: 250
    priority: 3
`;

function errorsOf(source: string): FleetFileError[] {
  const parsed = parseFleet(source);
  return 'errors' in parsed ? parsed.errors : [];
}

function fleetOf(source: string): Fleet {
  const parsed = parseFleet(source);
  if ('errors' in parsed) throw new Error(JSON.stringify(parsed.errors, null, 2));
  return parsed.fleet;
}

describe('the shipped fleet.yaml', () => {
  const fleet = loadFleetFile(shippedPath);

  test('is the reference pair with 297 agents of at least 20 archetypes', () => {
    expect(fleet.machines.map(({ id, gpus }) => [id, gpus[0]?.class])).toEqual([
      ['mainpc', '24g'],
      ['pc2', '12g'],
    ]);
    expect(fleetAgents(fleet)).toHaveLength(297);
    expect(fleet.archetypes.length).toBeGreaterThanOrEqual(20);
    expect(fleetAgents(fleet).filter((agent) => agent.model === 'qwen32b_q4')).toHaveLength(70);
    expect(fleetAgents(fleet).some((agent) => agent.id === 'vesper-014')).toBe(true);
  });

  test('keeps the heavy model on mainpc alone and a light one on both', () => {
    const plan = planPlacement(placementInputOf(fleet, { aliveMachineIds: new Set(['mainpc', 'pc2']) }));
    const holders = (model: string) =>
      plan.machines.filter(({ models }) => models.some(({ modelId }) => modelId === model)).map((m) => m.machineId);
    expect(holders('qwen32b_q4')).toEqual(['mainpc']);
    expect(holders('qwen1_5b_q4').toSorted()).toEqual(['mainpc', 'pc2']);
    expect(plan.unplaced).toEqual([]);
    for (const { needed, available } of plan.hours) expect(needed).toBeLessThan(0.85 * available);
  });

  test('overrides one agent by name and leaves it the rest of its archetype', () => {
    const agents = fleetAgents(fleet);
    const [plain, named] = ['vesper-013', 'vesper-014'].map((id) => agents.find((agent) => agent.id === id)!);
    expect(named!.cadence).toBe('4h');
    expect(named).toMatchObject({
      model: plain!.model,
      priority: plain!.priority,
      expectedTokens: plain!.expectedTokens,
    });
  });
});

describe('reading a fleet file', () => {
  test('fills defaults and freezes the fleet through and through', () => {
    const fleet = fleetOf(small);
    expect(fleet.limits.heartbeatTimeout).toBe('10s');
    expect(fleet.machines[0]!.gpus[0]!.reserveGiB).toBe(1);
    expect(Object.isFrozen(fleet.machines[0]!.gpus[0])).toBe(true);
    expect(() => fleet.archetypes.push(fleet.archetypes[0]!)).toThrow(TypeError);
  });

  test('an override does not bring the defaults of an archetype with it', () => {
    const [first] = fleetAgents(fleetOf(`${small}agents:\n  vesper-001: { cadence: 1h }\n`));
    expect(first).toMatchObject({ cadence: '1h', priority: 3, expectedTokens: 250 });
  });

  test('tells every error at once with its line, wrong values and broken rules alike', () => {
    const broken = small
      .replace('sequences: 4', 'sequences: 0')
      .replace('count: 3', 'cout: 3')
      .replace('model: tiny_q4', 'model: tiny_q5')
      .replace('cadence: 6h', 'cadence: six hours');
    const errors = errorsOf(broken);
    expect(errors.map(({ line, path }) => [line, path])).toEqual([
      [7, 'machines.0.modelServer.sequences'],
      [20, 'archetypes.0.count'],
      [21, 'archetypes.0.cout'],
      [25, 'archetypes.0.cadence'],
      [26, 'archetypes.0.model'],
    ]);
    expect(errors.map(({ mend }) => mend)).toEqual(
      expect.arrayContaining(['Did you mean `count`?', 'Did you mean `tiny_q4`?', 'Raise it to at least 1.']),
    );
    expect(errors.every(({ file, rule, column }) => file === 'fleet.yaml' && rule !== '' && column > 0)).toBe(true);
  });

  test.each([
    ['machnes', 'name: Small', 'name: Small\nmachnes: []', 'machines'],
    ['a key with its letters swapped', 'traits:', 'tratis:', 'traits'],
    ['a key written with a dash', 'maskSeed:', 'mask-seed:', 'maskSeed'],
    ['a class that does not exist', 'class: 24g', 'class: 24gb', '24g'],
    ['a class as a key', 'rates: { 24g:', 'rates: { 24:', '24g'],
    ['an agent of a misspelt archetype', 'archetypes:', 'agents:\n  vespr-001: {}\narchetypes:', 'vesper'],
  ])('suggests what was meant: %s', (_, from, to, meant) => {
    expect(
      errorsOf(small.replace(from, to))
        .map(({ mend }) => mend)
        .join('\n'),
    ).toContain(`\`${meant}\``);
  });

  test.each([
    ['a key given twice', `${small}name: Again\n`, 32, 'repeats a key'],
    ['an open quote', small.replace('name: Small', 'name: "Small'), 2, 'is not YAML'],
    ['an alias without an anchor', small.replace('name: Small', 'name: *small'), 2, 'no anchor for *small'],
    ['a second document', `${small}---\nname: two\n`, 32, 'second document'],
    ['a list in place of the file', '- box\n', 1, 'must be a block of keys'],
    ['an empty value', small.replace('family: Tiny', 'family:'), 11, 'is empty'],
    ['an unknown tag', small.replace('name: Small', 'name: !secret Small'), 2, 'is not YAML'],
  ])('reports %s at its line', (_, source, line, rule) => {
    const error = errorsOf(source).find((one) => one.rule.includes(rule));
    expect(error, JSON.stringify(errorsOf(source))).toMatchObject({ line });
  });

  test('does not unfold a file of aliases upon aliases', () => {
    const levels = Array.from(
      { length: 12 },
      (_, i) => `a${i + 1}: &a${i + 1} [${Array(9).fill(`*a${i}`).join(', ')}]`,
    );
    expect(errorsOf(`a0: &a0 [x]\n${levels.join('\n')}\n`)[0]!.rule).toContain('repeat too much');
  });

  test.each([
    ['two machines that would share a queue', '  - id: box\n', '  - id: box\n  - id: box\n', 'would poll the queue'],
    ['a reserve as large as the card', 'vramGiB: 24', 'vramGiB: 24, reserveGiB: 24', 'must be under vramGiB'],
    ['a class that the card does not reach', 'vramGiB: 24', 'vramGiB: 12', 'that 12 GiB reaches'],
    [
      'a smaller model that is not smaller',
      'q4: { fileGiB',
      'q4: { smaller: tiny_q4, fileGiB',
      'must be a smaller model',
    ],
    ['an agent beyond the count', 'archetypes:', 'agents:\n  vesper-004: {}\narchetypes:', 'vesper makes 3'],
    [
      'no machine that coordinates',
      'roles: { coordination: { pollers: 2, workflowSlots: 4, activitySlots: 2 } }',
      'roles: {}',
      'roles.coordination',
    ],
    [
      'a stall limit over the heartbeat',
      'archetypes:',
      'limits: { stallTimeout: 10s }\narchetypes:',
      'not under heartbeatTimeout',
    ],
    [
      'a name that another agent bears',
      'archetypes:',
      'agents:\n  vesper-001: { name: Twin }\n  vesper-002: { name: Twin }\narchetypes:',
      'must differ from the name of',
    ],
  ])('refuses %s', (_, from, to, rule) => {
    const errors = errorsOf(small.replace(from, to));
    expect(errors.map((error) => error.rule).join('\n')).toContain(rule);
    expect(errors.every(({ mend }) => mend.length > 5)).toBe(true);
  });

  test('a file that cannot be read says which', () => {
    expect(() => loadFleetFile('/no/such/fleet.yaml')).toThrow(DomainError);
    expect(() => loadFleetFile('/no/such/fleet.yaml')).toThrow('/no/such/fleet.yaml');
  });
});

const text = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 20 }).map((value) => value.replaceAll('\0', ' '));
const odd = fc.constantFrom(
  'yes',
  'null',
  '0x10',
  '1e3',
  '- a',
  '# no',
  'a: b',
  ' lead',
  '*x',
  '"',
  '1:30',
  '~',
  '\n',
  '>',
);
const label = fc.oneof(text, odd).filter((value) => value.length > 0);
const fleets: fc.Arbitrary<Fleet> = fc
  .record({
    name: label,
    labels: fc.array(label, { maxLength: 3 }),
    gpuClass: fc.constantFrom(...gpuClasses),
    archetypes: fc.uniqueArray(fc.stringMatching(/^[a-z]{1,8}$/), { minLength: 1, maxLength: 5 }),
    counts: fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 5, maxLength: 5 }),
    summary: label,
    traits: fc.array(label, { minLength: 1, maxLength: 4 }),
    persona: label,
    rate: fc.double({ min: 0.5, max: 500, noNaN: true }),
  })
  .map((made) =>
    fleetSchema.parse({
      ...fleetOf(small),
      name: made.name,
      machines: [
        {
          ...fleetOf(small).machines[0],
          labels: made.labels,
          gpus: [
            { name: made.name, class: made.gpuClass, vramGiB: Number.parseInt(made.gpuClass, 10), reserveGiB: 0.5 },
          ],
        },
      ],
      models: fleetOf(small).models.map((model) => ({
        ...model,
        quantisations: {
          q4: {
            ...model.quantisations['q4'],
            rates: { [made.gpuClass]: { tokensPerSecond: made.rate, slowdown: 0.1 } },
          },
        },
      })),
      archetypes: made.archetypes.map((id, i) => ({
        ...fleetOf(small).archetypes[0],
        id,
        count: made.counts[i],
        summary: made.summary,
        traits: made.traits,
      })),
      agents: { [`${made.archetypes[0]}-001`]: { persona: made.persona, traits: made.traits } },
    }),
  );

describe('exporting a fleet', () => {
  test('gives text that parses to the same fleet', () => {
    fc.assert(
      fc.property(fleets, (fleet) => {
        expect(fleetOf(exportFleet(fleet))).toEqual(fleet);
      }),
      { numRuns: 150 },
    );
  });

  test('holds for the shipped fleet', () => {
    const fleet = loadFleetFile(shippedPath);
    expect(fleetOf(exportFleet(fleet))).toEqual(fleet);
  });
});
