import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { hostCrypto } from '../../config/host-crypto.ts';
import { readLoop } from '../../domain/loop-packages.ts';
import { inPieces } from '../support/loops.ts';
import { type Ended, runSoulfra } from '../support/command.ts';
import { openShop, type Shop } from '../support/market.ts';

// A guard, not a claim: each command is a process of its own.
vi.setConfig({ testTimeout: 300_000 });

let shop: Shop;
let url: string;
let folder: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'soulfra-market-'));
  shop = await openShop();
  await shop.api.app.listen({ host: '127.0.0.1', port: 0 });
  url = `http://127.0.0.1:${(shop.api.app.server.address() as AddressInfo).port}`;
}, 60_000);
afterAll(async () => {
  await shop?.close();
  rmSync(folder, { recursive: true, force: true });
}, 60_000);

function soulfra(token: string, args: string[]): Promise<Ended> {
  return runSoulfra(args, { cwd: folder, env: { SOULFRA_URL: url, SOULFRA_TOKEN: token } });
}
const idIn = ({ out }: Ended) => (JSON.parse(out) as { id: string }).id;

test('offered, bought, downloaded and refunded by commands alone', async () => {
  const { seller, buyer } = shop;
  const sell = (...args: string[]) => soulfra(seller.token, ['listings', ...args]);
  const price = ['--price', '12.50', '--currency', 'eur'];
  const creators = ['--creator', `${seller.ownerId}=66.67`, `${buyer.ownerId}=33.33`];
  const drafted = await soulfra(seller.token, ['--json', 'listings', 'create', shop.packageId, ...price, ...creators]);
  expect(drafted).toMatchObject({ code: 0, err: '' });
  const listing = idIn(drafted);
  expect((await sell('create', shop.packageId, '--price', '12.50')).err).toContain(
    '--price and --currency go together',
  );
  expect((await sell('publish', listing)).out).toContain('is listed');
  expect((await sell('set', listing, '--price', '10', '--currency', 'EUR')).out).toContain('version 3, for 10.00 EUR');
  expect((await sell('show', listing)).out).toContain(`${seller.ownerId} 66.67 %`);
  expect((await soulfra(buyer.token, ['listings', 'list'])).out).toContain(listing);

  const poor = await soulfra(buyer.token, ['purchases', 'buy', listing]);
  expect(poor).toMatchObject({ code: 1 });
  expect(poor.err).toContain('BALANCE_TOO_LOW');
  await shop.grant(buyer.ownerId, 1_000);
  const bought = await soulfra(buyer.token, ['--json', 'purchases', 'buy', listing, 'personal', '--key', 'once']);
  const purchase = idIn(bought);
  expect(idIn(await soulfra(buyer.token, ['--json', 'purchases', 'buy', listing, 'personal', '--key', 'once']))).toBe(
    purchase,
  );
  const { licenseId } = JSON.parse(bought.out) as { licenseId: string };
  expect((await soulfra(buyer.token, ['purchases', 'show', purchase])).out).toContain('platform  2.00 EUR');
  expect(await soulfra(buyer.token, ['license', 'download', licenseId, '-o', 'my.loop'])).toMatchObject({ code: 0 });
  const file = inPieces(readFileSync(join(folder, 'my.loop')));
  const { manifest } = await readLoop(file, { checks: hostCrypto, isPinned: () => true });
  expect(manifest.contentHash).toBe(shop.contentHash);

  const refund = (...args: string[]) =>
    soulfra(seller.token, ['purchases', 'refund', purchase, ...args, '--reason', 'a mistake']);
  expect((await refund('4.00')).out).toContain('4.00 EUR given back');
  expect((await refund()).out).toContain('its license is revoked');
  const refunds = await soulfra(buyer.token, ['purchases', 'refunds', purchase, '--state', 'done']);
  expect(refunds.out).toMatch(/done\s+6\.00 EUR\s+credits[^\n]*\n[^\n]*done\s+4\.00 EUR\s+credits/);
  const disputes = await soulfra(seller.token, ['--json', 'purchases', 'disputes', purchase]);
  expect(JSON.parse(disputes.out)).toMatchObject({ items: [] });
  expect((await soulfra(buyer.token, ['license', 'download', licenseId])).err).toContain('LICENSE_REFUSED');
  expect((await soulfra(buyer.token, ['purchases', 'list', '--as', 'buyer'])).out).toContain(purchase);
  expect((await sell('retire', listing)).out).toContain('is retired');

  const agents = (...args: string[]) => soulfra(shop.api.tokens.operator, ['agents', ...args]);
  expect((await agents('budgets', 'vesper-001')).out).toContain('It has no budget');
  expect((await agents('budget', 'vesper-001', '12.50', 'eur')).out).toContain(
    'vesper-001 may spend 12.50 EUR a month; 0.00 EUR of it is spent',
  );
  expect((await agents('budgets', 'vesper-001')).out).toMatch(/12\.50 EUR\s+0\.00 EUR\s+12\.50 EUR/);
});
