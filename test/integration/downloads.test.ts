import { generateKeyPairSync, sign } from 'node:crypto';
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createContext } from '../../api/context.ts';
import { hostCrypto } from '../../config/host-crypto.ts';
import { downloadForm, downloadSeconds, linkContent } from '../../domain/download-links.ts';
import { readLoop, signLoop } from '../../domain/loop-packages.ts';
import { signingKeyIdOf } from '../../domain/signing-keys.ts';
import { newId } from '../../stores/ids.ts';
import { createLoopPackageStore } from '../../stores/loop-packages.ts';
import { inPieces, packed, unsignedLoop } from '../support/loops.ts';
import { openShop, type Shop } from '../support/market.ts';

let shop: Shop;
let licenseId: string;
beforeAll(async () => {
  shop = await openShop();
  await shop.grant(shop.buyer.ownerId, 1_000);
  licenseId = (await shop.buy(await shop.list())).json['licenseId'] as string;
}, 60_000);
afterAll(() => shop?.close(), 60_000);

const signers = () => createContext(shop.api.deps).signers;
const seller = () => shop.seller.ownerId;
async function linked(): Promise<string> {
  const { json } = await shop.api.call('POST', `/v1/licenses/${licenseId}/download`, { token: shop.buyer.token });
  return json['url'] as string;
}
async function packages(): Promise<number> {
  return (await shop.db.selectFrom('loopPackages').select('id').where('ownerId', '=', seller()).execute()).length;
}
const open = (url: string) => shop.api.app.inject({ method: 'GET', url });
async function signedBy(url: string): Promise<string> {
  const { statusCode, rawPayload } = await open(url);
  expect(statusCode).toBe(200);
  const { manifest } = await readLoop(inPieces(rawPayload), { checks: hostCrypto, isPinned: () => true });
  expect(manifest.contentHash).toBe(shop.contentHash);
  return manifest.madeBy.keyId;
}
/** A link as who has the private half can make it. */
async function linkBy(sign: (bytes: Buffer) => Uint8Array, seconds: number): Promise<string> {
  const { rows } = await sql<{ now: number }>`select extract(epoch from now())::float8 as now`.execute(shop.db);
  const content = linkContent({ licenseId, holding: 0, expiresAt: Math.floor(rows[0]!.now) + seconds });
  const mark = Buffer.from(sign(Buffer.from(`${downloadForm}.${content}`, 'ascii'))).toString('base64url');
  return `/v1/downloads/${content}.${mark}`;
}
/** A key of the seller's that was retired, and whose private half somebody has. */
async function leakedKey() {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const raw = Buffer.from(publicKey.export({ format: 'jwk' }).x!, 'base64url');
  const id = signingKeyIdOf(raw, hostCrypto.sha256);
  const key = { id, ownerId: seller(), publicKey: raw, source: 'file', signsSince: new Date(), retiredAt: new Date() };
  await shop.db.insertInto('signingKeys').values(key).execute();
  return {
    sign: (bytes: Buffer) => sign(null, bytes, privateKey),
    retire: async (secondsAgo: number) => {
      await sql`update signing_keys set retired_at = now() - ${secondsAgo} * interval '1 second' where id = ${id}`.execute(
        shop.db,
      );
    },
  };
}

test('a download is signed by the key that its issuer has now, whatever signed the package when it was made', async () => {
  const first = (await signers().of(seller())).keyId;
  expect(await signedBy(await linked())).toBe(first);
  const { keyId: second } = await signers().rotate(seller(), first);
  const link = await linked();
  expect(await signedBy(link)).toBe(second);
  // Nothing is kept for it: the same file is made again.
  expect((await open(link)).rawPayload.equals((await open(link)).rawPayload)).toBe(true);
  expect(await packages()).toBe(1);
});

test('a package that was packed again under the key of now is given as it is', async () => {
  const signer = await signers().of(seller());
  const again = signLoop(unsignedLoop([packed('one')]), signer);
  const store = createLoopPackageStore(shop.db);
  const keep = { requestId: newId('request'), id: newId('loopPackage'), ownerId: seller(), agentId: 'vesper-001' };
  await store.keep({ ...keep, bodyHash: Buffer.from('again'), ...again });
  expect(await packages()).toBe(2);
  // The older file is the later row to come to, by hand.
  await sql`update loop_packages set made_at = now() + interval '1 hour' where key_id <> ${signer.keyId}`.execute(
    shop.db,
  );
  expect((await open(await linked())).rawPayload.equals(Buffer.from(again.archive))).toBe(true);
});

test('a link of a key that was retired opens what it opened, for as long as its links last, and then nothing', async () => {
  const leaked = await leakedKey();
  const link = await linkBy(leaked.sign, downloadSeconds);
  await leaked.retire(downloadSeconds - 60);
  expect((await open(link)).statusCode).toBe(200);
  await leaked.retire(downloadSeconds + 1);
  expect((await open(link)).statusCode).toBe(404);
});

test('nobody makes a link that lasts longer than links do, not even with the key', async () => {
  const leaked = await leakedKey();
  expect((await open(await linkBy(leaked.sign, downloadSeconds - 5))).statusCode).toBe(200);
  expect((await open(await linkBy(leaked.sign, downloadSeconds + 60))).statusCode).toBe(404);
  expect((await open(await linkBy(leaked.sign, 10 * 365 * 86_400))).statusCode).toBe(404);
});
