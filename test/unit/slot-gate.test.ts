import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { SlotGate } from '../../workers/slot-gate.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** Longer than the server is given to answer a poll. */
const idleMs = 150;
const never = new AbortController().signal;

/** The Temporal worker of one queue: reserves a slot, polls with it, and marks it used or gives it back. */
function poller(gate: SlotGate, queue: string) {
  const supplier = gate.supplierFor(queue);
  type Permit = Awaited<ReturnType<typeof supplier.reserveSlot>>;
  return {
    /** Settled state of one reservation, seen after the microtasks have run. */
    reserve() {
      const stop = new AbortController();
      const seen: { permit?: Permit; refused?: boolean } = {};
      void supplier.reserveSlot({} as never, stop.signal).then(
        (permit) => {
          seen.permit = permit;
        },
        () => {
          seen.refused = true;
        },
      );
      return { seen, abort: () => stop.abort(new Error('not wanted any more')) };
    },
    use: (permit: Permit) => supplier.markSlotUsed({ permit } as never),
    release: (permit: Permit) => supplier.releaseSlot({ permit } as never),
  };
}
const settle = () => vi.advanceTimersByTimeAsync(0);
const opened = (queue: string, slots: number, rank = 1) => ({ queue, talkQueue: `${queue}_talk`, slots, rank });

describe('calls', () => {
  test('never run at more than the sequences of the server, and go first come, first served', async () => {
    const gate = new SlotGate(2);
    const order: number[] = [];
    const releases: Array<() => void> = [];
    for (let i = 0; i < 4; i += 1) {
      void gate.acquire('a', never).then((release) => {
        order.push(i);
        releases.push(release);
      });
    }
    await settle();
    expect(order).toEqual([0, 1]);
    expect(gate.inUse).toBe(2);
    releases[0]!();
    await settle();
    expect(order).toEqual([0, 1, 2]);
  });

  test('given back twice, a permit counts once', async () => {
    const gate = new SlotGate(1);
    const release = await gate.acquire('a', never);
    release();
    release();
    expect(gate.inUse).toBe(0);
    await gate.acquire('a', never);
    expect(gate.inUse).toBe(1);
  });

  test('one that is aborted while it waits leaves its place', async () => {
    const gate = new SlotGate(1);
    const release = await gate.acquire('a', never);
    const stop = new AbortController();
    const waiting = gate.acquire('a', stop.signal);
    stop.abort(new Error('canceled'));
    await expect(waiting).rejects.toThrow('canceled');
    const next = gate.acquire('b', never);
    release();
    await next;
    expect(gate.inUse).toBe(1);
    expect(() => gate.acquire('a', stop.signal)).toThrow('canceled');
  });
});

describe('polls', () => {
  test('are given one at a time, and only while a sequence is free and the queue has slots', async () => {
    const gate = new SlotGate(3);
    gate.open(opened('a', 2, 1));
    const a = poller(gate, 'a');
    const [first, second, third] = [a.reserve(), a.reserve(), a.reserve()];
    const given = () => [first, second, third].map(({ seen }) => seen.permit !== undefined);
    await vi.advanceTimersByTimeAsync(idleMs);
    expect(given()).toEqual([true, false, false]);
    a.use(first.seen.permit!);
    await settle();
    expect(given()).toEqual([true, true, false]);
    a.use(second.seen.permit!);
    await vi.advanceTimersByTimeAsync(idleMs);
    expect(given()).toEqual([true, true, false]);
    a.release(first.seen.permit!);
    await settle();
    expect(given()).toEqual([true, true, true]);
  });

  test('the queue that fewest machines serve is polled first', async () => {
    const gate = new SlotGate(1);
    gate.open(opened('both', 1, 2));
    gate.open(opened('alone', 1, 1));
    const [both, alone] = [poller(gate, 'both'), poller(gate, 'alone')];
    const held = both.reserve();
    await settle();
    both.use(held.seen.permit!);
    const [again, first] = [both.reserve(), alone.reserve()];
    both.release(held.seen.permit!);
    await settle();
    expect(first.seen.permit).toBeDefined();
    expect(again.seen.permit).toBeUndefined();
  });

  test('an idle poll of one queue does not starve another', async () => {
    const gate = new SlotGate(1);
    gate.open(opened('idle', 1, 1));
    gate.open(opened('busy', 1, 2));
    const idle = poller(gate, 'idle').reserve();
    const busy = poller(gate, 'busy').reserve();
    await settle();
    expect(idle.seen.permit).toBeDefined();
    expect(busy.seen.permit).toBeUndefined();
    await vi.advanceTimersByTimeAsync(idleMs);
    expect(busy.seen.permit).toBeDefined();
  });

  test('no task is claimed here to wait while its sequence is taken', async () => {
    const gate = new SlotGate(1);
    gate.open(opened('a', 1, 1));
    gate.open(opened('b', 1, 1));
    const [a, b] = [poller(gate, 'a'), poller(gate, 'b')];
    const task = a.reserve();
    await settle();
    a.use(task.seen.permit!);
    const waiting = b.reserve();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(waiting.seen.permit).toBeUndefined();
    a.release(task.seen.permit!);
    await settle();
    expect(waiting.seen.permit).toBeDefined();
  });

  test('what a worker held when it ended is free for the next one, and comes back but once', async () => {
    const gate = new SlotGate(2);
    gate.open(opened('a', 2, 1));
    const [ended, next] = [poller(gate, 'a'), poller(gate, 'a')];
    const task = ended.reserve();
    await settle();
    ended.use(task.seen.permit!);
    // Given in the moment in which the worker gives up asking: the SDK never hands it back.
    const dropped = ended.reserve();
    await settle();
    dropped.abort();
    gate.close('a');
    const permits = [];
    for (let i = 0; i < 2; i += 1) {
      const { seen } = next.reserve();
      await settle();
      expect(seen.permit).toBeDefined();
      next.use(seen.permit!);
      permits.push(seen.permit!);
    }
    ended.release(task.seen.permit!);
    ended.release(dropped.seen.permit!);
    const third = next.reserve();
    await vi.advanceTimersByTimeAsync(idleMs);
    expect(third.seen.permit).toBeUndefined();
    next.release(permits[0]!);
    await settle();
    expect(third.seen.permit).toBeDefined();
  });

  test('one that is aborted is refused and never given', async () => {
    const gate = new SlotGate(1);
    gate.open(opened('a', 1, 1));
    const a = poller(gate, 'a');
    const task = a.reserve();
    await settle();
    a.use(task.seen.permit!);
    const gone = a.reserve();
    gone.abort();
    await settle();
    expect(gone.seen.refused).toBe(true);
    a.release(task.seen.permit!);
    await settle();
    expect(gone.seen.permit).toBeUndefined();
    const next = a.reserve();
    await settle();
    expect(next.seen.permit).toBeDefined();
  });

  test('more slots of a queue count at once', async () => {
    const gate = new SlotGate(4);
    gate.open(opened('a', 1, 1));
    const a = poller(gate, 'a');
    const first = a.reserve();
    await settle();
    a.use(first.seen.permit!);
    const second = a.reserve();
    await vi.advanceTimersByTimeAsync(idleMs);
    expect(second.seen.permit).toBeUndefined();
    gate.open(opened('a', 2, 1));
    await settle();
    expect(second.seen.permit).toBeDefined();
  });
});

describe('conversations', () => {
  const liveForMs = 60_000;
  /** A gate with one model `a` whose background tasks and calls take every sequence. */
  async function busyGate(sequences: number, options: { slots?: number; tasks?: number } = {}) {
    const gate = new SlotGate(sequences, { liveForMs });
    gate.open(opened('a', options.slots ?? sequences));
    const [work, talk] = [poller(gate, 'a'), poller(gate, 'a_talk')];
    const releases: Array<() => void> = [];
    for (let i = 0; i < (options.tasks ?? sequences); i += 1) {
      const { seen } = work.reserve();
      await settle();
      work.use(seen.permit!);
      const call = await gate.acquire('a', never);
      releases.push(() => {
        call();
        work.release(seen.permit!);
      });
    }
    /** A message comes in and asks for its sequence. */
    const message = async () => {
      const { seen } = talk.reserve();
      await settle();
      talk.use(seen.permit!);
      const told: { release?: () => void } = {};
      void gate.acquire('a_talk', never).then((release) => {
        told.release = release;
      });
      await settle();
      return {
        told,
        answered() {
          told.release!();
          talk.release(seen.permit!);
        },
      };
    };
    return { gate, work, talk, releases, message };
  }

  test('their poll is out while everything is busy, and takes nothing from the others', async () => {
    const { work, talk, releases } = await busyGate(2);
    const poll = talk.reserve();
    await settle();
    expect(poll.seen.permit).toBeDefined();
    const next = work.reserve();
    releases[0]!();
    await settle();
    expect(next.seen.permit).toBeDefined();
  });

  test('a message takes the next sequence that becomes free, before calls that wait longer', async () => {
    const { gate, releases, message } = await busyGate(2);
    const background: number[] = [];
    for (const i of [0, 1]) void gate.acquire('a', never).then(() => background.push(i));
    const { told } = await message();
    expect(told.release).toBeUndefined();
    releases[0]!();
    await settle();
    expect(told.release).toBeDefined();
    expect(background).toEqual([]);
    releases[1]!();
    await settle();
    expect(background).toEqual([0]);
  });

  test('between its poll and its call nobody takes the sequence of a message', async () => {
    const { gate, talk, releases } = await busyGate(1);
    const background: number[] = [];
    void gate.acquire('a', never).then(() => background.push(0));
    const { seen } = talk.reserve();
    await settle();
    talk.use(seen.permit!);
    releases[0]!();
    await settle();
    expect(background).toEqual([]);
    const release = await gate.acquire('a_talk', never);
    release();
    talk.release(seen.permit!);
    await settle();
    expect(background).toEqual([0]);
  });

  test('only one message is claimed here to wait; the next may go to another machine', async () => {
    const { talk, releases, message } = await busyGate(2);
    const first = await message();
    const second = talk.reserve();
    await vi.advanceTimersByTimeAsync(60_000);
    expect(second.seen.permit).toBeUndefined();
    releases[0]!();
    await settle();
    expect(first.told.release).toBeDefined();
    expect(second.seen.permit).toBeDefined();
  });

  test('with the model’s other calls they never run at more than its slots', async () => {
    const { gate, releases, message } = await busyGate(4, { slots: 2, tasks: 2 });
    const { told } = await message();
    expect(told.release).toBeUndefined();
    expect(gate.inUse).toBe(2);
    releases[0]!();
    await settle();
    expect(told.release).toBeDefined();
    expect(gate.inUse).toBe(2);
  });

  test('while one goes on a sequence is kept for it, and no longer', async () => {
    const { gate, work, releases, message } = await busyGate(2, { tasks: 1 });
    const first = await message();
    first.answered();
    const poll = work.reserve();
    const background: number[] = [];
    void gate.acquire('a', never).then(() => background.push(0));
    await vi.advanceTimersByTimeAsync(liveForMs / 2);
    expect(poll.seen.permit).toBeUndefined();
    expect(background).toEqual([]);
    const second = await message();
    expect(second.told.release).toBeDefined();
    second.answered();
    await vi.advanceTimersByTimeAsync(liveForMs - 1);
    expect(poll.seen.permit).toBeUndefined();
    await vi.advanceTimersByTimeAsync(2);
    expect(background).toEqual([0]);
    releases[0]!();
    await settle();
    expect(poll.seen.permit).toBeDefined();
  });

  test('nothing is kept where the model or the server has but one sequence', async () => {
    for (const [sequences, slots] of [
      [1, 1],
      [4, 1],
    ] as const) {
      const { gate, work, message } = await busyGate(sequences, { slots, tasks: 0 });
      (await message()).answered();
      const poll = work.reserve();
      await settle();
      expect(poll.seen.permit).toBeDefined();
      await gate.acquire('a', never);
    }
  });

  test('with time 0 nothing is kept', async () => {
    const { gate, work, message } = await busyGate(2, { tasks: 1 });
    gate.keepFor(0);
    (await message()).answered();
    const poll = work.reserve();
    await settle();
    expect(poll.seen.permit).toBeDefined();
  });

  test('a talk queue that is no longer polled keeps nothing', async () => {
    const { gate, work, message } = await busyGate(2, { tasks: 1 });
    (await message()).answered();
    gate.close('a_talk');
    const poll = work.reserve();
    await settle();
    expect(poll.seen.permit).toBeDefined();
  });
});

type Reservation = ReturnType<ReturnType<typeof poller>['reserve']>;
type Step =
  | { do: 'reserve' | 'fetch' | 'abort' | 'use' | 'release' | 'end'; queue: number }
  | { do: 'acquire' | 'abortCall' | 'finish'; queue: number }
  | { do: 'wait'; queue: number };

const steps = fc.array(
  fc.record({
    do: fc.constantFrom('reserve', 'fetch', 'abort', 'use', 'release', 'end', 'acquire', 'abortCall', 'finish', 'wait'),
    queue: fc.nat({ max: 4 }),
  }) as fc.Arbitrary<Step>,
  { maxLength: 80 },
);

test('whatever the order: never more calls than sequences, no model over its slots, and nothing leaks', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 4 }),
      fc.array(fc.integer({ min: 1, max: 4 }), { minLength: 3, maxLength: 3 }),
      fc.constantFrom(0, idleMs, 10 * idleMs),
      steps,
      async (sequences, slots, liveForMs, script) => {
        const gate = new SlotGate(sequences, { liveForMs });
        for (const [i, most] of slots.entries()) gate.open(opened(`q${i}`, most, (i % 2) + 1));
        const queues = ['q0', 'q1', 'q2', 'q0_talk', 'q1_talk'].map((name) => {
          const model = Number(name[1]);
          return {
            name,
            model,
            most: slots[model]!,
            poller: poller(gate, name),
            reserved: [] as Reservation[],
            fetched: [] as Reservation[],
            tasks: [] as Reservation[],
          };
        });
        const calls: Array<{ model: number; stop: AbortController; release?: () => void; over?: boolean }> = [];
        for (const { do: what, queue: q } of script) {
          const queue = queues[q]!;
          // As in the SDK: one poll of a queue at a time, and the permit of the next asked for meanwhile.
          if (what === 'reserve' && queue.reserved.length < 2) queue.reserved.push(queue.poller.reserve());
          if (what === 'abort') {
            // A permit that was given in this moment is lost in the SDK, until its worker has ended.
            queue.reserved.pop()?.abort();
          }
          if (what === 'end') {
            for (const poll of queue.reserved) poll.abort();
            const held = [...queue.reserved, ...queue.fetched, ...queue.tasks].filter(({ seen }) => seen.permit);
            queue.reserved = [];
            queue.fetched = [];
            queue.tasks = [];
            gate.close(queue.name);
            for (const { seen } of held) queue.poller.release(seen.permit!);
          }
          if (what === 'fetch' && queue.reserved[0]?.seen.permit) queue.fetched.push(queue.reserved.shift()!);
          if (what === 'use') {
            const task = queue.fetched.shift();
            if (task) {
              queue.poller.use(task.seen.permit!);
              queue.tasks.push(task);
            }
          }
          if (what === 'release') {
            const done = queue.tasks.shift();
            if (done) queue.poller.release(done.seen.permit!);
          }
          if (what === 'acquire') {
            const call: (typeof calls)[number] = { model: queue.model, stop: new AbortController() };
            calls.push(call);
            gate.acquire(queue.name, call.stop.signal).then(
              (release) => {
                call.release = release;
              },
              () => {
                call.over = true;
              },
            );
          }
          if (what === 'abortCall')
            calls.find((call) => !call.release && !call.over)?.stop.abort(new Error('canceled'));
          if (what === 'finish') {
            const call = calls.find(({ release, over }) => release && !over);
            if (call) {
              call.over = true;
              call.release!();
            }
          }
          await vi.advanceTimersByTimeAsync(what === 'wait' ? idleMs : 0);
          const running = calls.filter(({ release, over }) => release && !over);
          expect(running.length).toBeLessThanOrEqual(sequences);
          expect(gate.inUse).toBe(running.length);
          for (const [i, most] of slots.entries())
            expect(running.filter(({ model }) => model === i).length).toBeLessThanOrEqual(most);
          const claimed = queues.map(({ fetched, tasks }) => fetched.length + tasks.length);
          for (const [i, { most }] of queues.entries()) expect(claimed[i]).toBeLessThanOrEqual(most);
          // An idle poll of each other queue may bring one more than there are sequences, and no poll is given after that.
          const work = claimed.slice(0, slots.length);
          expect(work.reduce((a, b) => a + b)).toBeLessThanOrEqual(sequences + work.length - 1);
        }

        for (const call of calls) call.stop.abort(new Error('over'));
        for (const { release, over } of calls) if (release && !over) release();
        for (const { reserved } of queues) for (const poll of reserved) poll.abort();
        for (const { name } of queues) gate.close(name);
        await vi.advanceTimersByTimeAsync(idleMs);
        expect(gate.inUse).toBe(0);
        const most = Math.min(sequences, slots[0]!);
        for (let i = 0; i < most; i += 1) {
          const { seen } = queues[0]!.poller.reserve();
          await settle();
          queues[0]!.poller.use(seen.permit!);
        }
        await Promise.all(Array.from({ length: sequences }, () => gate.acquire('of no model', never)));
        expect(gate.inUse).toBe(sequences);
      },
    ),
    { numRuns: 300 },
  );
});
