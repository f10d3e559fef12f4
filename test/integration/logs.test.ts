import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parseFleet } from '../../config/fleet-file.ts';
import { fleetSchema } from '../../domain/fleet.ts';
import { type LogLine, logStreamKey, parseLogLine } from '../../domain/log-lines.ts';
import { openLogFiles } from '../../observability/log-files.ts';
import { shipLogs } from '../../observability/log-shipper.ts';
import { runSoulfra } from '../support/command.ts';
import { createTestScope, type TestScope } from '../support/isolation.ts';
import { type Lab, openLab, until } from '../support/lab.ts';
import { everyAgentId, plainMemories } from '../support/memories.ts';
import { type ModelServer, startModelServer } from '../support/model-server.ts';
import { smallFleet } from '../support/small-fleet.ts';

let scope: TestScope;
let lab: Lab;
let folder: string;
let model: ModelServer;
let api: Awaited<ReturnType<Lab['startApi']>>;
let failed: { id: string; agentId: string; workflowId: string };

beforeAll(async () => {
  scope = await createTestScope();
  folder = mkdtempSync(join(tmpdir(), 'soulfra-logs-'));
  process.env['SOULFRA_LOG_FOLDER'] = join(folder, 'home', 'logs');
  model = await startModelServer({ slots: 4, tokensPerSecond: 2_000, models: ['llama8b_q4'] });
  const parsed = parseFleet(smallFleet);
  if (!('fleet' in parsed)) throw new Error('the small fleet does not parse');
  const { url } = model;
  lab = await openLab({ ...scope }, { logs: folder, workerLogLevel: 'debug' });
  await lab.apply(
    fleetSchema.parse({
      ...parsed.fleet,
      machines: parsed.fleet.machines.map((machine) => ({
        ...machine,
        modelServer: { kind: 'openai', url, sequences: 4 },
      })),
      metrics: { enabled: false },
    }),
  );
  await lab.remember(plainMemories(await everyAgentId(lab.db), 12));
  api = await lab.startApi(await freePort());
  lab.startWorker('big');
  lab.startWorker('small');
  await lab.settled(['big', 'small'], 90_000);
  // One run fails, and says so in its activity and its workflow.
  await model.setFault({ kind: 'status', status: 400, message: 'not today: password=planted-4711', times: 1 });
  await (await lab.sweep('logs')).result();
  failed = await lab.db
    .selectFrom('runs')
    .select(['id', 'agentId', 'workflowId'])
    .where('state', '=', 'failed')
    .executeTakeFirstOrThrow();
}, 180_000);

afterAll(async () => {
  delete process.env['SOULFRA_LOG_FOLDER'];
  await lab.close();
  await model.close();
  await scope.close();
  rmSync(folder, { recursive: true, force: true });
});

const logs = () => join(folder, 'home', 'logs');
const textOf = (source: string) =>
  readFileSync(join(logs(), readdirSync(logs()).find((name) => name.startsWith(`${source}.`))!), 'utf8');
const linesOf = (source: string) =>
  textOf(source)
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => parseLogLine(line)!);

async function asked(
  query: string,
): Promise<
  Array<{ id: string; part: string; source: string; time: string; machineId: string; fields: Record<string, unknown> }>
> {
  const response = await fetch(`${api.url}/v1/logs?limit=200&${query}`, {
    headers: { authorization: `Bearer ${api.token}` },
  });
  expect(response.status).toBe(200);
  return ((await response.json()) as { items: [] }).items;
}

test('API, worker, activities, workflows and Core write lines of one form, with the same names for the same things', async () => {
  const ofAll = () => [...linesOf('api'), ...linesOf('worker-big'), ...linesOf('worker-small')];
  const of = (part: string) => ofAll().filter((line) => line.part === part && line.workflowId === failed.workflowId);
  // What a workflow logs is written a moment after Temporal has been told of it.
  await until('activity and workflow have spoken', async () => of('activity').length > 0 && of('workflow').length > 0);
  const lines = ofAll();
  expect(lines).not.toContain(undefined);
  expect(new Set(lines.map(({ part }) => part))).toEqual(new Set(['api', 'worker', 'activity', 'workflow', 'core']));
  for (const line of lines.filter(({ part }) => part !== 'api')) expect(['big', 'small']).toContain(line.machineId);
  for (const line of [...of('activity'), ...of('workflow')])
    expect(line.runId ?? line['temporalRunId']).toMatch(/^(run_)?[0-9a-f-]{36}$/);
});

test('no password is in any line: of the addresses the processes are given, nor of what a server answered', async () => {
  const text = ['api', 'worker-big', 'worker-small'].map(textOf).join('');
  const { password } = new URL(scope.databaseUrl);
  expect(password).not.toBe('');
  expect(text).not.toContain(password);
  expect(text).toContain('not today: password=[redacted]');
  expect(text).not.toContain('planted-4711');
});

test('the API answers the lines of all machines by run, agent and machine, in the order in which they came', async () => {
  await until('the lines have arrived', async () => (await asked(`run=${failed.id}`)).length > 1);
  const ofRun = await asked(`run=${failed.id}`);
  expect(ofRun.map(({ id }) => id)).toEqual(
    ofRun
      .map(({ id }) => id)
      .sort(
        (a, b) =>
          Number(a.split('-')[0]) - Number(b.split('-')[0]) || Number(a.split('-')[1]) - Number(b.split('-')[1]),
      ),
  );
  for (const { fields } of ofRun)
    expect(fields['workflowId'] ?? fields['runId']).toSatisfy((id) =>
      [failed.workflowId, failed.id].includes(id as string),
    );
  expect((await asked(`agent=${failed.agentId}`)).length).toBeGreaterThanOrEqual(ofRun.length);
  for (const machine of ['big', 'small']) {
    const lines = await asked(`machine=${machine}`);
    expect(new Set(lines.map(({ source }) => source))).toEqual(new Set([`worker-${machine}`]));
  }
  expect(await asked(`since=${encodeURIComponent(new Date(Date.now() + 60_000).toISOString())}`)).toEqual([]);
  const reader = await fetch(`${api.url}/v1/logs`);
  expect(reader.status).toBe(401);
});

test('soulfra logs reads this host’s files and, through the API, the others, each line once and in order of time', async () => {
  // This host is that of the big machine: the file of the other is elsewhere.
  const home = join(folder, 'other-home');
  mkdirSync(join(home, 'logs'), { recursive: true });
  for (const name of readdirSync(logs()).filter((each) => !each.startsWith('worker-small')))
    copyFileSync(join(logs(), name), join(home, 'logs', name));
  writeFileSync(join(home, 'ports.json'), JSON.stringify({ api: Number(new URL(api.url).port) }));
  writeFileSync(join(home, 'operator.token'), api.token);
  const every = async (...args: string[]) => {
    const { code, out, err } = await runSoulfra(['logs', '--json', '-n', '100000', ...args], {
      cwd: folder,
      env: { SOULFRA_HOME: home },
    });
    expect(err).toBe('');
    expect(code).toBe(0);
    return out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as LogLine);
  };
  const lines = await every();
  expect(new Set(lines.map(({ machineId }) => machineId))).toEqual(new Set(['big', 'small', undefined]));
  expect(lines.map(({ time }) => time)).toEqual(lines.map(({ time }) => time).sort());
  const written = linesOf('worker-big').filter(({ part }) => part === 'activity');
  expect(lines.filter(({ part, machineId }) => part === 'activity' && machineId === 'big')).toHaveLength(
    written.length,
  );
  const ofRun = await every('--run', failed.id);
  expect(ofRun.length).toBeGreaterThan(1);
  for (const line of ofRun)
    expect([line.workflowId, line.runId]).toSatisfy(
      (ids) => ids.includes(failed.workflowId) || ids.includes(failed.id),
    );
});

test('with the API down soulfra logs reads the files of this host, and says so', async () => {
  // Nothing listens there; the files are as the processes left them.
  const home = join(folder, 'down-home');
  mkdirSync(join(home, 'logs'), { recursive: true });
  for (const name of readdirSync(logs())) copyFileSync(join(logs(), name), join(home, 'logs', name));
  writeFileSync(join(home, 'operator.token'), api.token);
  const read = async (ports: string | undefined, ...args: string[]) => {
    if (ports !== undefined) writeFileSync(join(home, 'ports.json'), ports);
    return runSoulfra(['logs', '--json', '-n', '100000', ...args], { cwd: folder, env: { SOULFRA_HOME: home } });
  };
  const down = JSON.stringify({ api: await freePort() });
  for (const ports of [undefined, down, '{"api":']) {
    const { code, out, err } = await read(ports);
    expect({ code, ports }).toEqual({ code: 0, ports });
    expect(err).toMatch(/^only the logs of this host: /);
    const lines = out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as LogLine);
    expect(new Set(lines.map(({ machineId }) => machineId))).toEqual(new Set(['big', 'small', undefined]));
    expect(lines.map(({ time }) => time)).toEqual(lines.map(({ time }) => time).sort());
  }
  const ofAgent = await read(down, '--agent', failed.agentId);
  expect(ofAgent.out.trim().split('\n').length).toBeGreaterThan(0);
  // An address that was named is that of another installation: its files are not here.
  const named = await runSoulfra(['logs'], {
    cwd: folder,
    env: { SOULFRA_HOME: home, SOULFRA_URL: 'http://127.0.0.1:9', SOULFRA_TOKEN: api.token },
  });
  expect({ code: named.code, out: named.out }).toEqual({ code: 3, out: '' });
});

test('lines that find no Redis are given up and counted, and nothing waits for them', async () => {
  const shipper = shipLogs({ redisUrl: scope.redisUrl, source: 'test-lost' });
  // More than may wait, before the connection stands.
  for (let i = 0; i < 2_500; i += 1)
    shipper.write(
      `${JSON.stringify({ time: new Date().toISOString(), level: 'info', part: 'test', msg: `line ${i}` })}\n`,
    );
  const redis = new Redis(scope.redisUrl);
  try {
    const shipped = async () =>
      (await redis.xrange(logStreamKey, '-', '+'))
        .filter(([, [, source]]) => source === 'test-lost')
        .map(([, fields]) => parseLogLine(fields[3]!)!);
    await until('what waited has been sent', async () => (await shipped()).length >= 2_001);
    const lines = await shipped();
    expect(lines[0]).toMatchObject({ level: 'warn', part: 'logs', lost: 500 });
    expect(lines.slice(1).map(({ msg }) => msg)).toEqual(Array.from({ length: 2_000 }, (_, i) => `line ${i + 500}`));
  } finally {
    redis.disconnect();
    await shipper.close();
  }
});

test('log files are rolled by size and the oldest are removed', async () => {
  const at = join(folder, 'rolled');
  const file = await openLogFiles(at, 'api');
  const line = `${'x'.repeat(2 ** 20 - 1)}\n`;
  for (let i = 0; i < 75; i += 1) {
    file.write(line);
    // Rolling is done between two lines.
    await new Promise((resolve) => setImmediate(resolve));
  }
  await until('the oldest are removed', async () => readdirSync(at).length <= 5);
  const sizes = readdirSync(at).map((name) => statSync(join(at, name)).size);
  expect(Math.max(...sizes)).toBeLessThan(13 * 2 ** 20);
  expect(sizes.length).toBeGreaterThan(1);
});

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
