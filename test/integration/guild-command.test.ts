import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { type GuildHall, openGuildHall } from '../support/guilds.ts';
import { addPerson, type Person } from '../support/market.ts';

const launcher = fileURLToPath(new URL('../../cli/soulfra.js', import.meta.url));
// A guard, not a claim: each command is a process of its own.
vi.setConfig({ testTimeout: 300_000 });

let hall: GuildHall;
let url: string;
let folder: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'soulfra-guild-'));
  hall = await openGuildHall();
  await hall.api.app.listen({ host: '127.0.0.1', port: 0 });
  url = `http://127.0.0.1:${(hall.api.app.server.address() as AddressInfo).port}`;
}, 60_000);
afterAll(async () => {
  await hall?.close();
  rmSync(folder, { recursive: true, force: true });
}, 60_000);

interface Ended {
  code: number;
  out: string;
  err: string;
}
function soulfra(by: Person | undefined, ...args: string[]): Promise<Ended> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [launcher, ...args], {
      cwd: folder,
      env: { PATH: process.env['PATH'], SOULFRA_URL: url, ...(by === undefined ? {} : { SOULFRA_TOKEN: by.token }) },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let out = '';
    let err = '';
    child.stdout.on('data', (text: Buffer) => (out += text.toString()));
    child.stderr.on('data', (text: Buffer) => (err += text.toString()));
    child.on('close', (code) => resolve({ code: code ?? -1, out, err }));
  });
}
const idIn = (ended: Ended, prefix: string) => new RegExp(`${prefix}_[\\w-]+`).exec(ended.out)?.[0] ?? ended.err;

test('founded, joined by a link, answered, led and closed by commands alone', async () => {
  const [ada, ben, cleo] = [hall.founder, await addPerson(hall.db, 'ben'), await addPerson(hall.db, 'cleo')];
  const founded = await soulfra(
    ada,
    'guild',
    'create',
    'The Night Watch',
    '--seats',
    '3',
    '--purpose',
    'Keeps the lamps.',
  );
  expect(founded).toMatchObject({ code: 0, err: '' });
  const guild = idIn(founded, 'gld');

  const linked = await soulfra(ada, 'invite', 'send', guild, '--link', '--uses', '2', '--expires', 'never');
  const secret = idIn(linked, 'sfi');
  expect(secret).toMatch(/^sfi_[\w-]{43}$/);
  expect((await soulfra(undefined, 'invite', 'preview', secret)).out).toContain('“founder” invites to');
  expect((await soulfra(undefined, 'invite', 'join', secret)).code).not.toBe(0);
  expect((await soulfra(ben, 'invite', 'accept', `${url}/#invite=${secret}`)).out).toContain(
    `joined ${guild} as member`,
  );
  const again = await soulfra(ada, 'invite', 'resend', idIn(linked, 'inv'));
  expect(idIn(again, 'sfi')).not.toBe(secret);
  expect((await soulfra(ada, 'invite', 'revoke', idIn(linked, 'inv'), '--reason', 'enough')).code).toBe(0);
  expect((await soulfra(ada, 'invite', 'show', idIn(linked, 'inv'))).out).toContain('enough');

  const invited = await soulfra(ada, '--json', 'invite', 'send', guild, '--user', cleo.ownerId, '--role', 'guest');
  const invite = idIn(invited, 'inv');
  expect((await soulfra(cleo, 'inbox')).out).toContain(`soulfra invite answer ${invite} yes`);
  expect((await soulfra(cleo, 'invite', 'list', '--box', 'received')).out).toContain(invite);
  expect((await soulfra(cleo, 'invite', 'answer', invite, 'perhaps')).code).toBe(2);
  expect((await soulfra(cleo, 'invite', 'answer', invite, 'yes', '--dry-run')).out).toContain('would join');
  expect((await soulfra(cleo, 'invite', 'answer', invite, 'yes')).out).toContain(`joined ${guild} as guest`);

  expect((await soulfra(ada, 'guild', 'appoint', guild, ben.ownerId, 'elder', '--reason', 'steady')).code).toBe(0);
  expect((await soulfra(ben, 'guild', 'rename', guild, 'The Lamps')).code).toBe(0);
  expect((await soulfra(ada, 'guild', 'leave', guild)).err).toContain('makes another member the founder first');
  expect((await soulfra(ada, 'guild', 'transfer', guild, ben.ownerId)).code).toBe(0);
  expect((await soulfra(ben, 'guild', 'expel', guild, cleo.ownerId, '--dry-run')).out).toContain('would expel');
  const shown = await soulfra(ben, 'guild', 'show', guild);
  expect(shown.out).toContain('The Lamps');
  expect(shown.out).toContain('3 of 3 seats');
  expect((await soulfra(ben, 'guild', 'events', guild)).out).toContain('steady');
  expect((await soulfra(ben, '--yes', 'guild', 'close', guild, '--reason', 'done')).code).toBe(0);
  expect((await soulfra(ben, 'guild', 'list', '--state', 'closed')).out).toContain(guild);
});
