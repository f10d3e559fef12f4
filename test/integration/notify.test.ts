import type { ServerResponse } from 'node:http';
import { sql } from 'kysely';
import { Webhook } from 'standardwebhooks';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { createFleetReader } from '../../activities/fleet-view.ts';
import { createNotificationActivities } from '../../activities/notifications.ts';
import type { NoticeKind } from '../../domain/notices.ts';
import { type Notify, notifySchema } from '../../domain/notify.ts';
import { newWebhookSecret } from '../../integrations/standard-webhooks.ts';
import { createFleetStore } from '../../stores/fleets.ts';
import { newId } from '../../stores/ids.ts';
import { openNotice, resolveNotice } from '../../stores/notices.ts';
import { createNotificationStore } from '../../stores/notifications.ts';
import { coordinationQueue } from '../../domain/task-queues.ts';
import { startDiscordDouble } from '../support/channels/discord.ts';
import { until } from '../support/lab.ts';
import { type MailServer, startMailServer } from '../support/mail-server.ts';
import { applyFleet, openOutbound } from '../support/outbound.ts';
import { openStoreScope, type StoreScope, testOwner } from '../support/store-scope.ts';
import { startWebhookReceiver, type WebhookReceiver } from '../support/webhook-receiver.ts';

let store: StoreScope;
let outbound: Awaited<ReturnType<typeof openOutbound>>;
let receiver: WebhookReceiver;
let discord: Awaited<ReturnType<typeof startDiscordDouble>>;
let mail: MailServer;
const secret = newWebhookSecret();
let ticks = 0;

beforeAll(async () => {
  store = await openStoreScope();
  receiver = await startWebhookReceiver();
  discord = await startDiscordDouble();
  mail = await startMailServer();
  await applyFleet(store.db, testOwner, {});
  const fleet = createFleetReader(createFleetStore(store.db));
  const notifySecrets = JSON.stringify({
    pager: { secret },
    ops: { url: discord.webhookUrl },
    phone: { token: 'tk_phone' },
  });
  outbound = await openOutbound(
    store,
    { smtpUrl: mail.url, notifySecrets },
    { activities: createNotificationActivities({ notifications: createNotificationStore(store.db), fleet }) },
  );
});
afterAll(async () => {
  await outbound?.close();
  await receiver?.close();
  await discord?.close();
  await mail?.close();
  await store?.close();
});
beforeEach(async () => {
  await sql`delete from notices`.execute(store.db);
  await sql`delete from notifications`.execute(store.db);
  receiver.received.length = 0;
  discord.posts.length = 0;
  mail.received.length = 0;
});

const destinations = () => ({
  pager: { id: 'pager', kind: 'webhook', url: receiver.url('/pager') },
  ops: { id: 'ops', kind: 'discord' },
  phone: { id: 'phone', kind: 'ntfy', url: receiver.url('/soulfra-alerts'), least: 'critical' },
  me: { id: 'me', kind: 'mail', to: 'operator@harbour.example' },
});

async function apply(notify: object): Promise<void> {
  const parsed: Notify = notifySchema.parse({ allowPrivate: ['127.0.0.1'], groupFor: '1s', ...notify });
  await applyFleet(store.db, testOwner, { notify: parsed });
}

async function open(kind: NoticeKind, subject: string, key = `${kind}:${subject}`): Promise<string> {
  const id = newId('notice');
  await openNotice(store.db, { id, ownerId: testOwner, kind, key, subject, title: `${kind} of ${subject}` });
  return id;
}

/** As the Schedule does, every minute. */
async function tick(): Promise<number> {
  ticks += 1;
  const { messages } = (await outbound.client.workflow.execute('tellNotices', {
    workflowId: `tell-notices:${ticks}`,
    taskQueue: coordinationQueue,
    args: [{}],
  })) as { messages: number };
  return messages;
}

const rows = () =>
  store.db
    .selectFrom('notifications')
    .select(['destination', 'state', 'attempts', 'reason'])
    .orderBy('destination')
    .orderBy('id')
    .execute();

async function allEnded(): Promise<void> {
  await until('all messages have ended', async () =>
    (await rows()).every(({ state }) => state === 'sent' || state === 'failed'),
  );
}

test('what comes together is one message to each destination, by its least severity, and its end is told once', async () => {
  await apply({ destinations: Object.values(destinations()) });
  await open('machine_lost', 'pc2');
  await open('parked_work', 'qwen32b_q4');
  // Both at once: whoever is second finds the message of the first.
  const made = await Promise.all([tick(), tick()]);
  expect(made.reduce((sum, one) => sum + one, 0)).toBe(4);
  await allEnded();

  const [pager] = receiver.at('/pager');
  new Webhook(secret).verify(pager!.body, pager!.headers as Record<string, string>);
  expect(JSON.parse(pager!.body)).toMatchObject({
    type: 'fleet.notices',
    data: {
      severity: 'critical',
      notices: [
        { what: 'opened', kind: 'machine_lost', subject: 'pc2', act: { command: 'soulfra fleet start pc2' } },
        { what: 'opened', kind: 'parked_work', subject: 'qwen32b_q4' },
      ],
      left: 0,
    },
  });
  expect(discord.posts).toHaveLength(1);
  expect(discord.posts[0]!.text).toContain('2 new');
  // ntfy takes messages at its root; only the critical one is for the phone.
  const [phone] = receiver.at('/');
  expect(phone!.headers['authorization']).toBe('Bearer tk_phone');
  expect(JSON.parse(phone!.body)).toMatchObject({ topic: 'soulfra-alerts', priority: 5 });
  expect(phone!.body).not.toContain('parked_work');
  expect(mail.to('operator@harbour.example')[0]!.text).toContain('soulfra fleet start pc2');

  // Seen again and again it is the same opening: nobody hears of it twice.
  await open('machine_lost', 'pc2');
  expect(await tick()).toBe(0);

  await resolveNotice(store.db, 'machine_lost:pc2');
  expect(await tick()).toBe(4);
  await allEnded();
  expect(discord.posts.map(({ text }) => text.split('\n')[0])).toEqual([
    expect.stringMatching(/: 2 new$/),
    expect.stringMatching(/: resolved: machine_lost of pc2$/),
  ]);
  expect(await tick()).toBe(0);

  // Lost again: another opening.
  await open('machine_lost', 'pc2');
  expect(await tick()).toBe(4);
  await allEnded();
});

test('what opens and ends before anybody was told is told to nobody', async () => {
  await apply({ destinations: [destinations().ops] });
  await open('machine_lost', 'pc2');
  await resolveNotice(store.db, 'machine_lost:pc2');
  expect(await tick()).toBe(0);
});

test('what stays open is told again, each time once', async () => {
  await apply({ destinations: [destinations().ops], remindAfter: '1h' });
  await open('drop_waiting', newId('drop'));
  expect(await tick()).toBe(1);
  await allEnded();
  for (const round of [1, 2]) {
    expect(await tick()).toBe(0);
    await sql`update notification_items set told_at = told_at - interval '61 minutes'`.execute(store.db);
    expect(await tick()).toBe(1);
    await allEnded();
    expect(discord.posts).toHaveLength(1 + round);
  }
  expect(discord.posts.at(-1)!.text).toContain('open since');
});

test('what was opened at many times is reminded of together, and what was told just now is not', async () => {
  await apply({ destinations: [destinations().ops], remindAfter: '4h' });
  const told = async (subject: string, minutesAgo: number) => {
    const id = await open('machine_lost', subject);
    expect(await tick()).toBe(1);
    await allEnded();
    await sql`update notification_items set told_at = now() - make_interval(mins => ${minutesAgo}) where notice_id = ${id}`.execute(
      store.db,
    );
  };
  await told('first', 10);
  await told('later', 10);
  await told('last', 10);
  const age = (subject: string, minutes: number) =>
    sql`update notification_items set told_at = now() - make_interval(mins => ${minutes})
      where notice_id = (select id from notices where subject = ${subject})`.execute(store.db);
  await age('later', 150);
  expect(await tick()).toBe(0);
  await age('first', 250);
  expect(await tick()).toBe(1);
  await allEnded();
  const { rows: reminded } = await sql<{ subject: string }>`select n.subject from notification_items i
    join notices n on n.id = i.notice_id where i.what = 'reminder' order by 1`.execute(store.db);
  expect(reminded.map(({ subject }) => subject)).toEqual(['first', 'later']);
  expect(discord.posts.at(-1)!.text).toContain('2 still open');
  // The next round has all three.
  for (const subject of ['first', 'later', 'last']) await age(subject, 241);
  await age('last', 200);
  expect(await tick()).toBe(1);
  await allEnded();
  expect(discord.posts.at(-1)!.text).toContain('3 still open');
  expect(await tick()).toBe(0);
});

test('a destination that fails holds back no other, is told of elsewhere, and gets the rest at once when it is back', async () => {
  await apply({ destinations: [destinations().pager, destinations().ops] });
  let down = true;
  receiver.answer(
    '/pager',
    ...Array.from({ length: 2_000 }, () => (response: ServerResponse) => {
      response.writeHead(down ? 503 : 204).end();
    }),
  );
  await open('machine_lost', 'pc2');
  expect(await tick()).toBe(2);
  await until('ops was told', () => Promise.resolve(discord.posts.length === 1));
  await until('it is known to fail', async () => {
    const [notice] = await store.db
      .selectFrom('notices')
      .select('subject')
      .where('kind', '=', 'notify_failing')
      .where('resolvedAt', 'is', null)
      .execute();
    return notice?.subject === 'pager';
  });
  // Two more come while it is down: the other hears of both and of the failing, this one of nothing.
  await open('machine_lost', 'mainpc');
  expect(await tick()).toBe(1);
  await until('ops was told more', () => Promise.resolve(discord.posts.length === 2));
  expect(discord.posts[1]!.text).toContain('soulfra notify test pager');

  down = false;
  await until('the pager is back', async () =>
    (await rows()).some(({ destination, state }) => destination === 'pager' && state === 'sent'),
  );
  expect(await tick()).toBe(2);
  await allEnded();
  const told = receiver.at('/pager').map(({ headers, body }) => ({ id: headers['webhook-id'], body }));
  // Every try of one message is the same bytes under the same id.
  const first = told.filter(({ id }) => id === told[0]!.id);
  expect(new Set(first.map(({ body }) => body)).size).toBe(1);
  const last = JSON.parse(told.at(-1)!.body) as { data: { notices: Array<{ subject: string; what: string }> } };
  expect(last.data.notices.map(({ what, subject }) => `${what} ${subject}`)).toEqual(['opened mainpc']);
  expect(discord.posts.at(-1)!.text).toContain('resolved: pager is not told what waits');
});

test('a secret that is not there, and a destination that is gone, are said and stop nothing', async () => {
  await apply({ destinations: [{ id: 'nowhere', kind: 'discord' }, destinations().ops] });
  await open('machine_lost', 'pc2');
  expect(await tick()).toBe(2);
  await until('it says why', async () =>
    (await rows()).some(({ reason }) => reason.includes('SOULFRA_NOTIFY_SECRETS')),
  );
  await apply({ destinations: [destinations().ops] });
  await allEnded();
  expect(await rows()).toMatchObject([{ destination: 'nowhere', state: 'failed' }, { state: 'sent' }]);
  expect(discord.posts).toHaveLength(1);
});

test('the digest of a day is made once, tells what happened in it, and leaves what is open to be told as ever', async () => {
  await apply({ destinations: [destinations().ops, destinations().me], digest: { at: '08:00', to: ['me'] } });
  await open('ledger_unbalanced', 'ledger');
  await sql`insert into runs (id, owner_id, agent_id, workflow_id, trigger, period, state, reason, wanted_model_id, model_id, queue, expected_tokens, ended_at)
    select 'run_' || n, ${testOwner}, (select id from agents order by id limit 1), 'w' || n, 'call', 'p' || n,
      case when n > 3 then 'failed' else 'done' end, case when n > 3 then 'the model said nothing' else '' end,
      'm', 'm', 'q', 1, timestamptz '2026-11-21 12:00Z' - case when n = 1 then interval '2 days' else interval '0' end
    from generate_series(1, 5) n`.execute(store.db);
  const activities = createNotificationActivities({
    notifications: createNotificationStore(store.db),
    fleet: createFleetReader(createFleetStore(store.db)),
  });
  const day = { until: '2026-11-22T08:00:00.000Z' };
  const made = await Promise.all([activities.composeDigest(day), activities.composeDigest(day)]);
  expect(made.map(({ messages }) => messages).toSorted((a, b) => a - b)).toEqual([0, 1]);
  await allEnded();
  const [digest] = mail.to('operator@harbour.example');
  expect(digest!.subject).toMatch(/, the day: 1 wait for you, 2 runs failed$/);
  expect(digest!.text).toMatch(/Runs {6}(?:2 done, 2 failed|2 failed, 2 done)/);
  expect(digest!.text).toContain('failed  2 × the model said nothing');
  expect(digest!.text).toContain('→ soulfra ledger reconcile');
  expect(digest!.text.split('\n').length).toBeLessThan(30);
  expect(await tick()).toBe(2);
  await allEnded();
});

test('the heartbeat is sent while a machine works, and that it is not heard is told', async () => {
  const beat = async () => {
    ticks += 1;
    return outbound.client.workflow.execute('sendHeartbeat', {
      workflowId: `heartbeat:${ticks}`,
      taskQueue: coordinationQueue,
      args: [{}],
    });
  };
  await apply({ heartbeat: { url: receiver.url('/beat') } });
  expect(await beat()).toEqual({ reason: 'no machine works' });
  await sql`update machines set state = 'ready', lease_until = now() + interval '1 hour'`.execute(store.db);
  expect(await beat()).toEqual({ reason: '' });
  receiver.answer('/beat', (response) => response.writeHead(500).end());
  expect(await beat()).toEqual({ reason: 'it answered 500' });
  const failing = () =>
    store.db.selectFrom('notices').select('resolvedAt').where('kind', '=', 'heartbeat_failing').execute();
  expect(await failing()).toEqual([{ resolvedAt: null }]);
  expect(await beat()).toEqual({ reason: '' });
  expect((await failing())[0]!.resolvedAt).not.toBeNull();
  expect(receiver.at('/beat')).toHaveLength(3);
});
