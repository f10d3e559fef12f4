import { expect, test } from 'vitest';
import { type RunWhyFacts, whyRun } from '../../domain/run-why.ts';

const at = '2026-11-22T10:00:00.000Z';
function facts(run: Partial<RunWhyFacts['run']>, rest: Partial<RunWhyFacts> = {}): RunWhyFacts {
  return {
    run: {
      state: 'queued',
      reason: '',
      attempt: 1,
      agentId: 'vesper-001',
      trigger: 'schedule',
      wantedModelId: 'heavy_q4',
      modelId: 'heavy_q4',
      queue: 'inference_24g_heavy_q4',
      degraded: false,
      machineId: null,
      moves: 0,
      reflections: 0,
      begun: true,
      createdAt: at,
      startedAt: null,
      endedAt: null,
      ...run,
    },
    agent: { paused: false, homeMachineId: 'mainpc', homeReason: '' },
    machines: [
      { id: 'mainpc', state: 'ready', reason: '', polls: true, serverUp: true },
      { id: 'pc2', state: 'lost', reason: 'no renewal for 15 s', polls: true, serverUp: true },
    ],
    ahead: 4,
    running: 2,
    steps: [],
    before: null,
    parkedAt: null,
    workflow: { status: 'RUNNING', activities: [] },
    ...rest,
  };
}

test('what waits says for what', () => {
  const queued = whyRun(facts({}));
  expect(queued).toMatchObject({
    why: 'It waits for its turn: 4 before it, 2 under way on inference_24g_heavy_q4.',
    waitsFor: 'a free sequence of heavy_q4',
  });
  expect(queued.facts).toContain('inference_24g_heavy_q4 is polled by mainpc.');
  expect(queued.facts).toContain('pc2 is lost: no renewal for 15 s.');

  const nobody = whyRun(
    facts({}, { machines: [{ id: 'mainpc', state: 'ready', reason: '', polls: true, serverUp: false }] }),
  );
  expect(nobody.waitsFor).toBe('a machine that serves heavy_q4');
  expect(nobody.facts).toContain('mainpc: its model server does not answer.');

  expect(whyRun(facts({ state: 'parked', reason: 'no machine holds heavy_q4' }))).toMatchObject({
    why: 'It is parked: no machine holds heavy_q4.',
    waitsFor: 'a machine that serves heavy_q4',
  });
  expect(
    whyRun(facts({ state: 'parked', reason: 'no machine holds heavy_q4' }, { parkedAt: '2026-11-22T10:30:00Z' })).why,
  ).toBe('It is parked since 2026-11-22T10:30:00Z: no machine holds heavy_q4.');
  expect(whyRun(facts({ begun: false }, { workflow: null })).why).toMatch(/^Its workflow is not started yet/);
  const runs = { status: 'RUNNING', activities: [] };
  expect(whyRun(facts({ begun: false }, { workflow: null, sweep: runs })).why).toMatch(/^Its workflow is not started/);
  // Nobody knows whether the sweep is there: then it is not said to be gone.
  expect(whyRun(facts({ begun: false }, { workflow: null, sweep: undefined })).why).toMatch(/is not started yet/);
  for (const sweep of [null, { status: 'TERMINATED', activities: [] }])
    expect(whyRun(facts({ begun: false }, { workflow: null, sweep }))).toMatchObject({
      why: 'Its sweep has ended in Temporal without beginning it: the sweep goes on from its rows, 15 minutes after it was begun.',
      waitsFor: expect.stringContaining('soulfra runs cancel'),
    });
});

test('tries, moves, degradation and where it lives are told', () => {
  const { why, facts: told } = whyRun(
    facts(
      { state: 'running', degraded: true, modelId: 'light_q4', moves: 1, attempt: 2, startedAt: at },
      {
        agent: { paused: true, homeMachineId: null, homeReason: 'no card holds heavy_q4' },
        steps: ['questions'],
        before: { state: 'failed', reason: 'the model said nothing' },
        workflow: {
          status: 'RUNNING',
          activities: [
            { name: 'reflect', attempt: 3, started: false, since: at, worker: null, lastFailure: 'connection refused' },
          ],
        },
      },
    ),
  );
  expect(why).toBe('It is tried again: reflect failed 2 times, last with: connection refused.');
  const text = told.join('\n');
  for (const part of [
    'The plan has no place for vesper-001: no card holds heavy_q4.',
    'vesper-001 is paused',
    'light_q4 stands in, since no machine served heavy_q4',
    'It was begun 2 times',
    'Stored of it: questions',
    'Attempt 2; the one before ended as failed: the model said nothing.',
    `Step reflect, try 3, waits for a worker since ${at}; the try before failed: connection refused.`,
  ])
    expect(text).toContain(part);
});

test('what has ended waits for nothing', () => {
  for (const [state, said] of [
    ['done', `It is done: 3 reflections, on mainpc, at ${at}.`],
    ['empty', `It ended empty at ${at}: no new memories.`],
    ['failed', `It failed at ${at}: no new memories.`],
    ['canceled', `It was canceled at ${at}: no new memories.`],
  ] as const) {
    const run = { state, reason: 'no new memories', reflections: 3, machineId: 'mainpc', endedAt: at };
    const { why, waitsFor, facts: told } = whyRun(facts(run));
    expect({ why, waitsFor }).toEqual({ why: said, waitsFor: null });
    expect(told.join()).not.toContain('polled by');
  }
});

test('without an answer of Temporal the rows still tell', () => {
  const { why, facts: told } = whyRun(facts({}, { workflow: undefined }));
  expect(why).toMatch(/^It waits for its turn/);
  expect(told).toContain('Temporal does not answer: what its workflow is at is not known.');
});
