import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Health, patience, settle } from '../../domain/health.ts';
import {
  type AgentFacts,
  diskBackAbove,
  diskFailingBelow,
  diskLateBelow,
  judgeAgent,
  judgeChannel,
  judgeCoordination,
  judgeDisk,
  judgeLedger,
  judgeMachine,
  judgeModelServer,
  judgeSchedule,
  judgeWorker,
  machineLostReason,
  type ScheduleFacts,
} from '../../domain/health-rules.ts';
import { type HealthState, healthStates } from '../../domain/states.ts';
import '../support/properties.ts';

const stateOf = fc.constantFrom(...healthStates);
const judged = fc.constantFrom('ok', 'late', 'failing', 'lost') as fc.Arbitrary<HealthState>;
const patient = fc.record({ worse: fc.integer({ min: 1, max: 5 }), better: fc.integer({ min: 1, max: 5 }) });
const badness = (state: HealthState) => -healthStates.indexOf(state);

/** The states after each look, and how often they changed. */
function run(seen: readonly HealthState[], of: { worse: number; better: number }) {
  let health: Health | undefined;
  const states = seen.map((state) => {
    health = settle(health, { state, reason: state }, of);
    return health.state;
  });
  const changes = states.filter((state, i) => state !== (states[i - 1] ?? 'ok')).length;
  return { states, changes };
}

describe('a state that settles', () => {
  test('changes at most once in as many looks as it takes, whatever flaps', () => {
    fc.assert(
      fc.property(fc.array(judged, { maxLength: 80 }), patient, (seen, of) => {
        expect(run(seen, of).changes).toBeLessThanOrEqual(Math.floor(seen.length / Math.min(of.worse, of.better)));
      }),
    );
  });

  test('never moves for what comes and goes between two looks', () => {
    fc.assert(
      fc.property(judged, fc.integer({ min: 1, max: 40 }), (bad, pairs) => {
        const seen = Array.from({ length: pairs }, () => [bad, 'ok' as const]).flat();
        expect(run(seen, { worse: 2, better: 2 }).states).toEqual(seen.map(() => 'ok'));
      }),
    );
  });

  test('comes to what stays, both ways, in exactly as many looks as it takes', () => {
    fc.assert(
      fc.property(judged, judged, patient, (first, second, of) => {
        fc.pre(first !== second);
        const before: Health = { state: first, reason: '', pendingState: null, pendingLooks: 0 };
        const needed = badness(second) > badness(first) ? of.worse : of.better;
        let health = before;
        for (let looks = 1; looks <= needed; looks += 1) {
          health = settle(health, { state: second, reason: 'seen' }, of);
          expect(health.state).toBe(looks < needed ? first : second);
        }
        expect(health).toEqual({ state: second, reason: 'seen', pendingState: null, pendingLooks: 0 });
      }),
    );
  });

  test('is only ever what one of its looks has seen, or ok', () => {
    fc.assert(
      fc.property(fc.array(stateOf, { maxLength: 40 }), patient, (seen, of) => {
        const { states } = run(seen, of);
        states.forEach((state, i) => expect(state === 'ok' || seen.slice(0, i + 1).includes(state)).toBe(true));
      }),
    );
  });

  test('of a subject that is not set up is told at once, and what is set up then begins with what is seen', () => {
    expect(settle(undefined, { state: 'not_set_up', reason: 'new' }, patience.agent).state).toBe('not_set_up');
    const before: Health = { state: 'not_set_up', reason: 'new', pendingState: null, pendingLooks: 0 };
    expect(settle(before, { state: 'failing', reason: 'bad' }, patience.agent).state).toBe('failing');
  });
});

const day = 86_400;
const now = 20_000 * day;
const agent: AgentFacts = {
  paused: false,
  cadence: '6h',
  quietSince: now - 3600,
  ends: ['done'],
  lastReason: '',
  openState: null,
  openReason: null,
  unplaced: null,
};

describe('an agent', () => {
  test('is ok, then late, then failing as it stays quiet, and never better again by waiting', () => {
    fc.assert(
      fc.property(
        fc.constantFrom('1m', '30m', '6h', '1d'),
        fc.constantFrom<string[]>([], ['done'], ['failed', 'done'], ['empty', 'done', 'failed']),
        (cadence, ends) => {
          const seen: HealthState[] = [];
          for (let quiet = 0; quiet < 5 * day; quiet += 300) {
            const { state } = judgeAgent({ ...agent, cadence, ends, quietSince: now - quiet }, now);
            if (seen.at(-1) !== state) seen.push(state);
          }
          expect(seen).toEqual(ends[0] === 'failed' ? ['late', 'failing'] : ['ok', 'late', 'failing']);
        },
      ),
    );
  });

  test('is failing with three runs in a row that came out empty, and not with two, or with one that brought something', () => {
    const of = (...ends: string[]) => judgeAgent({ ...agent, ends, lastReason: 'no new memories' }, now);
    expect(of('empty', 'empty', 'empty')).toEqual({
      state: 'failing',
      reason: 'its last 3 runs came out empty: no new memories',
    });
    expect(of('empty', 'empty').state).toBe('ok');
    expect(of('empty', 'empty', 'done').state).toBe('ok');
    expect(of('failed', 'empty', 'empty').state).toBe('failing');
    expect(of('failed', 'done', 'done')).toEqual({ state: 'late', reason: 'its last run failed: no new memories' });
  });

  test('that is paused is let be, and one that nothing serves is late with the reason', () => {
    expect(judgeAgent({ ...agent, paused: true, quietSince: 0, ends: ['empty', 'empty', 'empty'] }, now).state).toBe(
      'ok',
    );
    expect(judgeAgent({ ...agent, unplaced: 'no card holds it' }, now)).toEqual({
      state: 'late',
      reason: 'no machine serves it: no card holds it',
    });
    expect(judgeAgent({ ...agent, openState: 'parked', openReason: 'mainpc is lost' }, now).reason).toBe(
      'its run is parked: mainpc is lost',
    );
  });
});

const machine = { state: 'ready' as const, reason: '', neverStarted: false };

test('a lost machine takes its worker, model server and disk with it, and they say so', () => {
  const lost = { ...machine, state: 'lost' as const, reason: 'its lease ran out' };
  expect(judgeMachine(lost)).toEqual({ state: 'lost', reason: 'its lease ran out' });
  const dependent = { state: 'lost', reason: machineLostReason };
  expect(judgeWorker({ ...lost, workSince: null, progressAt: null }, now)).toEqual(dependent);
  expect(judgeModelServer({ ...lost, runsAs: 'local', up: true, missingModels: [] })).toEqual(dependent);
  expect(judgeDisk({ ...lost, free: 0.5, before: 'ok' })).toEqual(dependent);
  expect(judgeMachine({ ...lost, neverStarted: true }).state).toBe('not_set_up');
});

test('a worker that polls and completes nothing is late, then failing, only while work waits', () => {
  const of = (work: number | null, progress: number | null) =>
    judgeWorker({ ...machine, workSince: work && now - work, progressAt: progress && now - progress }, now).state;
  expect(of(null, day)).toBe('ok');
  expect(of(60, day)).toBe('ok');
  expect(of(day, 60)).toBe('ok');
  expect(of(200, day)).toBe('late');
  expect(of(day, 601)).toBe('failing');
  expect(judgeCoordination(now - 61, now).state).toBe('late');
  expect(judgeCoordination(now - 301, now).state).toBe('failing');
});

test('a disk that fills up gets worse at its limits, and better only above them', () => {
  const of = (free: number, before: HealthState) => judgeDisk({ ...machine, free, before }).state;
  expect([0.5, diskLateBelow, diskLateBelow - 0.001, diskFailingBelow - 0.001].map((free) => of(free, 'ok'))).toEqual([
    'ok',
    'ok',
    'late',
    'failing',
  ]);
  expect(of(diskLateBelow + diskBackAbove / 2, 'late')).toBe('late');
  expect(of(diskLateBelow + diskBackAbove, 'late')).toBe('ok');
  expect(of(diskFailingBelow + diskBackAbove / 2, 'failing')).toBe('failing');
});

test('a schedule that is gone, paused, overdue or leaves out its times says which', () => {
  const facts = {
    missing: false,
    paused: false,
    note: '',
    lastAt: now - 1800,
    nextAt: now + 1800,
    afterNextAt: now + 5400,
    ends: [],
    lastFailure: '',
  };
  const of = (change: Partial<ScheduleFacts>) => judgeSchedule({ ...facts, ...change }, now).state;
  expect(of({})).toBe('ok');
  expect(of({ missing: true })).toBe('lost');
  expect(of({ paused: true })).toBe('late');
  expect(of({ nextAt: now - 61 })).toBe('late');
  expect(of({ nextAt: now - 601 })).toBe('failing');
  expect(of({ lastAt: now - 1800 - 3600 })).toBe('late');
  expect(of({ lastAt: now - 1800 - 3 * 3600 })).toBe('failing');
  // It acts in its time, and nothing comes of it.
  expect(of({ ends: ['failed', 'done', 'done'] })).toBe('late');
  expect(of({ ends: ['done', 'failed', 'failed'] })).toBe('ok');
  expect(of({ ends: ['failed', 'failed', 'failed', 'done'] })).toBe('failing');
  expect(of({ ends: ['failed', 'failed'] })).toBe('late');
});

test('of channels and books', () => {
  const quiet = { stopped: false, stopReason: '', ends: [], lastReason: '', waitingSince: null, waitingReason: '' };
  const channel = (...ends: string[]) => judgeChannel({ ...quiet, ends, lastReason: 'said 403' }, now).state;
  expect([channel(), channel('failed', 'published'), channel('failed', 'failed', 'failed')]).toEqual([
    'ok',
    'late',
    'failing',
  ]);
  expect(judgeChannel({ ...quiet, stopped: true, stopReason: 'the token is refused' }, now)).toEqual({
    state: 'failing',
    reason: 'stopped: the token is refused',
  });
  // Posts are tried for a day before one has failed.
  const tried = (seconds: number) =>
    judgeChannel({ ...quiet, ends: ['published'], waitingSince: now - seconds, waitingReason: 'it answered 503' }, now);
  expect(tried(600).state).toBe('ok');
  expect(tried(1_000)).toMatchObject({ state: 'late', reason: expect.stringMatching(/has not: it answered 503$/) });
  expect(tried(8_000).state).toBe('failing');
  const books = { openedAt: now - 10 * day, reconciledAt: now - 3600, discrepancies: 0 };
  expect(judgeLedger(books, now).state).toBe('ok');
  expect(judgeLedger({ ...books, discrepancies: 2 }, now).state).toBe('failing');
  expect(judgeLedger({ ...books, reconciledAt: now - 4 * 3600 }, now).state).toBe('late');
  expect(judgeLedger({ ...books, reconciledAt: null }, now).state).toBe('failing');
  expect(judgeLedger({ ...books, openedAt: null }, now).state).toBe('not_set_up');
});
