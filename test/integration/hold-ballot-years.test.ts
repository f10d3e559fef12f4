import type { TestWorkflowEnvironment } from '@temporalio/testing';
import { Worker } from '@temporalio/worker';
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createBallotActivities } from '../../activities/ballots.ts';
import { createFleetReader } from '../../activities/fleet-view.ts';
import { activityInterceptors } from '../../activities/interceptors.ts';
import { ballotWorkflowId } from '../../domain/ids.ts';
import { coordinationQueue } from '../../domain/task-queues.ts';
import { createBallotStore } from '../../stores/ballots.ts';
import { createFleetStore } from '../../stores/fleets.ts';
import { newId } from '../../stores/ids.ts';
import { createMachineStore } from '../../stores/machines.ts';
import { createPlanStore } from '../../stores/plans.ts';
import { propose } from '../../stores/proposals.ts';
import { createRunStore } from '../../stores/runs.ts';
import { createStepResultStore } from '../../stores/step-results.ts';
import { createVoterStore } from '../../stores/voters.ts';
import { createVoteStore } from '../../stores/votes.ts';
import { testFleet } from '../support/fleets.ts';
import { lacks } from '../support/not-run.ts';
import { openStoreScope, type StoreScope, testOwner } from '../support/store-scope.ts';
import { hasTimeSkipping, openTimeSkipping, timeSkipping } from '../support/time-skipping.ts';

const year = 365 * 86_400;
const title = 'a discussion of two years and a vote of two more open and close at their times, with a late quorum';
let env: TestWorkflowEnvironment | undefined;
let store: StoreScope;
beforeAll(async () => {
  if (!hasTimeSkipping) return;
  env = await openTimeSkipping();
  store = await openStoreScope();
  await store.apply(testFleet({ heavy: 0, light: 4 }));
}, 300_000);
afterAll(async () => {
  await env?.teardown();
  await store?.close();
});

test.skipIf(lacks({ ...timeSkipping, test: title }, hasTimeSkipping))(
  title,
  async () => {
    const { db, scope } = store;
    /** The database's clock runs with the server's: rows are due when timers are. */
    await sql`create table test_clock as select 0::float8 as ahead`.execute(db);
    const clock = sql<Date>`date_trunc('milliseconds', clock_timestamp() + make_interval(secs => (select ahead from test_clock)))`;
    const follow = async (late = 0) => {
      const ahead = ((await env!.currentTimeMs()) - Date.now()) / 1000 - late;
      await sql`update test_clock set ahead = ${ahead}`.execute(db);
    };
    const votes = createVoteStore(db, clock);
    const shipped = createBallotActivities({
      db,
      votes,
      ballots: createBallotStore(db, clock),
      voters: createVoterStore(db),
      machines: createMachineStore(db),
      plans: createPlanStore(db),
      runs: createRunStore(db),
      steps: createStepResultStore(db),
      fleet: createFleetReader(createFleetStore(db)),
    });
    const id = newId('ballot');
    const cast = (voterId: string, choice: number) =>
      db
        .transaction()
        .execute((tx) =>
          votes.cast(
            tx,
            { ballotId: id, voterId, choice, reason: '', evidence: [], origin: 'person', madeBy: 'tok_test' },
            testOwner,
          ),
        );
    const times: Array<{ step: string; at: number; kind: string }> = [];
    const startedAt = await env!.currentTimeMs();
    const noted = async <Step extends { kind: string }>(step: string, work: () => Promise<Step>): Promise<Step> => {
      await follow();
      // What makes the quorum comes a day before the end.
      if (step === 'closeVote' && times.every((each) => each.step !== step)) {
        await follow(86_400);
        for (const voter of ['light-001', 'light-002']) await cast(voter, 1);
        await follow();
      }
      const result = await work();
      times.push({
        step,
        at: Math.round((((await env!.currentTimeMs()) - startedAt) / 1000 / 86_400) * 10) / 10,
        kind: result.kind,
      });
      return result;
    };
    const worker = await Worker.create({
      connection: env!.nativeConnection,
      taskQueue: coordinationQueue,
      workflowBundle: { codePath: scope.workflowBundlePath() },
      interceptors: { activity: activityInterceptors },
      activities: {
        ...shipped,
        openVote: (input: { ballotId: string }) => noted('openVote', () => shipped.openVote(input)),
        closeVote: (input: { ballotId: string }) => noted('closeVote', () => shipped.closeVote(input)),
      },
    });
    await db.transaction().execute((tx) =>
      propose(tx, {
        id,
        ownerId: testOwner,
        guildId: null,
        authorKind: 'user',
        authorId: testOwner,
        title: 'In four years',
        text: '',
        method: 'single',
        options: ['Yes', 'No'],
        effect: { kind: 'none' },
        discussionSeconds: 2 * year,
        voteSeconds: 2 * year,
        extensionSeconds: 30 * 86_400,
        quorum: 50,
        threshold: 50,
        lineageShare: 25,
        askedAgents: 0,
        votesPerHour: 20,
        requestHash: Buffer.from('x'),
        madeBy: 'tok_test',
      }),
    );
    const result: unknown = await worker.runUntil(
      env!.client.workflow.execute('holdBallot', {
        workflowId: ballotWorkflowId(id),
        taskQueue: coordinationQueue,
        args: [{ ballotId: id }],
      }),
    );
    expect(result).toEqual({ state: 'passed' });
    const days = (from: number) =>
      times.filter(({ at }) => Math.abs(at - from) < 2).map(({ step, kind }) => `${step} ${kind}`);
    expect(days(0)).toEqual(['openVote discussion']);
    expect(days(730)).toContain('openVote open');
    // Due after four years, and not closed: the quorum came a day before, so it is open for thirty from then.
    expect(days(1460)).toContain('closeVote open');
    expect(times.at(-1)).toMatchObject({ step: 'closeVote', kind: 'closed' });
    expect(times.at(-1)!.at).toBeGreaterThan(1488);
    expect(times.at(-1)!.at).toBeLessThan(1491);
    const row = await db.selectFrom('ballots').select(['extendedAt', 'winner']).where('id', '=', id).executeTakeFirst();
    expect(row).toMatchObject({ winner: 1 });
    expect(row!.extendedAt).not.toBeNull();
  },
  120_000,
);
