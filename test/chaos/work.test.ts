import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { newId } from '../../stores/ids.ts';
import { submitWork } from '../../stores/work.ts';
import { testFleet } from '../support/fleets.ts';
import { type Lab, type LabProcess, labOwner, openLab, openLabServers, until } from '../support/lab.ts';
import { addService } from '../support/work.ts';
import { freePorts } from '../../bench/support/fleet-bench.ts';

/** Twenty claimers, the API and the worker, all real processes, die by SIGKILL while work is done: each piece is done once. */
const claimers = 20;
const pieces = 120;
const leaseSeconds = 5;

let base: Awaited<ReturnType<typeof openLabServers>>;
let lab: Lab;
let logs: string;

beforeAll(async () => {
  logs = mkdtempSync(join(tmpdir(), 'soulfra-work-'));
  base = await openLabServers();
  lab = await openLab(base.addresses, { logs, workerLogLevel: 'warn' });
  await lab.apply(testFleet({ heavy: 0, light: 1, limits: { requestsPerMinute: 1_000_000 } }));
});
afterAll(async () => {
  await lab?.close();
  await base?.close();
  rmSync(logs, { recursive: true, force: true });
});

test('of work that many claim while everything dies, each piece is completed once, by the row and by who was told so', {
  timeout: 400_000,
}, async () => {
  const [port] = (await freePorts(1)) as [number];
  let worker = lab.startWorker('pc2');
  let api = await lab.startApi(port);
  const token = await addService(lab.db, labOwner, 'crowd');
  const told = join(logs, 'told.jsonl');
  const script = new URL('../support/claimer-process.ts', import.meta.url).pathname;
  const start = (i: number) => lab.startProcess(`claimer-${i}`, [script, api.url, token, 'external_crowd', told], {});
  const crowd: LabProcess[] = Array.from({ length: claimers }, (_, i) => start(i));
  const ids = await lab.db.transaction().execute(async (tx) => {
    const made: string[] = [];
    for (let i = 0; i < pieces; i += 1) {
      const id = newId('work');
      const more = { priority: 3, attempts: 50, leaseSeconds, deadline: undefined, deadlineSeconds: 3600 };
      const work = { id, ownerId: labOwner, serviceId: 'crowd', submittedBy: null, input: { i }, ...more };
      await submitWork(tx, { ...work, requestHash: Buffer.from(id) });
      made.push(id);
    }
    return made;
  });
  const done = async () =>
    (await sql<{ n: number }>`select count(*) as n from works where state = 'completed'`.execute(lab.db)).rows[0]!.n;
  await until('some are done', async () => (await done()) > 10, 120_000);

  // Claimers die where they stand; the API and the worker once each, in the thick of it.
  for (let round = 0; round < 10; round += 1) {
    const i = round * 2;
    await Promise.all([crowd[i]!.end('SIGKILL'), crowd[i + 1]!.end('SIGKILL')]);
    if (round === 3) {
      await api.process.end('SIGKILL');
      api = await lab.startApi(port);
    }
    if (round === 6) {
      await worker.end('SIGKILL');
      worker = lab.startWorker('pc2');
    }
    crowd[i] = start(i);
    crowd[i + 1] = start(i + 1);
    await pause(300);
  }
  await until('every piece is done', async () => (await done()) === pieces, 180_000);

  const { rows: works } = await sql<{ id: string; attempt: number; result: { attempt: number } }>`
    select id, attempt, result from works`.execute(lab.db);
  expect(works.map(({ id }) => id).toSorted()).toEqual(ids.toSorted());
  const { rows: attempts } = await sql<{ workId: string; attempt: number; outcome: string }>`
    select work_id as "workId", attempt, outcome from work_attempts`.execute(lab.db);
  const taken = readFileSync(told, 'utf8')
    .trim()
    .split('\n')
    .map((text) => JSON.parse(text) as { workId: string; attempt: number; status: number; code: string | null });
  for (const { id, attempt, result } of works) {
    const completed = attempts.filter(({ workId, outcome }) => workId === id && outcome === 'completed');
    // The last claim completed it, and the result is its own.
    expect(
      completed.map((one) => one.attempt),
      id,
    ).toEqual([attempt]);
    expect(result.attempt, id).toBe(attempt);
    const accepted = taken.filter(({ workId, status }) => workId === id && status === 200);
    expect(
      accepted.filter((one) => one.attempt !== attempt),
      id,
    ).toEqual([]);
  }
  for (const { status, code } of taken) if (status !== 200) expect([status, code]).toEqual([409, 'WORK_LEASE_LOST']);
  // The kills were in the thick of it, or nothing was shown.
  expect(attempts.filter(({ outcome }) => outcome === 'lost').length).toBeGreaterThan(0);
});
