import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createMailbox } from '../../integrations/mail/mailbox.ts';
import { createSmtpSender } from '../../integrations/mail/smtp.ts';
import type { ReceiptData } from '../../domain/mail-texts.ts';
import { newId } from '../../stores/ids.ts';
import { createMailStore, queueMail } from '../../stores/mails.ts';
import { createPrincipalStore } from '../../stores/principals.ts';
import { findMail } from '../../stores/queries/mails.ts';
import { queueReceipt } from '../../stores/receipts.ts';
import { deleteUser, inviteUser } from '../../stores/users.ts';
import { until } from '../support/lab.ts';
import { type MailServer, startMailServer } from '../support/mail-server.ts';
import { applyFleet, openOutbound } from '../support/outbound.ts';
import { openStoreScope, type StoreScope, testOwner } from '../support/store-scope.ts';

let store: StoreScope;
let server: MailServer;
let outbound: Awaited<ReturnType<typeof openOutbound>>;

beforeAll(async () => {
  store = await openStoreScope();
  await applyFleet(store.db, testOwner, { people: { signUp: 'open' } });
  server = await startMailServer();
  outbound = await openOutbound(store, { smtpUrl: server.url });
});
afterAll(async () => {
  await outbound?.close();
  await server?.close();
  await store?.close();
});

let people = 0;
/** Somebody whose address is known to be theirs. */
async function buyer(): Promise<{ id: string; address: string }> {
  people += 1;
  const address = `buyer-${people}@harbour.example`;
  const id = await store.db
    .transaction()
    .execute((tx) => inviteUser(tx, { operatorId: testOwner, address, role: 'member', name: 'Ada' }));
  await sql`update users set verified_at = now() where id = ${id}`.execute(store.db);
  return { id, address };
}

function receiptFor(buyerId: string, purchaseId = `pur_${newId('request')}`) {
  const data: ReceiptData = {
    purchaseId,
    licenseId: newId('license'),
    issuerId: testOwner,
    use: 'anywhere',
    paidAt: '2026-11-21T10:00:00.000Z',
    currency: 'EUR',
    lines: [{ text: 'The night watch', amount: 1_250 }],
    total: 1_250,
  };
  return { ownerId: testOwner, buyerId, ...data };
}

/** @returns the mail's id */
async function sendReceipt(to: { id: string }): Promise<string> {
  const receipt = receiptFor(to.id);
  expect(await store.db.transaction().execute((tx) => queueReceipt(tx, receipt))).toBe(true);
  return mailOf(`receipt:${receipt.purchaseId}`);
}

async function askForLink(address: string): Promise<string> {
  const key = `sign_in:${newId('request')}`;
  await store.db
    .transaction()
    .execute((tx) => queueMail(tx, { ownerId: testOwner, userId: null, key, template: 'sign_in', address }));
  return mailOf(key);
}

async function mailOf(key: string): Promise<string> {
  return (await store.db.selectFrom('mails').select('id').where('key', '=', key).executeTakeFirstOrThrow()).id;
}

async function ended(id: string) {
  await until(`${id} has ended`, async () => (await findMail(store.db, testOwner, id))?.endedAt !== null);
  const mail = (await findMail(store.db, testOwner, id))!;
  return { ...mail, outcomes: mail.attempts.map(({ outcome }) => outcome) };
}

const notice = (key: string) =>
  store.db
    .selectFrom('notices')
    .select(['kind', 'title', 'action'])
    .where('key', '=', key)
    .where('resolvedAt', 'is', null)
    .executeTakeFirst();

const linkIn = (text: string) => /#once=(sfr_[\w-]+)/.exec(text)?.[1] ?? '';

test('a link reaches who asked for it, makes them a user, and shows once whose the address is', async () => {
  const address = 'ada@harbour.example';
  const mail = await ended(await askForLink(address));
  expect(mail).toMatchObject({ state: 'sent', outcomes: ['accepted'], address });
  const [got] = server.to(address);
  expect(got).toMatchObject({ from: 'market@soulfra.example', messageId: `<${mail.id}@soulfra.example>` });
  expect(got!.text).toContain('https://soulfra.example/#once=sfr_');
  const user = () =>
    store.db.selectFrom('users').select(['id', 'role', 'verifiedAt']).where('address', '=', address).executeTakeFirst();
  expect(await user()).toMatchObject({ role: 'member', verifiedAt: null });

  const principals = createPrincipalStore(store.db);
  const once = linkIn(got!.text);
  // The secret stands nowhere but in the mail.
  const { rows } = await sql<{ held: boolean }>`select exists (select from mails where mails::text like ${`%${once}%`})
    or exists (select from tokens where tokens::text like ${`%${once}%`}) as held`.execute(store.db);
  expect(rows[0]?.held).toBe(false);
  const answers = await Promise.all(Array.from({ length: 10 }, () => principals.redeemOnce(once)));
  expect(answers.filter((answer) => answer !== undefined)).toHaveLength(1);
  expect((await user())?.verifiedAt).toBeInstanceOf(Date);

  // The next link is for the same user.
  await ended(await askForLink(address));
  const { total } = await store.db
    .selectFrom('users')
    .select((eb) => eb.fn.countAll<number>().as('total'))
    .where('address', '=', address)
    .executeTakeFirstOrThrow();
  expect(total).toBe(1);
});

test('a server that says later is asked again; one that says never is not', async () => {
  const grey = await buyer();
  server.script(grey.address, { recipient: { code: 451, say: 'greylisted' } }, { data: { code: 452, say: 'full' } });
  const deferred = await ended(await sendReceipt(grey));
  expect(deferred).toMatchObject({ state: 'sent', outcomes: ['deferred', 'deferred', 'accepted'] });
  expect(deferred.attempts[0]!.answer).toContain('greylisted');

  const gone = await buyer();
  server.script(gone.address, { recipient: { code: 550, say: `<${gone.address.toUpperCase()}>: no such mailbox` } });
  const refused = await ended(await sendReceipt(gone));
  expect(refused).toMatchObject({ state: 'failed', outcomes: ['refused'] });
  expect(refused.reason).toContain('no such mailbox');
  // Whom it was to stands in the mail alone, and leaves with it.
  expect(refused.reason).not.toContain(gone.address);
  expect(await notice(`mail:${refused.id}`)).toMatchObject({ kind: 'mail_failing' });
  expect(server.to(gone.address)).toEqual([]);

  // Anybody may ask for a link to any address: no notice comes of it.
  server.script('nobody@harbour.example', { recipient: { code: 550, say: 'no such mailbox' } });
  const link = await ended(await askForLink('nobody@harbour.example'));
  expect(link.state).toBe('failed');
  expect(await notice(`mail:${link.id}`)).toBeUndefined();
});

test('a receipt whose answer is lost is never sent again by itself; by hand it says that it is a copy', async () => {
  const { id, address } = await buyer();
  server.script(address, { data: 'cut' });
  const mail = await ended(await sendReceipt({ id }));
  expect(mail).toMatchObject({ state: 'unconfirmed', outcomes: ['unconfirmed'] });
  expect(await notice(`mail:${mail.id}`)).toMatchObject({
    kind: 'mail_unconfirmed',
    action: `soulfra mail resend ${mail.id}`,
  });
  expect(server.to(address)).toHaveLength(1);

  const mails = createMailStore(store.db);
  await store.db.transaction().execute((tx) => mails.resend(tx, testOwner, mail.id));
  await expect(store.db.transaction().execute((tx) => mails.resend(tx, testOwner, mail.id))).rejects.toThrow(
    'is pending',
  );
  await until('it was sent again', async () => (await findMail(store.db, testOwner, mail.id))?.state === 'sent');
  const copies = server.to(address);
  expect(copies.map(({ messageId }) => messageId)).toEqual(Array(2).fill(`<${mail.id}@soulfra.example>`));
  expect(copies[1]!.subject).toMatch(/^Copy of your receipt/);
  expect(await notice(`mail:${mail.id}`)).toBeUndefined();
  await expect(store.db.transaction().execute((tx) => mails.resend(tx, testOwner, mail.id))).rejects.toThrow('is sent');
});

test('a connection cut before the mail left is no sending', async () => {
  const { id, address } = await buyer();
  server.script(address, { recipient: 'cut' }, { recipient: 'cut' });
  expect(await ended(await sendReceipt({ id }))).toMatchObject({
    state: 'sent',
    outcomes: ['not_sent', 'not_sent', 'accepted'],
  });
  expect(server.to(address)).toHaveLength(1);
});

test('a link whose answer is lost goes out once more, and either one works', async () => {
  const address = 'grace@harbour.example';
  server.script(address, { data: 'cut' });
  expect(await ended(await askForLink(address))).toMatchObject({
    state: 'sent',
    outcomes: ['unconfirmed', 'accepted'],
  });
  const principals = createPrincipalStore(store.db);
  const links = server.to(address).map(({ text }) => linkIn(text));
  expect(new Set(links).size).toBe(2);
  for (const link of links) expect(await principals.redeemOnce(link)).toMatchObject({ role: 'member' });

  const unlucky = 'joan@harbour.example';
  server.script(unlucky, { data: 'cut' }, { data: 'cut' });
  expect(await ended(await askForLink(unlucky))).toMatchObject({ state: 'unconfirmed' });
  expect(server.to(unlucky)).toHaveLength(2);
});

test('a server that cannot be reached is a notice until it can', async () => {
  const { id } = await buyer();
  server.greetWith({ code: 421, say: 'not now' });
  const mailId = await sendReceipt({ id });
  await until('it was noticed', async () => (await notice(`mail-server:${testOwner}`)) !== undefined);
  server.greetWith('take');
  expect(await ended(mailId)).toMatchObject({ state: 'sent' });
  expect(await notice(`mail-server:${testOwner}`)).toBeUndefined();
});

test('a purchase has one receipt, and none where it was rolled back or the address was never shown', async () => {
  const { id, address } = await buyer();
  const receipt = receiptFor(id);
  const queue = () => store.db.transaction().execute((tx) => queueReceipt(tx, receipt));
  expect((await Promise.all(Array.from({ length: 10 }, queue))).filter(Boolean)).toHaveLength(1);
  await ended(await mailOf(`receipt:${receipt.purchaseId}`));
  expect(await queue()).toBe(false);
  expect(server.to(address)).toHaveLength(1);

  const undone = receiptFor(id);
  await expect(
    store.db.transaction().execute(async (tx) => {
      await queueReceipt(tx, undone);
      throw new Error('undone');
    }),
  ).rejects.toThrow('undone');
  await sql`update users set verified_at = null where id = ${id}`.execute(store.db);
  expect(await store.db.transaction().execute((tx) => queueReceipt(tx, receiptFor(id)))).toBe(false);
  expect(await store.db.transaction().execute((tx) => queueReceipt(tx, receiptFor('vesper-001')))).toBe(false);
  expect(server.to(address)).toHaveLength(1);
  await expect(
    store.db.transaction().execute((tx) => queueReceipt(tx, { ...receiptFor(id), total: 1_251 })),
  ).rejects.toThrow('adds up to 1250');
});

test('who is deleted gets no mail any more, and no link of theirs works', async () => {
  const { id, address } = await buyer();
  const link = await askForLink(address);
  await ended(link);
  const once = linkIn(server.to(address)[0]!.text);
  // Deleted while the server is asked whether it takes the mail.
  server.script(address, { recipient: { code: 451, say: 'later' } });
  const receipt = receiptFor(id);
  await store.db.transaction().execute(async (tx) => {
    await queueReceipt(tx, receipt);
    await deleteUser(tx, testOwner, id);
  });
  const mail = await ended(await mailOf(`receipt:${receipt.purchaseId}`));
  expect(mail).toMatchObject({ state: 'failed', reason: 'the user was deleted', address: null });
  expect(await createPrincipalStore(store.db).redeemOnce(once)).toBeUndefined();
  const { rows } = await sql<{
    held: boolean;
  }>`select exists (select from mails where mails::text like ${`%${address}%`})
    or exists (select from users where users::text like ${`%${address}%`})
    or exists (select from events where events::text like ${`%${address}%`}) as held`.execute(store.db);
  expect(rows[0]?.held).toBe(false);
  expect(server.to(address)).toHaveLength(1);
});

test('where sign-up is closed who is not known leaves nothing behind', async () => {
  await applyFleet(store.db, testOwner, { people: { signUp: 'closed' } });
  const stranger = 'eve@elsewhere.example';
  expect(await ended(await askForLink(stranger))).toMatchObject({ state: 'failed', address: null, outcomes: [] });
  expect(server.to(stranger)).toEqual([]);
  const known = await buyer();
  expect(await ended(await askForLink(known.address))).toMatchObject({ state: 'sent' });
});

test('two tries at once send one mail; news of the one that was given up on still counts', async () => {
  const mails = createMailStore(store.db);
  const { id } = await buyer();
  const receipt = receiptFor(id);
  await store.db.transaction().execute(async (tx) => {
    await queueReceipt(tx, receipt);
    // Only the test takes its turns.
    await sql`delete from intents`.execute(tx);
  });
  const mailId = await mailOf(`receipt:${receipt.purchaseId}`);
  const turns = await Promise.all([1, 2].map(() => mails.turn(mailId, { signUpOpen: false })));
  const sends = turns.map((turn) => ('send' in turn ? turn.send : undefined));
  const begun = await Promise.all(sends.map((send) => mails.begin(send!)));
  expect(begun.filter((one) => one !== undefined)).toEqual([{ attempt: 1 }]);
  // The worker was taken for dead: who comes next does not send.
  expect(await mails.turn(mailId, { signUpOpen: false })).toEqual({ step: { state: 'unconfirmed' } });
  expect(await notice(`mail:${mailId}`)).toBeDefined();
  // It was alive, and the mail went.
  expect(await mails.end(sends[0]!, 1, 'accepted', '250 ok')).toEqual({ state: 'sent' });
  expect(await notice(`mail:${mailId}`)).toBeUndefined();
  expect(await mails.turn(mailId, { signUpOpen: false })).toEqual({ step: { state: 'sent' } });
});

test('without TLS no password and no mail goes to a server that should have it', async () => {
  const sender = createSmtpSender({
    host: '127.0.0.1',
    port: server.port,
    secure: false,
    tls: true,
    user: 'u',
    password: 'hunter2',
  });
  const before = server.received.length;
  const sent = await sender.send({
    to: 'ada@harbour.example',
    compose: () => Promise.reject(new Error('nothing is composed')),
    signal: new AbortController().signal,
  });
  expect(sent.outcome).toBe('not_sent');
  expect(sent.answer).not.toContain('hunter2');
  expect(server.received).toHaveLength(before);
});

test('a mailbox folder holds each mail once, for its owner alone', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'soulfra-mailbox-'));
  const box = join(folder, 'mail');
  try {
    const mail = {
      messageId: '<mai_1@soulfra.example>',
      from: 'market@soulfra.example',
      to: 'ada@harbour.example',
      subject: 'Hello',
      text: 'A link.\n',
      date: new Date(0),
    };
    const sending = { to: mail.to, compose: () => Promise.resolve(mail), signal: new AbortController().signal };
    for (let i = 0; i < 2; i += 1) expect((await createMailbox(box).send(sending)).outcome).toBe('accepted');
    expect(readdirSync(box)).toEqual(['mai_1.eml']);
    expect(statSync(join(box, 'mai_1.eml')).mode & 0o777).toBe(0o600);
    expect(readFileSync(join(box, 'mai_1.eml'), 'utf8')).toContain('A link.');
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
