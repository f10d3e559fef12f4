import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { codeOf, longRequest, modelOf, watchOf } from '../model-server/cases.ts';
import { type ModelServerStats, startModelServer } from '../support/model-server.ts';
import { createSlotShare, type SlotJob } from '../support/slot-share.ts';

interface NamedJob extends SlotJob {
  name: string;
}

/** A share whose ends are logged with the time at which they were due. */
function shareOf(slots: number, tokensPerSecond: number, slowdown: number) {
  const log: string[] = [];
  const share = createSlotShare<NamedJob>(
    { slots, tokensPerSecond, slowdown },
    { admitted: (job) => log.push(`+${job.name}`), reached: (job) => log.push(`-${job.name}`) },
    0,
  );
  return { share, log };
}

describe('slots that share their speed', () => {
  test('one job alone runs at full speed', () => {
    const { share } = shareOf(4, 100, 0.5);
    share.add({ name: 'a', tokens: 100 }, 0);
    expect(share.nextEndMs()).toBeCloseTo(1000);
  });

  test('two jobs slow each other for exactly as long as both run', () => {
    const { share, log } = shareOf(4, 100, 0.5);
    const a = { name: 'a', tokens: 100 };
    share.add(a, 0);
    share.add({ name: 'b', tokens: 20 }, 400);
    // From 400 ms each has 100 ÷ 1.5 a second: b needs 300 ms, in which a gets 20 more, then 40 at full speed.
    expect(share.nextEndMs()).toBeCloseTo(700);
    share.advance(700);
    expect(share.tokensOf(a)).toBe(60);
    expect(share.nextEndMs()).toBeCloseTo(1100);
    share.advance(2000);
    expect(log).toEqual(['+a', '+b', '-b', '-a']);
  });

  test('is right however late it is asked: the queue moves up at the time a slot came free', () => {
    const { share, log } = shareOf(1, 100, 0);
    for (const name of ['a', 'b', 'c']) share.add({ name, tokens: 50 }, 0);
    share.advance(10_000);
    expect(log).toEqual(['+a', '-a', '+b', '-b', '+c', '-c']);
    expect(share.counts().busySlotSeconds).toBeCloseTo(1.5);
  });

  test('a stalled job keeps its slot until it is removed', () => {
    const { share, log } = shareOf(1, 100, 0);
    const stalled = { name: 'a', tokens: 10, holds: true };
    share.add(stalled, 0);
    share.add({ name: 'b', tokens: 10 }, 0);
    share.advance(5000);
    expect(log).toEqual(['+a', '-a']);
    share.remove(stalled, 5000);
    share.advance(5200);
    expect(log.slice(2)).toEqual(['+b', '-b']);
  });

  test('frozen jobs go on from where they were', () => {
    const { share } = shareOf(1, 100, 0);
    const job = { name: 'a', tokens: 100 };
    share.add(job, 0);
    share.setSpeed(0, 500);
    expect(share.nextEndMs()).toBeUndefined();
    share.setSpeed(1, 3000);
    expect(share.tokensOf(job)).toBe(50);
    expect(share.nextEndMs()).toBeCloseTo(3500);
  });
});

test('22 streams at once take as long as their shared speed says', async () => {
  const server = await startModelServer({ slots: 22, tokensPerSecond: 500, slowdown: 0.05 });
  const subject = {
    kind: 'vllm' as const,
    baseUrl: server.url,
    model: 'test-model',
    contextTokens: 4096,
    stallMs: 10_000,
  };
  const model = modelOf(subject);
  const from = performance.now();
  await Promise.all(Array.from({ length: 22 }, () => model.generate(longRequest(subject, 250), watchOf([]))));
  const seconds = (performance.now() - from) / 1000;
  const expected = 250 / (500 / (1 + 0.05 * 21));
  const stats = server.stats();
  await server.close();
  expect(stats).toMatchObject({ started: 22, finished: 22, aborted: 0, mostRunning: 22 });
  // Never faster than the shared speed; slower only by what the requests take to arrive on a busy box.
  expect(seconds / expected).toBeGreaterThan(0.99);
  expect(seconds / expected).toBeLessThan(1.6);
  expect(stats.tokens).toBe(22 * 250);
});

test('runs as its own process, takes orders over HTTP and ends on SIGTERM', async () => {
  const file = fileURLToPath(new URL('../support/model-server.ts', import.meta.url));
  const child = spawn(process.execPath, [file, '--slots', '2', '--speed', '1000'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  try {
    const [line] = (await once(child.stdout, 'data')) as [Buffer];
    const { url } = JSON.parse(line.toString()) as { url: string };
    const control = new URL('/control', url);
    const order = async (body: unknown) => {
      const answer = await fetch(control, { method: 'POST', body: JSON.stringify(body) });
      return (await answer.json()) as ModelServerStats;
    };
    const subject = { kind: 'vllm' as const, baseUrl: url, model: 'test-model', contextTokens: 4096, stallMs: 1500 };
    await order({ fault: { kind: 'status', status: 500, times: 1 } });
    const call = () => modelOf(subject).generate(longRequest(subject, 20), watchOf([]));
    expect(await codeOf(call())).toBe('MODEL_SERVER_DOWN');
    expect((await call()).tokens).toBe(20);
    await order({ fault: { kind: 'down', forMs: 300 } });
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect(await codeOf(call())).toBe('MODEL_SERVER_DOWN');
    await new Promise((resolve) => setTimeout(resolve, 400));
    expect((await call()).tokens).toBe(20);
    expect(await order({})).toMatchObject({ requests: 3, finished: 2, faulted: 1 });
  } finally {
    const exited = once(child, 'exit');
    child.kill('SIGTERM');
    expect(await exited).toEqual([0, null]);
  }
});
