import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { workWorkflowId } from '../../domain/ids.ts';
import { type ApiFixture, createApiFixture } from '../support/api.ts';
import { until } from '../support/lab.ts';
import { lacks } from '../support/not-run.ts';
import { examples, examplesPython } from '../support/python.ts';
import { addService, openWorkStage, type WorkStage } from '../support/work.ts';

const python = await examplesPython();
const noPython = lacks(
  {
    test: 'the Python examples against real servers',
    needs: 'python3 with venv, and the packages of examples/python/requirements.txt',
    command: 'apt-get install python3 python3-venv',
  },
  python !== undefined,
);

let api: ApiFixture;
let stage: WorkStage;
let url: string;
const children = new Set<ChildProcess>();

beforeAll(async () => {
  api = await createApiFixture();
  stage = await openWorkStage(api);
  await api.app.listen({ host: '127.0.0.1', port: 0 });
  url = `http://127.0.0.1:${(api.app.server.address() as AddressInfo).port}`;
});
afterEach(() => {
  for (const child of children) child.kill('SIGKILL');
  children.clear();
});
afterAll(async () => {
  await stage?.close();
  await api?.close();
});

function start(file: string, env: Record<string, string>) {
  const child = spawn(python!, [join(examples, file)], {
    env: { PATH: process.env['PATH'], PYTHONUNBUFFERED: '1', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  children.add(child);
  const said = Promise.all([text(child.stdout), text(child.stderr)]);
  return {
    child,
    /** @returns how it ended, and what it said */
    async stopped(signal?: NodeJS.Signals) {
      if (child.exitCode === null && signal !== undefined) child.kill(signal);
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
      return { code: child.exitCode, endedBy: child.signalCode, said: await said };
    },
  };
}

/** Each wait may take as long as a test does otherwise. */
const manyWaitsMs = 180_000;

let keys = 0;
async function submit(service: string, input: unknown, more: object = {}): Promise<string> {
  const headers = { 'idempotency-key': `python-${(keys += 1)}` };
  const { status, json } = await api.call('POST', '/v1/work', { body: { service, input, ...more }, headers });
  expect(status).toBe(202);
  return json['id'] as string;
}
async function ended(id: string) {
  const show = async () => (await api.call('GET', `/v1/work/${id}`)).json;
  await until(`${id} has ended`, async () => (await show())['endedAt'] !== null, 60_000);
  return show();
}

test('each example is 40 lines at most', () => {
  const files = readdirSync(examples).filter((file) => file.endsWith('.py'));
  expect(files.toSorted()).toEqual(['gateway.py', 'native.py', 'work.py']);
  for (const file of files)
    expect(readFileSync(join(examples, file), 'utf8').trimEnd().split('\n').length, file).toBeLessThanOrEqual(40);
});

test.skipIf(noPython)(
  'work.py claims, completes and fails work, and ends by SIGTERM with nothing in hand',
  async () => {
    const token = await addService(api.db, api.ownerId, 'counter');
    const env = { SOULFRA_URL: url, SOULFRA_TOKEN: token, SOULFRA_QUEUE: 'external_counter' };
    const counter = start('work.py', env);
    const id = await submit('counter', { text: 'the boats came home' });
    expect(await ended(id)).toMatchObject({ state: 'completed', result: { words: 4 } });
    const bad = await submit('counter', { picture: 1 });
    expect(await ended(bad)).toMatchObject({ state: 'failed', reason: "KeyError('text')", attempt: 1 });
    const { code, said } = await counter.stopped('SIGTERM');
    expect({ code, said }).toEqual({ code: 0, said: ['', ''] });
    // What was killed with work in hand has it done by the next one.
    const held = await submit('counter', { text: 'one two' }, { leaseSeconds: 5 });
    const claim = await api.call('POST', '/v1/work/claim', {
      token,
      body: { queue: env.SOULFRA_QUEUE, waitSeconds: 30 },
    });
    expect(claim.json['workId']).toBe(held);
    start('work.py', env);
    expect(await ended(held)).toMatchObject({ state: 'completed', result: { words: 2 }, attempt: 2 });
  },
  manyWaitsMs,
);

test.skipIf(noPython)(
  'native.py does work as a Temporal worker, and ends by SIGTERM',
  async () => {
    await addService(api.db, api.ownerId, 'native-counter', 'native');
    const { temporalAddress, namespace } = api.scope;
    const native = start('native.py', {
      TEMPORAL_ADDRESS: temporalAddress,
      TEMPORAL_NAMESPACE: namespace,
      SOULFRA_QUEUE: 'external_native_counter',
    });
    const id = await submit('native-counter', { text: 'the boats came home again' });
    expect(await ended(id)).toMatchObject({ state: 'completed', result: { words: 5 }, joins: 'native' });
    const bad = await submit('native-counter', { picture: 1 });
    expect(await ended(bad)).toMatchObject({ state: 'failed', reason: 'the input has no text' });
    await stage.client.workflow.getHandle(workWorkflowId(bad)).result();
    expect(await native.stopped('SIGTERM')).toMatchObject({ code: 0, endedBy: null });
  },
  manyWaitsMs,
);
