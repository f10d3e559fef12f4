import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createMachineReportStore } from '../../stores/machine-reports.ts';
import { createServiceRunStore } from '../../stores/service-runs.ts';
import { commandHash } from '../../stores/services.ts';
import { type ApiFixture, createApiFixture } from '../support/api.ts';
import { runSoulfra } from '../support/command.ts';
import { smallFleet } from '../support/small-fleet.ts';

let api: ApiFixture;
let folder: string;
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'soulfra-service-runs-'));
  api = await createApiFixture();
  await apply(shop);
  await api.app.listen({ port: 0, host: '127.0.0.1' });
});
afterAll(async () => {
  await api?.close();
  rmSync(folder, { recursive: true, force: true });
});

const one = (id: string, dependsOn: string[] = [], command = ['python3', `${id}.py`, 'a b']) =>
  `  - ${JSON.stringify({ id, kind: 'process', machine: 'small', command, dependsOn, source: 'startup.yaml:1' })}\n`;
const shop = `version: 1\nservices:\n${one('web', ['api'])}${one('api', ['db'])}${one('db')}${one('mail')}`;
const apply = (source: string) =>
  api.call('POST', '/v1/fleet/apply', { body: { source: smallFleet, serviceFiles: [{ name: 'a.yaml', source }] } });
const wavesOf = (json: Record<string, unknown>) =>
  (json['waves'] as Array<Array<{ id: string; action: string }>>).map((wave) =>
    wave.map(({ id, action }) => `${action} ${id}`),
  );

test('a dry run says the waves and writes nothing; a start is the work of one workflow', async () => {
  const before = await api.rowCounts();
  const dry = await api.call('POST', '/v1/services/api/start?dryRun=true');
  expect(dry.status).toBe(200);
  expect(wavesOf(dry.json)).toEqual([['start db'], ['start api']]);
  expect(
    wavesOf((await api.call('POST', '/v1/services/stop?dryRun=true', { body: { services: ['db'] } })).json),
  ).toEqual([['stop db']]);
  expect(await api.rowCounts()).toEqual(before);

  const started = await api.call('POST', '/v1/services/start');
  expect(started.status).toBe(202);
  expect(wavesOf(started.json)).toEqual([['start db', 'start mail'], ['start api'], ['start web']]);
  const intents = await api.db
    .selectFrom('intents')
    .select(['workflowId', 'args'])
    .where('type', '=', 'runServices')
    .execute();
  expect(intents).toEqual([
    {
      workflowId: started.json['workflowId'],
      args: [{ requestId: started.json['requestId'], action: 'start', waves: 3 }],
    },
  ]);
  const { json } = await api.call('GET', '/v1/services/web');
  expect(json['run']).toMatchObject({ wanted: 'running', state: 'waiting', requestId: started.json['requestId'] });

  // What runs stands on it, and is stopped first; what was only needed is started again where it does not run.
  expect(wavesOf((await api.call('POST', '/v1/services/api/restart?dryRun=true')).json)).toEqual([
    ['start db'],
    ['restart api'],
    ['restart web'],
  ]);
});

test('what is not there, and services that need each other in a circle, are told by name', async () => {
  expect((await api.call('POST', '/v1/services/shop/start')).json).toMatchObject({
    code: 'NOT_FOUND',
    detail: 'no service shop',
  });
  expect((await api.call('POST', '/v1/services/stop', { body: { services: ['db', 'shop'] } })).status).toBe(404);
  await apply(`version: 1\nservices:\n${one('web', ['api'])}${one('api', ['web'])}${one('mail')}`);
  const circle = await api.call('POST', '/v1/services/start?dryRun=true');
  expect(circle.json).toMatchObject({ code: 'CONFLICT' });
  expect(circle.json['detail']).toContain('api → web → api need each other');
  expect((await api.call('POST', '/v1/services/mail/start?dryRun=true')).status).toBe(200);
  await apply(shop);
});

test('a refused start asks for one plan, which puts the service elsewhere or nowhere; told again, for none', async () => {
  const runs = createServiceRunStore(api.db);
  const reports = createMachineReportStore(api.db);
  const { requestId } = await runs.request({ ownerId: api.ownerId, action: 'start', serviceIds: ['mail'] });
  const spec = (await runs.specOf('mail'))!;
  const key = { serviceId: 'mail', requestId };
  const reason = 'command not trusted on small';
  await sql`update services set machine_id = 'small' where id = 'mail'`.execute(api.db);
  await sql`update service_runs set machine_id = 'small', epoch = 1 where service_id = 'mail'`.execute(api.db);
  await sql`delete from plans`.execute(api.db);
  const asked = async () => (await api.db.selectFrom('plans').select('version').execute()).length;
  await reports.reportTrust('small', [{ service: 'mail', sha256: commandHash(spec) }]);
  // It trusts that by now: whoever plans would send it here again, so nothing comes of it.
  await reports.reportTrust('small', [{ service: 'mail', sha256: commandHash(spec) }], { key, spec, reason });
  expect(await asked()).toBe(0);
  await sql`update service_runs set machine_id = 'small', epoch = 1 where service_id = 'mail'`.execute(api.db);
  await reports.reportTrust('small', [], { key, spec, reason });
  expect(await asked()).toBe(1);
  const { json } = await api.call('GET', '/v1/services/mail');
  expect(json).toMatchObject({ state: 'down', reason, run: { state: 'failed', machineId: null } });
  // As the plan leaves it.
  await sql`delete from plans`.execute(api.db);
  await sql`update services set machine_id = null where id = 'mail'`.execute(api.db);
  await reports.reportTrust('small', [], { key, spec, reason });
  await reports.reportTrust('small', [], { key: { ...key, requestId: 'older' }, spec, reason: 'of before' });
  expect(await asked()).toBe(0);
  expect((await api.call('GET', '/v1/services/mail')).json['reason']).toBe(reason);
});

test('the command shows the waves; to trust a command asks on the machine, and only its own file says so', async () => {
  const trustFile = join(folder, '.soulfra/trust.yaml');
  const run = (...args: string[]) =>
    runSoulfra(args, {
      cwd: folder,
      env: {
        SOULFRA_URL: `http://127.0.0.1:${(api.app.server.address() as AddressInfo).port}`,
        SOULFRA_TOKEN: api.tokens.operator,
        NO_COLOR: '1',
      },
    });
  const dry = await run('services', 'start', 'web', '--dry-run');
  expect(dry.out.split('\n').map((line) => line.trim())).toEqual(
    expect.arrayContaining([expect.stringMatching(/^start 1 +db/), expect.stringMatching(/^start 3 +web/)]),
  );

  const unasked = await run('services', 'trust', 'db', '--folder', '/srv/shop');
  expect(unasked).toMatchObject({ code: 2 });
  expect(unasked.out).toContain('"python3" "db.py" "a b"');
  expect(unasked.err).toContain('Nobody can answer here');
  expect(existsSync(trustFile)).toBe(false);
  const agreed = await run('--yes', 'services', 'trust', 'db', '--folder', '/srv/shop', '--env', 'DB_KEY');
  expect(agreed.code).toBe(0);
  expect(statSync(trustFile).mode & 0o777).toBe(0o600);
  expect(readFileSync(trustFile, 'utf8')).toContain('folder: /srv/shop');
  await apply(shop.replace('db.py', 'stolen.py'));
  expect((await run('--yes', 'services', 'trust', 'db')).out).toContain(
    'it is another command than was agreed to before',
  );
});
