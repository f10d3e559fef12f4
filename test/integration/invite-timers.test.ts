import type { TestWorkflowEnvironment } from '@temporalio/testing';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createFleetReader } from '../../activities/fleet-view.ts';
import { createInviteActivities, type PlacedAnswer } from '../../activities/invites.ts';
import { inviteWorkflowId } from '../../domain/ids.ts';
import { inviteChangedSignal } from '../../domain/invites.ts';
import { coordinationQueue } from '../../domain/task-queues.ts';
import { createLogger } from '../../observability/logger.ts';
import { createFleetStore } from '../../stores/fleets.ts';
import { foundGuild } from '../../stores/guilds.ts';
import { newId } from '../../stores/ids.ts';
import { createInviteAnswerStore } from '../../stores/invite-answers.ts';
import { createInviteStore } from '../../stores/invite-clock.ts';
import { revokeInvite } from '../../stores/invites.ts';
import { createMachineStore } from '../../stores/machines.ts';
import { createPlanStore } from '../../stores/plans.ts';
import { createRunStore } from '../../stores/runs.ts';
import { createStepResultStore } from '../../stores/step-results.ts';
import { createCoordinationWorker } from '../../workers/coordination.ts';
import { installRuntime } from '../../workers/runtime.ts';
import type { InviteToGuildInput } from '../../workflows/invite-to-guild.ts';
import { testFleet } from '../support/fleets.ts';
import { addMember } from '../support/guilds.ts';
import { addPerson, type Person } from '../support/market.ts';
import { lacks } from '../support/not-run.ts';
import { openStoreScope, type StoreScope, testOwner } from '../support/store-scope.ts';
import { hasTimeSkipping, openTimeSkipping, timeSkipping } from '../support/time-skipping.ts';

const day = 86_400_000;

/**
 * The shipped workflow, steps and stores on a real Postgres; only time is skipped. Postgres keeps its own, so each step tells it
 * first what time the workflow has, and the stores read that.
 */
describe.skipIf(lacks(timeSkipping, hasTimeSkipping))('timers of invitations', () => {
  let store: StoreScope;
  let env: TestWorkflowEnvironment;
  let founder: Person;
  let stop: () => Promise<void>;
  /** What was done, and how many days after the invitation was sent. */
  let done: Array<[step: string, day: number]> = [];
  /** Steps that die once, after their work is done. */
  const dying = new Set<string>();
  const skipped = sql<Date>`(select at from skipped_clock)`;
  const tellTime = async () => {
    const at = new Date(await env.currentTimeMs());
    await sql`update skipped_clock set at = ${at}`.execute(store.db);
    return at.getTime();
  };

  beforeAll(async () => {
    store = await openStoreScope();
    await store.apply(testFleet());
    await sql`create table skipped_clock (at timestamptz not null)`.execute(store.db);
    await sql`insert into skipped_clock values (now())`.execute(store.db);
    founder = await addPerson(store.db, 'founder');
    installRuntime(createLogger({ part: 'worker', level: 'silent' }));
    env = await openTimeSkipping();
    const { db } = store;
    const shipped = createInviteActivities({
      invites: createInviteStore(db, { now: skipped }),
      steps: createStepResultStore(db),
      machines: createMachineStore(db),
      plans: createPlanStore(db),
      runs: createRunStore(db),
      fleet: createFleetReader(createFleetStore(db)),
    });
    // How an agent is asked, and what comes of its deadline, is tested on the real server; here its owner answers for it.
    const nowhere = {
      placeAnswer: (): Promise<PlacedAnswer> => Promise.resolve({ kind: 'none', reason: 'no machine is here' }),
    };
    const activities = Object.fromEntries(
      Object.entries({ ...shipped, ...nowhere }).map(([name, activity]) => [
        name,
        async (input: { inviteId: string }) => {
          const at = await tellTime();
          const result: unknown = await (activity as (given: unknown) => Promise<unknown>)(input);
          const sent = await db
            .selectFrom('guildInvites')
            .select('createdAt')
            .where('id', '=', input.inviteId)
            .executeTakeFirst();
          if (dying.delete(name)) throw new Error(`${name} died after its work was done`);
          if (name !== 'readInvite') done.push([name, Math.round((at - (sent?.createdAt.getTime() ?? at)) / day)]);
          return result;
        },
      ]),
    );
    const worker = await createCoordinationWorker({
      connection: env.nativeConnection,
      namespace: env.namespace ?? 'default',
      identity: 'timers/coordination/0',
      bundlePath: store.scope.workflowBundlePath(),
      weight: { pollers: 2, workflowSlots: 10, activitySlots: 2 },
      activities,
    });
    const running = worker.run();
    stop = async () => {
      worker.shutdown();
      await running;
    };
  }, 300_000);
  afterAll(async () => {
    await stop?.();
    await env?.teardown();
    await store?.close();
  }, 60_000);

  async function guild(): Promise<string> {
    const id = newId('guild');
    const made = { id, name: 'The Night Watch', purpose: '', seats: 5, requestHash: Buffer.from(id) };
    const who = { ownerId: founder.ownerId, agentId: null };
    const settings = testFleet().guilds;
    await store.db.transaction().execute((tx) => foundGuild(tx, { ...made, founder: who }, settings));
    return id;
  }

  async function start(invitee: InviteToGuildInput['invitee'], days: number | null) {
    done = [];
    const input: InviteToGuildInput = {
      inviteId: newId('invite'),
      guildId: await guild(),
      inviter: { ownerId: founder.ownerId, agentId: null },
      invitee,
      role: 'member',
      message: '',
      expiresInSeconds: days === null ? null : (days * day) / 1000,
      tokenHash:
        invitee.target === 'link'
          ? newId('invite')
              .replaceAll(/[^0-9a-f]/g, '')
              .padEnd(64, '0')
          : null,
      requestHash: 'bb',
    };
    const handle = await env.client.workflow.start('inviteToGuild', {
      workflowId: inviteWorkflowId(input.inviteId),
      taskQueue: coordinationQueue,
      args: [input],
    });
    return { id: input.inviteId, guildId: input.guildId, handle };
  }
  const row = (id: string) =>
    store.db.selectFrom('guildInvites').selectAll().where('id', '=', id).executeTakeFirstOrThrow();

  test('30 days: two reminders on the way, then it is expired, each once though its step dies after it, and the inbox is empty again', async () => {
    const ben = await addPerson(store.db, 'ben');
    for (const step of ['openInvite', 'remindOfInvite', 'expireInvite']) dying.add(step);
    const { id, handle } = await start({ target: 'user', userId: ben.ownerId }, 30);
    expect(await handle.result()).toEqual({ inviteId: id, state: 'expired' });
    expect(done).toEqual([
      ['openInvite', 0],
      ['remindOfInvite', 15],
      ['remindOfInvite', 27],
      ['expireInvite', 30],
    ]);
    expect(dying.size).toBe(0);
    expect(await row(id)).toMatchObject({ state: 'expired', reminders: 2, reason: 'its time is over' });
    const notice = await store.db
      .selectFrom('notices')
      .select(['seen', 'resolvedAt'])
      .where('key', '=', `invite:${id}`)
      .executeTakeFirstOrThrow();
    expect(notice).toMatchObject({ seen: 3, resolvedAt: expect.any(Date) });
  }, 120_000);

  test('an address is mailed, and mailed again at each reminder', async () => {
    const { id, handle } = await start({ target: 'address', address: 'ada@harbour.example' }, 10);
    expect(await handle.result()).toEqual({ inviteId: id, state: 'expired' });
    const mails = await store.db
      .selectFrom('mails')
      .select(['data'])
      .where('template', '=', 'guild_invite')
      .orderBy('id')
      .execute();
    expect(mails.map(({ data }) => data)).toEqual([false, true, true].map((reminder) => ({ inviteId: id, reminder })));
  }, 120_000);

  test('two years: a link without an end is kept by runs that follow each other, and ends within a day of a lost signal', async () => {
    const { id, handle } = await start({ target: 'link', uses: null }, null);
    const first = (await handle.describe()).runId;
    await env.sleep(730 * day);
    const running = await env.client.workflow.getHandle(inviteWorkflowId(id)).describe();
    expect(running.status.name).toBe('RUNNING');
    expect(running.runId).not.toBe(first);
    expect(running.historyLength).toBeLessThan(2_500);
    expect((await row(id)).state).toBe('pending');
    // It still works after two years.
    const ben = await addPerson(store.db, 'patient');
    const answers = createInviteAnswerStore(store.db, { now: skipped });
    await sql`update guild_invite_tokens set hash = sha256('sfi_known') where invite_id = ${id}`.execute(store.db);
    await tellTime();
    const accepted = await store.db
      .transaction()
      .execute((tx) =>
        answers.acceptByToken(tx, { secret: 'sfi_known', actor: { ownerId: ben.ownerId, agentId: null } }),
      );
    expect(accepted.isNew).toBe(true);
    // Whoever revoked it died before they told the workflow.
    const actor = { ownerId: founder.ownerId, agentId: null };
    await store.db.transaction().execute((tx) => revokeInvite(tx, { id, actor }, skipped));
    const before = await env.currentTimeMs();
    expect(await env.client.workflow.getHandle(inviteWorkflowId(id)).result()).toEqual({
      inviteId: id,
      state: 'revoked',
    });
    const { closeTime } = await env.client.workflow.getHandle(inviteWorkflowId(id)).describe();
    expect(closeTime!.getTime() - before).toBeLessThanOrEqual(day + 60_000);
  }, 300_000);

  test('told of the end it ends at once, however far its timers are', async () => {
    const { id, handle } = await start({ target: 'link', uses: null }, 30);
    await env.sleep(2 * day);
    const actor = { ownerId: founder.ownerId, agentId: null };
    await store.db.transaction().execute((tx) => revokeInvite(tx, { id, actor }, skipped));
    for (let i = 0; i < 5; i += 1) await handle.signal(inviteChangedSignal);
    expect(await handle.result()).toEqual({ inviteId: id, state: 'revoked' });
    expect(done.map(([step]) => step)).toEqual(['openInvite']);
  }, 120_000);

  test('an agent that cannot answer itself: its owner is asked, reminded twice, and then it is over', async () => {
    const refused = await start({ target: 'agent', agentId: 'light-002' }, 10);
    expect(await refused.handle.result()).toMatchObject({ state: 'refused', code: 'NOT_FOUND' });
    // Who shares a guild with it may invite it to another.
    await addMember(store.db, refused.guildId, { ownerId: testOwner, agentId: 'light-002' });
    const asked = await start({ target: 'agent', agentId: 'light-002' }, 10);
    expect(await asked.handle.result()).toEqual({ inviteId: asked.id, state: 'expired' });
    expect(done.filter(([step]) => step !== 'openInvite')).toEqual([
      ['placeAnswer', 0],
      ['askOwner', 0],
      ['remindOfInvite', 5],
      ['remindOfInvite', 9],
      ['expireInvite', 10],
    ]);
    const notice = await store.db
      .selectFrom('notices')
      .select(['ownerId', 'detail', 'seen'])
      .where('key', '=', `invite:${asked.id}`)
      .executeTakeFirstOrThrow();
    expect(notice).toMatchObject({ ownerId: testOwner, seen: 3 });
  }, 300_000);
});
