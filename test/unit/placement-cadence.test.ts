import { describe, expect, test } from 'vitest';
import { DomainError } from '../../domain/errors.ts';
import { durationSeconds } from '../../domain/durations.ts';
import { type Fleet, fleetSchema } from '../../domain/fleet.ts';
import { planPlacement } from '../../domain/placement.ts';
import { checkCadence, durationAtLeast, loadsOf, mostLoad } from '../../domain/placement-cadence.ts';
import { placementInputOf } from '../../domain/placement-input.ts';

describe('a cadence', () => {
  test('under the limit passes', () => {
    expect(() => checkCadence(fleet({ count: 100, cadence: '6h' }))).not.toThrow();
  });

  test('over the limit is refused with the fastest that fits, by archetype', () => {
    const asked = fleet({ count: 5000, cadence: '30m' });
    expect(highestLoad(asked)).toBeGreaterThan(mostLoad);
    const err = refusal(asked);
    expect(err.code).toBe('CADENCE_TOO_FAST');
    expect(err.message).toMatch(
      /^the cadences load the cards beyond 85 %: 12g to \d+ %; the fastest that fit: vesper \d+[mhd] \(is 30m\)/,
    );
    expect(err.fields[0]).toMatchObject({ path: 'archetypes.0.cadence' });
    const mended = /Use (\w+) or slower/.exec(err.fields[0]!.mend)![1]!;
    const slower = fleet({ count: 5000, cadence: mended });
    expect(() => checkCadence(slower)).not.toThrow();
    const seconds = durationSeconds(mended) * 0.9;
    expect(highestLoad(fleet({ count: 5000, cadence: `${Math.floor(seconds)}s` }))).toBeGreaterThan(mostLoad);
  });

  test('measured rates decide, where there are some', () => {
    const asked = fleet({ count: 100, cadence: '6h' });
    const measured = [{ modelId: 'llama8b_q4', gpuClass: '12g' as const, tokensPerSecond: 0.2, slowdown: 0.5 }];
    expect(() => checkCadence(asked, measured)).toThrow(DomainError);
  });

  test('a model that no card holds is not a matter of cadence', () => {
    const asked = fleet({ count: 5000, cadence: '30m' });
    asked.models[0]!.quantisations['q4']!.fileGiB = 40;
    expect(() => checkCadence(asked)).not.toThrow();
  });
});

test.each([
  [1, '1s'],
  [61, '61s'],
  [3590, '1h'],
  [4000, '67m'],
  [7 * 3600 + 1300, '442m'],
  [23.5 * 3600, '1d'],
  [86_400, '1d'],
])('%d s reads as %s', (seconds, text) => {
  expect(durationAtLeast(seconds)).toBe(text);
  expect(durationSeconds(text)).toBeGreaterThanOrEqual(seconds);
});

function refusal(asked: Fleet): DomainError {
  try {
    checkCadence(asked);
  } catch (err) {
    if (err instanceof DomainError) return err;
    throw err;
  }
  throw new Error('was not refused');
}

function highestLoad(asked: Fleet): number {
  const plan = planPlacement(placementInputOf(asked, { aliveMachineIds: new Set(['pc2']) }));
  return Math.max(...loadsOf(plan).map(({ load }) => load));
}

function fleet({ count, cadence }: { count: number; cadence: string }): Fleet {
  return fleetSchema.parse({
    version: 1,
    name: 'small',
    machines: [
      {
        id: 'pc2',
        gpus: [{ name: 'RTX 3060', class: '12g', vramGiB: 12 }],
        modelServer: { kind: 'ollama', sequences: 6 },
        roles: { coordination: { pollers: 2, workflowSlots: 4, activitySlots: 2 } },
      },
    ],
    models: [
      {
        id: 'llama8b',
        family: 'Llama 3.1 8B',
        layers: 32,
        queryHeads: 32,
        kvHeads: 8,
        headSize: 128,
        context: { reflect: 4096, talk: 4096 },
        quantisations: { q4: { fileGiB: 4.58, rates: { '12g': { tokensPerSecond: 50, slowdown: 0.12 } } } },
      },
    ],
    archetypes: [
      {
        id: 'vesper',
        count,
        summary: 'keeps the evening watch',
        traits: ['patient'],
        maskSeed: 1,
        cadence,
        model: 'llama8b_q4',
        leastClass: '8g',
        mayDegrade: false,
        tokensPerDay: 10_000,
      },
    ],
  });
}
