import { mkdtempSync, rmSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import type { HealthLook } from '../../domain/health.ts';
import { createHealthStore } from '../../stores/health.ts';
import { readFigures } from '../../stores/queries/figures.ts';
import { type ApiFixture, createApiFixture } from '../support/api.ts';
import { runSoulfra } from '../support/command.ts';
import { smallFleet } from '../support/small-fleet.ts';

// A guard, not a claim: each command is a process of its own.
vi.setConfig({ testTimeout: 300_000 });

let api: ApiFixture;
let folder: string;
let url: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'soulfra-health-'));
  api = await createApiFixture();
  await api.call('POST', '/v1/fleet/apply', { body: { source: smallFleet } });
  await api.app.listen({ host: '127.0.0.1', port: 0 });
  url = `http://127.0.0.1:${(api.app.server.address() as AddressInfo).port}`;
}, 60_000);
afterAll(async () => {
  await api?.close();
  rmSync(folder, { recursive: true, force: true });
});

const soulfra = (...args: string[]) =>
  runSoulfra(args, { cwd: folder, env: { SOULFRA_URL: url, SOULFRA_TOKEN: api.tokens.operator } });

async function look(which: HealthLook): Promise<void> {
  for (let i = 0; i < 2; i += 1) {
    await sql`update health_looks set looked_at = now() - interval '60 seconds' where look = ${which}`.execute(api.db);
    await createHealthStore(api.db).look(which);
  }
}

test('before anyone has judged, nothing is said to be wrong', async () => {
  const { json } = await api.call('GET', '/v1/health/summary');
  expect(json).toMatchObject({ state: 'ok', judgedAt: null, kinds: [], worst: [] });
});

test('the summary counts, the list has the worst first, pages hold each once, and strangers see none of it', async () => {
  const { db } = api;
  await sql`delete from intents`.execute(db);
  await sql`update agents set home_machine_id = 'big', created_at = now() - interval '12 hours'`.execute(db);
  await sql`update agents set created_at = now() - interval '3 days' where id = 'vesper-002'`.execute(db);
  await look('agents');
  await look('machines');
  const { json } = await api.call('GET', '/v1/health/summary', { token: api.tokens.reader });
  expect(json).toMatchObject({
    state: 'failing',
    reason: '',
    counts: { ok: 2, late: 2, failing: 1, lost: 0, not_set_up: 8 },
    worst: [
      { kind: 'agent', id: 'vesper-002', state: 'failing' },
      { kind: 'agent', id: 'vesper-001', state: 'late' },
      { kind: 'agent', id: 'vesper-003', state: 'late' },
    ],
  });
  const seen: string[] = [];
  let cursor = '';
  do {
    const page = await api.call('GET', `/v1/health?limit=2${cursor === '' ? '' : `&cursor=${cursor}`}`);
    seen.push(...page.json.items.map(({ kind, id }) => `${String(kind)} ${String(id)}`));
    cursor = (page.json['nextCursor'] as string | null) ?? '';
  } while (cursor !== '');
  expect(seen).toHaveLength(13);
  expect(new Set(seen).size).toBe(13);
  expect(seen.slice(0, 3)).toEqual(['agent vesper-002', 'agent vesper-001', 'agent vesper-003']);
  expect(seen.slice(-2)).toEqual(['agent rook-001', 'worker coordination']);
  const ids = async (query: string) => (await api.call('GET', `/v1/health?${query}`)).json.items.map(({ id }) => id);
  expect(await ids('atLeast=failing')).toEqual(['vesper-002']);
  expect(await ids('kind=agent&state=ok')).toEqual(['rook-001']);
  expect((await api.call('GET', '/v1/health', { token: api.stranger.token })).json.items).toEqual([]);
  expect((await api.call('GET', '/v1/health?kind=planet')).status).toBe(400);
});

test('what has changed is kept by subject, the last first', async () => {
  await sql`update agents set created_at = now() where id = 'vesper-002'`.execute(api.db);
  await look('agents');
  const { json } = await api.call('GET', '/v1/health/changes?kind=agent&id=vesper-002');
  expect(json.items).toMatchObject([
    { from: 'failing', to: 'ok' },
    { from: 'ok', to: 'failing' },
  ]);
  expect((await api.call('GET', '/v1/health/changes', { token: api.stranger.token })).json.items).toEqual([]);
});

test('the command shows it in one screen, and who is late', async () => {
  const { code, out } = await soulfra('health');
  expect(code).toBe(0);
  expect(out).toContain('✔ postgres');
  expect(out).toMatch(/agent +2 +2 +· +· +·/);
  expect(out).toMatch(/late +agent vesper-001 \(.+\): no run has ended since/);
  expect(out.trimEnd().split('\n').length).toBeLessThan(24);
  expect((await soulfra('agents', 'late')).out).toMatch(/vesper-001 .* late .* no run has ended since/);
  expect((await soulfra('health', 'changes', '--id', 'vesper-002')).out).toMatch(/failing +ok/);
  expect(JSON.parse((await soulfra('health', '--json')).out)).toMatchObject({
    state: 'ready',
    fleet: { state: 'late' },
  });
});

test('where nobody judges any more, that is what is said', async () => {
  await sql`update health_looks set looked_at = now() - interval '2 minutes'`.execute(api.db);
  await sql`update fleet_versions set applied_at = now() - interval '1 hour'`.execute(api.db);
  const { json } = await api.call('GET', '/v1/health/summary');
  expect(json).toMatchObject({ state: 'lost', reason: expect.stringMatching(/^nobody judges/) as string });
});

test('one look that is behind is named, also where it was never taken', async () => {
  await sql`update health_looks set looked_at = now()`.execute(api.db);
  await sql`delete from health_looks where look = 'schedules'`.execute(api.db);
  await sql`insert into health_looks (look, looked_at) select l, now() from unnest(array['channels', 'upkeep', 'agents', 'machines', 'services']) l
    on conflict do nothing`.execute(api.db);
  await sql`update health set state = 'ok', pending_state = null, pending_looks = 0`.execute(api.db);
  const summary = async () => (await api.call('GET', '/v1/health/summary')).json;
  await sql`update fleet_versions set applied_at = now()`.execute(api.db);
  expect(await summary()).toMatchObject({ state: 'ok', reason: '' });
  await sql`update fleet_versions set applied_at = now() - interval '5 minutes'`.execute(api.db);
  expect(await summary()).toMatchObject({
    state: 'failing',
    reason: 'nobody has judged schedules of late; what stands here of them is of then',
  });
  expect((await readFigures(api.db)).find(({ figure }) => figure === 'healthBehind')!.value).toBeGreaterThan(200);
  // Nobody has ever looked at anything: no worker of coordination has come.
  await sql`delete from health_looks`.execute(api.db);
  await sql`delete from health`.execute(api.db);
  expect(await summary()).toMatchObject({
    state: 'lost',
    judgedAt: null,
    reason: expect.stringMatching(/^nobody judges/),
  });
});
