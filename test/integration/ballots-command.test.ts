import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { type BallotStage, openBallotStage } from '../support/ballot-stage.ts';
import { testFleet } from '../support/fleets.ts';

const launcher = fileURLToPath(new URL('../../cli/soulfra.js', import.meta.url));
// A guard, not a claim: each command is a process of its own.
vi.setConfig({ testTimeout: 300_000 });

let stage: BallotStage;
let url: string;
let folder: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'soulfra-ballots-'));
  const fleet = testFleet({ heavy: 0, light: 4 });
  stage = await openBallotStage({ ...fleet, ballots: { ...fleet.ballots, askedAgents: 0 } });
  await stage.app.listen({ host: '127.0.0.1', port: 0 });
  url = `http://127.0.0.1:${(stage.app.server.address() as AddressInfo).port}`;
}, 60_000);
afterAll(async () => {
  await stage?.close();
  rmSync(folder, { recursive: true, force: true });
}, 60_000);

function soulfra(...args: string[]): Promise<{ code: number; out: string; err: string }> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, [launcher, ...args], {
      cwd: folder,
      env: { PATH: process.env['PATH'], SOULFRA_URL: url, SOULFRA_TOKEN: stage.token },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let out = '';
    let err = '';
    child.stdout.on('data', (text: Buffer) => (out += text.toString()));
    child.stderr.on('data', (text: Buffer) => (err += text.toString()));
    child.on('close', (code) => resolve({ code: code ?? -1, out, err }));
  });
}

test('proposed, discussed, voted on and recounted by commands alone', async () => {
  const named = [
    '--option',
    'Ferry',
    '--option',
    'Bridge',
    '--method',
    'quadratic',
    '--discussion',
    '0s',
    '--vote',
    '1h',
  ];
  const dry = await soulfra('propose', 'A second ferry', ...named, '--dry-run');
  expect(dry).toMatchObject({ code: 0, out: 'would propose “A second ferry”\n' });
  const proposed = await soulfra('--json', 'propose', 'A second ferry', ...named, '--key', 'once');
  expect(proposed).toMatchObject({ code: 0, err: '' });
  const { id } = JSON.parse(proposed.out) as { id: string };
  expect((await soulfra('propose', 'A second ferry', ...named, '--key', 'once')).out).toContain(id);
  await stage.reaches(id, 'open');
  expect((await soulfra('ballots', 'remark', id, 'A bridge needs no captain.', '--as', 'light-002')).code).toBe(0);
  expect((await soulfra('ballots', 'remarks', id)).out).toContain('light-002');

  expect((await soulfra('vote', id, '1=9,2=1', '--as', 'light-001', '--reason', 'Boats.')).out).toContain(
    'light-001: shares 1 “Ferry”=9, 2 “Bridge”=1, with 1.000000 ego',
  );
  expect((await soulfra('vote', id, 'ferry=1', '--as', 'light-002')).out).toContain('1 “Ferry”=1');
  expect((await soulfra('vote', id, 'abstain', '--as', 'light-003')).out).toContain('abstains');
  expect(await soulfra('vote', id, '3=1', '--as', 'light-004')).toMatchObject({ code: 2 });
  expect(await soulfra('vote', id, 'Raft=1', '--as', 'light-004')).toMatchObject({
    code: 2,
    err: expect.stringContaining('1 “Ferry”, 2 “Bridge”') as string,
  });
  expect((await soulfra('ballots', 'votes', id, '--given')).out).toContain('Boats.');
  expect(await soulfra('ballots', 'recount', id)).toMatchObject({ code: 1 });
  const open = await soulfra('ballots', 'show', id);
  expect(open.out).toContain('3 voters, 1.000000 ego abstained');
  expect(open.out).toContain('of the votes so far');
  await stage.due(id);

  const shown = await soulfra('ballots', 'show', id);
  expect(shown.out).toContain('passed');
  expect(shown.out).toContain('1 ✔');
  const recounted = await soulfra('ballots', 'recount', id);
  expect(recounted).toMatchObject({ code: 0 });
  expect(recounted.out).toContain('equal to the tally, to the last bit');
  expect((await soulfra('ballots', 'list', '--state', 'passed')).out).toContain(id);
  await sql`update ballots set tally = jsonb_set(tally, '{abstained}', '1') where id = ${id}`.execute(stage.db);
  expect(await soulfra('--json', 'ballots', 'recount', id)).toMatchObject({ code: 1 });
  const second = JSON.parse((await soulfra('--json', 'propose', 'Again')).out) as { id: string };
  expect((await soulfra('ballots', 'withdraw', second.id)).out).toContain('is withdrawn');
}, 180_000);
