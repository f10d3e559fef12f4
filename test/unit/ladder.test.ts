import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  backgroundPriority,
  type LadderFacts,
  nextStep,
  restartPriority,
  waitedPriority,
} from '../../domain/ladder.ts';

const own = { modelId: 'heavy_q4', queue: 'inference_16g_heavy_q4' };
const smaller = { modelId: 'light_q4', queue: 'inference_8g_light_q4' };
const facts = (change: Partial<LadderFacts>): LadderFacts => ({
  own,
  smaller,
  served: new Set(),
  coming: new Set(),
  ...change,
});
const both = new Set([own.queue, smaller.queue]);

describe('a rung that nobody took in time', () => {
  test('stays where a living machine serves it, before new work: load is never taken for death', () => {
    const step = nextStep(facts({ served: both }));
    expect(step).toEqual({ kind: 'work', rung: { ...own, degraded: false, priority: waitedPriority } });
    expect(waitedPriority).toBeLessThan(backgroundPriority);
    expect(restartPriority).toBeLessThan(waitedPriority);
  });

  test('stays where a plan being applied will give it to a machine', () => {
    const step = nextStep(facts({ served: new Set([smaller.queue]), coming: new Set([own.queue]) }));
    expect(step).toMatchObject({ kind: 'work', rung: { modelId: own.modelId, degraded: false } });
  });

  test('falls to the smaller model, marked degraded, where that is served or coming', () => {
    for (const change of [{ served: new Set([smaller.queue]) }, { coming: new Set([smaller.queue]) }]) {
      expect(nextStep(facts(change))).toEqual({
        kind: 'work',
        rung: { ...smaller, degraded: true, priority: waitedPriority },
      });
    }
  });

  test('parks with a reason that names what is missing', () => {
    expect(nextStep(facts({}))).toEqual({ kind: 'park', reason: 'no living machine serves heavy_q4 or light_q4' });
    expect(nextStep(facts({ smaller: undefined, served: new Set([smaller.queue]) }))).toEqual({
      kind: 'park',
      reason: 'no living machine serves heavy_q4, and the agent may not degrade',
    });
  });

  test('degrades only where its own queue is neither served nor coming, parks only where nothing is', () => {
    const queues = fc.subarray([own.queue, smaller.queue]).map((some) => new Set(some));
    fc.assert(
      fc.property(queues, queues, fc.boolean(), (served, coming, may) => {
        const has = (queue: string) => served.has(queue) || coming.has(queue);
        const step = nextStep(facts({ served, coming, smaller: may ? smaller : undefined }));
        if (has(own.queue)) expect(step).toMatchObject({ kind: 'work', rung: { degraded: false, queue: own.queue } });
        else if (may && has(smaller.queue))
          expect(step).toMatchObject({ kind: 'work', rung: { degraded: true, queue: smaller.queue } });
        else expect(step.kind).toBe('park');
      }),
    );
  });
});
