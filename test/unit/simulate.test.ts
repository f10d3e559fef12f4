import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { DomainError } from '../../domain/errors.ts';
import { fleetSchema } from '../../domain/fleet.ts';
import { parseAddedMachine, simulateFleet } from '../../domain/simulate.ts';

const fleet = fleetSchema.parse(parse(readFileSync(new URL('../../fleet.yaml', import.meta.url), 'utf8')));
const aliveMachineIds = new Set(fleet.machines.map((machine) => machine.id));
const heavy = 'qwen32b_q4';

describe('the shipped fleet', () => {
  test('without mainpc: heavy agents degrade or park, nothing on pc2 moves, the light ones go on', () => {
    const report = simulateFleet({ fleet, aliveMachineIds, lose: ['mainpc'], add: [] });
    expect(report.before.unplaced).toEqual([]);
    expect(report.moves).toEqual({ loads: [], unloads: [], slots: [] });
    expect(report.waits).toEqual([]);
    const stopped = [...report.degrades, ...report.parks];
    expect(new Set(stopped.map(({ modelId }) => modelId))).toEqual(new Set([heavy]));
    expect(stopped.flatMap(({ agentIds }) => agentIds)).toHaveLength(report.after.unplaced.length);
    expect(report.degrades.length).toBeGreaterThan(0);
    expect(report.homes.every(({ from, to }) => from === 'mainpc' && to === 'pc2')).toBe(true);
  });

  test('with a spare in its place: heavy agents wait until it has loaded their model', () => {
    const add = [parseAddedMachine('spare:rtx3090:24', fleet)];
    const report = simulateFleet({ fleet, aliveMachineIds, lose: ['mainpc'], add });
    expect(report.after.unplaced).toEqual([]);
    expect(report.moves.loads).toContainEqual({ machineId: 'spare', modelId: heavy });
    expect(report.waits).toMatchObject([{ modelId: heavy, reason: `waits until ${heavy} is loaded on spare` }]);
    expect(report.parks).toEqual([]);
  });

  test('an applied plan is what is compared with', () => {
    const first = simulateFleet({ fleet, aliveMachineIds, lose: ['mainpc'], add: [] });
    const back = simulateFleet({ fleet, aliveMachineIds, lose: [], add: [], previous: first.after });
    expect(back.before).toBe(first.after);
    expect(back.after.machines).toEqual(first.before.machines);
  });
});

describe('what is asked for', () => {
  test('a spare is read with its card, its class and the sequences of its like', () => {
    expect(parseAddedMachine('spare:rtx3090:24', fleet)).toMatchObject({
      id: 'spare',
      gpus: [{ name: 'RTX 3090', class: '24g', vramGiB: 24, reserveGiB: 1 }],
      modelServer: { sequences: 16 },
    });
    expect(parseAddedMachine('big:a40:45:32', fleet)).toMatchObject({
      gpus: [{ class: '32g', vramGiB: 45 }],
      modelServer: { sequences: 32 },
    });
  });

  test.each([
    'spare',
    'spare:rtx3090',
    'spare:rtx3090:4',
    'Spare:rtx3090:24',
    'spare:rtx3090:24:0',
    'spare:rtx3090:24:8:1',
  ])('refuses %s', (text) => {
    expect(() => parseAddedMachine(text, fleet)).toThrow(DomainError);
  });

  test('a machine that is not there cannot be lost, one that is there cannot be added', () => {
    expect(() => simulateFleet({ fleet, aliveMachineIds, lose: ['mainpx'], add: [] })).toThrow(/known: mainpc, pc2/);
    const add = [{ ...parseAddedMachine('spare:rtx3090:24', fleet), id: 'pc2' }];
    expect(() => simulateFleet({ fleet, aliveMachineIds, lose: [], add })).toThrow(/there is a machine pc2 already/);
  });
});
