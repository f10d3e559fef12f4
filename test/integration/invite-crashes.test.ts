import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { WorkflowNotFoundError } from '@temporalio/client';
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { inviteWorkflowId } from '../../domain/ids.ts';
import { inviteChangedSignal } from '../../domain/invites.ts';
import { coordinationQueue } from '../../domain/task-queues.ts';
import { foundGuild } from '../../stores/guilds.ts';
import { newId } from '../../stores/ids.ts';
import { createInviteAnswerStore } from '../../stores/invite-answers.ts';
import type { InviteToGuildInput } from '../../workflows/invite-to-guild.ts';
import { testFleet } from '../support/fleets.ts';
import { createTestScope, type TestScope } from '../support/isolation.ts';
import { type Lab, labOwner, openLab, until } from '../support/lab.ts';
import { addPerson, type Person } from '../support/market.ts';

let scope: TestScope;
let lab: Lab;
const logs = mkdtempSync(join(tmpdir(), 'soulfra-invites-'));
beforeAll(async () => {
  scope = await createTestScope();
  lab = await openLab({ ...scope }, { logs, workerLogLevel: 'warn' });
  await lab.apply(testFleet({ heavy: 0, light: 1 }));
});
afterAll(async () => {
  for await (const { scheduleId } of lab.client.schedule.list())
    await lab.client.schedule.getHandle(scheduleId).delete();
  await lab?.close();
  await scope?.close();
  rmSync(logs, { recursive: true, force: true });
});

const guildId = newId('guild');
const founder = { ownerId: labOwner, agentId: null };

async function invite(person: Person, expiresInSeconds: number): Promise<string> {
  const input: InviteToGuildInput = {
    inviteId: newId('invite'),
    guildId,
    inviter: founder,
    invitee: { target: 'user', userId: person.ownerId },
    role: 'member',
    message: '',
    expiresInSeconds,
    tokenHash: null,
    requestHash: 'bb',
  };
  await lab.client.workflow.start('inviteToGuild', {
    workflowId: inviteWorkflowId(input.inviteId),
    taskQueue: coordinationQueue,
    args: [input],
    workflowTaskTimeout: '2 seconds',
  });
  return input.inviteId;
}
/** Those that live. */
const workers: Array<ReturnType<Lab['startWorker']>> = [];
async function killAll(): Promise<void> {
  for (const worker of workers.splice(0)) await worker.end('SIGKILL');
}
const states = async () => {
  const rows = await lab.db.selectFrom('guildInvites').select('state').where('guildId', '=', guildId).execute();
  return rows.map(({ state }) => state);
};

// Each worker takes seconds to come up, and what a dead one had in hand is given to the next after its time-out.
test('workers that are killed as they send and while others answer lose nothing and do nothing twice', {
  timeout: 240_000,
}, async () => {
  const made = { id: guildId, name: 'The Night Watch', purpose: '', seats: 100, requestHash: Buffer.from('x') };
  await lab.db.transaction().execute((tx) => foundGuild(tx, { ...made, founder }, testFleet().guilds));
  const people = await Promise.all(Array.from({ length: 30 }, (_, i) => addPerson(lab.db, `one-${i}`)));

  const first = lab.startWorker('pc2');
  const ids = await Promise.all(people.map((person) => invite(person, 3_600)));
  await until('some are sent', async () => (await states()).length > 2, 60_000);
  await first.end('SIGKILL');
  // Nobody works now: some are sent, some are not, and answers are taken all the same.
  const early = await lab.db.selectFrom('guildInvites').select(['id', 'targetOwnerId']).execute();
  const answers = createInviteAnswerStore(lab.db);
  const accept = (id: string, ownerId: string) =>
    lab.db.transaction().execute((tx) => answers.acceptById(tx, { id, ownerId }));
  for (const { id, targetOwnerId } of early.filter((sent) => ids.indexOf(sent.id) < 20).slice(0, 2))
    await accept(id, targetOwnerId!);

  const second = lab.startWorker('pc2');
  await until('all are sent', async () => (await states()).length === 30, 60_000);
  for (const [i, person] of people.slice(0, 20).entries()) await accept(ids[i]!, person.ownerId);
  await second.end('SIGKILL');
  // The signals are taken by Temporal while no worker is there; one that has looked already is told nothing.
  for (const id of ids.slice(0, 20)) {
    try {
      await lab.client.workflow.getHandle(inviteWorkflowId(id)).signal(inviteChangedSignal);
    } catch (err) {
      if (!(err instanceof WorkflowNotFoundError)) throw err;
    }
  }
  const late = await addPerson(lab.db, 'late');
  const expiring = await invite(late, 2);

  workers.push(lab.startWorker('pc2'));
  for (const id of ids.slice(0, 20))
    expect(await lab.client.workflow.getHandle(inviteWorkflowId(id)).result()).toEqual({
      inviteId: id,
      state: 'accepted',
    });
  expect(await lab.client.workflow.getHandle(inviteWorkflowId(expiring)).result()).toEqual({
    inviteId: expiring,
    state: 'expired',
  });
  const counts = (await states()).reduce<Record<string, number>>(
    (sum, state) => ({ ...sum, [state]: (sum[state] ?? 0) + 1 }),
    {},
  );
  expect(counts).toEqual({ accepted: 20, pending: 10, expired: 1 });
  const { seatsUsed, eventSeq } = await lab.db
    .selectFrom('guilds')
    .select(['seatsUsed', 'eventSeq'])
    .where('id', '=', guildId)
    .executeTakeFirstOrThrow();
  // founded, the founder joined; 31 invited, 20 joined, 1 expired.
  expect({ seatsUsed, eventSeq }).toEqual({ seatsUsed: 21, eventSeq: 2 + 31 + 20 + 1 });
});

// The workflow's own timers are tested with skipped time; here the row's times are moved, so that nothing depends on how fast a worker comes up.
test('two reminders and the end, each taken up by another worker than the one that was killed before', {
  timeout: 240_000,
}, async () => {
  const patient = await addPerson(lab.db, 'patient');
  if (workers.length === 0) workers.push(lab.startWorker('pc2'));
  const id = await invite(patient, 3_600);
  const handle = lab.client.workflow.getHandle(inviteWorkflowId(id));
  const row = () => lab.db.selectFrom('guildInvites').selectAll().where('id', '=', id).executeTakeFirst();
  await until('it is sent', async () => (await row()) !== undefined, 60_000);
  /** Every worker is dead, so much time has passed, and one comes up again. */
  async function after(share: number) {
    await killAll();
    await sql`update guild_invites set created_at = now() - ${share} * interval '1 hour',
      expires_at = now() + ${1 - share} * interval '1 hour' where id = ${id}`.execute(lab.db);
    await handle.signal(inviteChangedSignal);
    workers.push(lab.startWorker('pc2'));
  }
  for (const [share, reminders] of [
    [0.6, 1],
    [0.95, 2],
  ] as const) {
    await after(share);
    await until(`reminder ${reminders} is sent`, async () => (await row())?.reminders === reminders, 60_000);
  }
  await after(1);
  expect(await handle.result()).toEqual({ inviteId: id, state: 'expired' });
  const notice = await lab.db
    .selectFrom('notices')
    .select(['seen', 'resolvedAt'])
    .where('key', '=', `invite:${id}`)
    .executeTakeFirstOrThrow();
  expect(notice).toMatchObject({ seen: 3, resolvedAt: expect.any(Date) });
});
