import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sql } from 'kysely';
import { Webhook } from 'standardwebhooks';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { notifySchema } from '../../domain/notify.ts';
import { newWebhookSecret } from '../../integrations/standard-webhooks.ts';
import { newId } from '../../stores/ids.ts';
import { openNotice } from '../../stores/notices.ts';
import { testFleet } from '../support/fleets.ts';
import { createTestScope, type TestScope } from '../support/isolation.ts';
import { type Lab, labOwner, openLab, until } from '../support/lab.ts';
import { startWebhookReceiver, type WebhookReceiver } from '../support/webhook-receiver.ts';

let scope: TestScope;
let lab: Lab;
let receiver: WebhookReceiver;
const secret = newWebhookSecret();
const logs = mkdtempSync(join(tmpdir(), 'soulfra-notify-'));

beforeAll(async () => {
  scope = await createTestScope();
  receiver = await startWebhookReceiver();
  // Workers take over the environment of this process, which is this file's own.
  process.env['SOULFRA_NOTIFY_SECRETS'] = JSON.stringify({ pager: { secret } });
  lab = await openLab({ ...scope }, { logs, workerLogLevel: 'warn' });
  await lab.apply({
    ...testFleet({ heavy: 0, light: 1 }),
    notify: notifySchema.parse({
      destinations: [
        { id: 'pager', kind: 'webhook', url: receiver.url('/pager') },
        { id: 'other', kind: 'ntfy', url: receiver.url('/topic') },
      ],
      allowPrivate: ['127.0.0.1'],
      groupFor: '1s',
    }),
  });
});
afterAll(async () => {
  for await (const { scheduleId } of lab.client.schedule.list())
    await lab.client.schedule.getHandle(scheduleId).delete();
  await lab?.close();
  await receiver?.close();
  await scope?.close();
  rmSync(logs, { recursive: true, force: true });
});

test('a worker that dies as it tells loses nothing, and tells nobody else twice', { timeout: 240_000 }, async () => {
  receiver.answer('/pager', () => undefined);
  await openNotice(lab.db, {
    id: newId('notice'),
    ownerId: labOwner,
    kind: 'drop_waiting',
    key: 'drop:drp_1',
    subject: 'drp_1',
    title: 'A drop waits for your word',
  });
  const first = lab.startWorker('pc2');
  // Its Schedule comes up with the worker, and its time within a minute.
  await until(
    'one is held and the other was told',
    () => Promise.resolve(receiver.at('/pager').length === 1 && receiver.at('/').length === 1),
    120_000,
  );
  // That the machine was gone for a while may be told meanwhile.
  const ofDrop = ({ body }: { body: string }) => body.includes('A drop waits');
  const states = () =>
    lab.db
      .selectFrom('notifications')
      .select(['destination', 'state'])
      .where(sql<boolean>`content::text like '%drp_1%'`)
      .orderBy('destination')
      .execute();
  await until('the other is marked', async () => (await states())[0]?.state === 'sent');
  expect(await states()).toEqual([
    { destination: 'other', state: 'sent' },
    { destination: 'pager', state: 'sending' },
  ]);
  await first.end('SIGKILL');
  lab.startWorker('pc2');
  await until('the pager was told', async () => (await states()).every(({ state }) => state === 'sent'), 120_000);
  const told = receiver.at('/pager').filter(ofDrop);
  expect(told).toHaveLength(2);
  // The same message under the same id: who keeps ids takes it once.
  expect(told[0]!.body).toBe(told[1]!.body);
  expect(told[0]!.headers['webhook-id']).toBe(told[1]!.headers['webhook-id']);
  for (const { body, headers } of told) new Webhook(secret).verify(body, headers as Record<string, string>);
  expect(receiver.at('/').filter(ofDrop)).toHaveLength(1);
});
