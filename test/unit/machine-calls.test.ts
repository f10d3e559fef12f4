import { MockActivityEnvironment } from '@temporalio/testing';
import { DefaultLogger } from '@temporalio/worker';
import { expect, test, vi } from 'vitest';
import { createOnMachine, type MachineCallDeps, type OnMachine } from '../../activities/machine-calls.ts';
import type { RateSample } from '../../domain/rates.ts';
import { SlotGate } from '../../workers/slot-gate.ts';

const never = new AbortController().signal;

/** The frame over a gate of one sequence, with whatever stands in a model's place. */
function frame(
  gate: SlotGate,
  use?: MachineCallDeps['use'],
  { budgets, once = false }: Pick<MachineCallDeps, 'budgets'> & { once?: boolean } = {},
) {
  const samples: RateSample[] = [];
  const beats: string[] = [];
  const deps = {
    lease: () => ({ machineId: 'm', epoch: 1, signal: never }),
    permits: gate,
    callFor: () => ({ text: {} }) as unknown as ReturnType<MachineCallDeps['callFor']>,
    serverDown: () => undefined,
    served: (_modelId: string, sample: RateSample) => samples.push(sample),
    ...(use && { use }),
    ...(budgets && { budgets }),
  };
  const onMachine = createOnMachine(deps);
  const environment = new MockActivityEnvironment(
    { attempt: 1 },
    { logger: new DefaultLogger('ERROR', () => undefined) },
  );
  environment.on('heartbeat', ({ phase }: { phase: string }) => beats.push(phase));
  const spends = () => ({ key: 'a/1', agentId: 'a', most: 1 });
  const run = <Result>(work: (at: OnMachine) => Promise<Result>, before?: () => Promise<void>): Promise<Result> =>
    environment.run(() => onMachine({ modelId: 'a', queue: 'a', once, spends, ...(before ? { before } : {}) }, work));
  return { run, samples, beats, environment };
}
function opened(): SlotGate {
  const gate = new SlotGate(1);
  gate.open({ queue: 'a', talkQueue: 'a_talk', slots: 1, rank: 1 });
  return gate;
}

test('what it does before it asks for a sequence is done without one, and heartbeats as queued', async () => {
  const gate = opened();
  const { run, beats } = frame(gate);
  const done = await run(
    async () => gate.inUse,
    async () => {
      expect(gate.inUse).toBe(0);
    },
  );
  expect(done).toBe(1);
  expect(beats[0]).toBe('queued');
  expect(gate.inUse).toBe(0);
});

test('between two calls the sequence is free for a message, and taken again after it', async () => {
  const gate = opened();
  const { run, beats } = frame(gate);
  const order: string[] = [];
  await run(async ({ between }) => {
    let message: (() => void) | undefined;
    await between(async () => {
      expect(gate.inUse).toBe(0);
      message = await gate.acquire('a_talk', never);
      order.push('message');
      setTimeout(() => {
        order.push('answered');
        message!();
      }, 20);
    });
    order.push('second call');
    expect(gate.inUse).toBe(1);
  });
  expect(order).toEqual(['message', 'answered', 'second call']);
  expect(beats).toContain('between calls');
  expect(gate.inUse).toBe(0);
});

test.each([
  ['what never comes again counts with what was written', true, ['a/1', 7]],
  ['what may come again counts with nothing', false, ['a/1']],
])('canceled in the middle of an answer: %s', async (_name, once, released) => {
  const release = vi.fn((..._said: unknown[]) => Promise.resolve());
  const budgets = { reserve: () => Promise.resolve(), settle: () => Promise.resolve(), release };
  const { run, environment } = frame(opened(), undefined, { budgets, once });
  const result = run(async ({ watch }) => {
    watch.onProgress({ phase: 'token', tokens: 7 });
    environment.cancel('CANCELLED');
    watch.signal.throwIfAborted();
  });
  await expect(result).rejects.toThrow('the attempt was canceled');
  expect(release.mock.calls).toEqual([released]);
});

test('canceled or failed between two calls, it holds no sequence', async () => {
  const gate = opened();
  const failing = frame(gate);
  await expect(
    failing.run(({ between }) => between(() => Promise.reject(new Error('the database is away')))),
  ).rejects.toThrow('the database is away');
  expect(gate.inUse).toBe(0);
  const canceled = frame(gate);
  const result = canceled.run(({ between }) =>
    between(async () => {
      // Somebody else has it when this one wants it back.
      await gate.acquire('of another', never);
      canceled.environment.cancel('CANCELLED');
    }),
  );
  await expect(result).rejects.toThrow('the attempt was canceled');
  expect(gate.inUse).toBe(1);
});

test('a rate is that of the time in which the sequence was held', async () => {
  let clockMs = 0;
  const clock = vi.spyOn(performance, 'now').mockImplementation(() => clockMs);
  const { run, samples } = frame(opened());
  await run(async ({ between, seconds, wrote }) => {
    clockMs += 1_000;
    await between(async () => {
      clockMs += 5_000;
    });
    clockMs += 1_000;
    expect(seconds()).toBe(2);
    wrote(100);
  });
  clock.mockRestore();
  expect(samples).toEqual([{ sequences: 1, secondsPerToken: 0.02 }]);
});

test('its model is in hand from first to last, and in memory before a sequence is taken; however it ends, it is given back', async () => {
  const gate = opened();
  const told: string[] = [];
  const used = (fails?: Error) => (modelId: string) => {
    told.push(`in hand ${modelId}`);
    return {
      async ready() {
        told.push(`ready with ${gate.inUse} taken`);
        if (fails) throw fails;
      },
      done: () => void told.push('given back'),
    };
  };
  await frame(gate, used()).run(async () => void told.push('called'));
  expect(told.splice(0)).toEqual(['in hand a', 'ready with 0 taken', 'called', 'given back']);
  const broken = frame(gate, used()).run(() => Promise.reject(new Error('the model broke')));
  await expect(broken).rejects.toThrow('the model broke');
  expect(told.splice(0)).toEqual(['in hand a', 'ready with 0 taken', 'given back']);
  const notLoaded = frame(gate, used(new Error('not loaded'))).run(async () => void told.push('called'));
  await expect(notLoaded).rejects.toThrow('not loaded');
  expect(told).toEqual(['in hand a', 'ready with 0 taken', 'given back']);
  expect(gate.inUse).toBe(0);
});
