import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sql } from 'kysely';
import { Webhook } from 'standardwebhooks';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createSecretBox } from '../../integrations/secret-box.ts';
import { newWebhookSecret } from '../../integrations/standard-webhooks.ts';
import { webhookSecretAbout } from '../../integrations/webhook-sender.ts';
import { newId } from '../../stores/ids.ts';
import { queueMail } from '../../stores/mails.ts';
import { findMail } from '../../stores/queries/mails.ts';
import { queueReceipt } from '../../stores/receipts.ts';
import { inviteUser } from '../../stores/users.ts';
import { queueWebhookEvent } from '../../stores/webhook-events.ts';
import { addWebhook } from '../../stores/webhooks.ts';
import { testFleet } from '../support/fleets.ts';
import { createTestScope, type TestScope } from '../support/isolation.ts';
import { type Lab, labOwner, openLab, until } from '../support/lab.ts';
import { type MailServer, startMailServer } from '../support/mail-server.ts';
import { testWebhookKey } from '../support/outbound.ts';
import { startWebhookReceiver, type WebhookReceiver } from '../support/webhook-receiver.ts';

let scope: TestScope;
let lab: Lab;
let server: MailServer;
let receiver: WebhookReceiver;
const logs = mkdtempSync(join(tmpdir(), 'soulfra-outbound-'));

beforeAll(async () => {
  scope = await createTestScope();
  server = await startMailServer();
  receiver = await startWebhookReceiver();
  // Workers take over the environment of this process, which is this file's own.
  Object.assign(process.env, {
    SMTP_URL: server.url,
    SOULFRA_MAIL_FROM: 'market@soulfra.example',
    SOULFRA_WEBHOOK_KEY: testWebhookKey,
  });
  lab = await openLab({ ...scope }, { logs, workerLogLevel: 'warn' });
  await lab.apply({ ...testFleet({ heavy: 0, light: 1 }), webhooks: { allowPrivate: ['127.0.0.1'] } });
});
afterAll(async () => {
  for await (const { scheduleId } of lab.client.schedule.list())
    await lab.client.schedule.getHandle(scheduleId).delete();
  await lab?.close();
  await server?.close();
  await receiver?.close();
  await scope?.close();
  rmSync(logs, { recursive: true, force: true });
});

async function user(name: string): Promise<{ id: string; address: string }> {
  const address = `${name}@harbour.example`;
  const id = await lab.db
    .transaction()
    .execute((tx) => inviteUser(tx, { operatorId: labOwner, address, role: 'member', name }));
  await sql`update users set verified_at = now() where id = ${id}`.execute(lab.db);
  return { id, address };
}

/** @returns the mail's id */
async function receipt(to: { id: string }): Promise<string> {
  const purchaseId = `pur_${newId('request')}`;
  await lab.db.transaction().execute((tx) =>
    queueReceipt(tx, {
      ownerId: labOwner,
      buyerId: to.id,
      purchaseId,
      licenseId: newId('license'),
      issuerId: labOwner,
      use: 'anywhere',
      paidAt: '2026-11-21T10:00:00.000Z',
      currency: 'EUR',
      lines: [{ text: 'The night watch', amount: 100 }],
      total: 100,
    }),
  );
  return (
    await lab.db.selectFrom('mails').select('id').where('key', '=', `receipt:${purchaseId}`).executeTakeFirstOrThrow()
  ).id;
}

async function ended(id: string) {
  await until(`${id} has ended`, async () => (await findMail(lab.db, labOwner, id))?.endedAt !== null, 120_000);
  const mail = (await findMail(lab.db, labOwner, id))!;
  return { state: mail.state, outcomes: mail.attempts.map(({ outcome }) => outcome) };
}

// Each worker takes seconds to come up, and what a dead one had in hand is given to the next only after its heartbeat time-out.
test('workers that are killed before, while and after a mail or event leaves', { timeout: 240_000 }, async () => {
  const [early, asked, taken, reader] = await Promise.all(['early', 'asked', 'taken', 'reader'].map(user));

  // Before the server has said a word: nothing left, so the next one sends it.
  server.greetWith('hold');
  const first = lab.startWorker('pc2');
  const earlyMail = await receipt(early!);
  await until('the worker waits for the greeting', () => Promise.resolve(server.seen.includes('greeting')), 60_000);
  await first.end('SIGKILL');
  server.greetWith('take');
  const second = lab.startWorker('pc2');
  expect(await ended(earlyMail)).toEqual({ state: 'sent', outcomes: ['accepted'] });
  expect(server.to(early!.address)).toHaveLength(1);

  // Told whom it is to; wholly there and not answered: a receipt is not sent again, a link is, an event always.
  server.script(asked!.address, { recipient: 'hold' });
  server.script(taken!.address, { data: 'hold' });
  server.script(reader!.address, { data: 'hold' });
  receiver.answer('/hooks', () => undefined);
  const secret = newWebhookSecret();
  const secretId = newId('webhookSecret');
  const box = createSecretBox(Buffer.from(testWebhookKey, 'base64url'));
  const sealed = box.seal(secret, webhookSecretAbout(secretId));
  await lab.db.transaction().execute(async (tx) => {
    const id = newId('webhook');
    await addWebhook(tx, {
      ownerId: labOwner,
      id,
      url: receiver.url('/hooks'),
      types: ['license.revoked'],
      secret: { id: secretId, sealed },
    });
    await queueWebhookEvent(tx, labOwner, 'license.revoked', {
      licenseId: newId('license'),
      holderId: reader!.id,
      packageHash: 'a'.repeat(64),
      purchaseId: null,
      revokedAt: '2026-11-21T10:00:00.000Z',
    });
    await queueMail(tx, {
      ownerId: labOwner,
      userId: null,
      key: 'sign_in:reader',
      template: 'sign_in',
      address: reader!.address,
    });
  });
  const mails = [await receipt(asked!), await receipt(taken!)] as const;
  await until('everything is held', () =>
    Promise.resolve(
      receiver.received.length === 1 &&
        [`recipient ${asked!.address}`, `data ${taken!.address}`, `data ${reader!.address}`].every((what) =>
          server.seen.includes(what),
        ),
    ),
  );
  await second.end('SIGKILL');
  lab.startWorker('pc2');

  for (const mail of mails) expect(await ended(mail)).toEqual({ state: 'unconfirmed', outcomes: ['unconfirmed'] });
  expect([asked!, taken!].map(({ address }) => server.to(address).length)).toEqual([0, 1]);
  const notices = await lab.db.selectFrom('notices').select('subject').where('kind', '=', 'mail_unconfirmed').execute();
  expect(notices.map(({ subject }) => subject).sort()).toEqual([...mails].sort());

  await until(
    'the event was delivered',
    async () => {
      const [delivery] = await lab.db.selectFrom('webhookDeliveries').select('state').execute();
      return delivery?.state === 'delivered';
    },
    60_000,
  );
  expect(receiver.received).toHaveLength(2);
  expect(new Set(receiver.received.map(({ headers }) => headers['webhook-id'])).size).toBe(1);
  for (const { body, headers } of receiver.received)
    new Webhook(secret).verify(body, headers as Record<string, string>);

  const link = await lab.db
    .selectFrom('mails')
    .select('id')
    .where('key', '=', 'sign_in:reader')
    .executeTakeFirstOrThrow();
  expect(await ended(link.id)).toEqual({ state: 'sent', outcomes: ['unconfirmed', 'accepted'] });
  const copies = server.to(reader!.address);
  expect(copies).toHaveLength(2);
  expect(copies[0]!.messageId).toBe(copies[1]!.messageId);
});
