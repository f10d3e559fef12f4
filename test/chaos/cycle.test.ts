import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { type WorkflowHandle, WorkflowFailedError } from '@temporalio/client';
import { Redis } from 'ioredis';
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { testFleet } from '../support/fleets.ts';
import { type Lab, type LabProcess, openLab, openLabServers, until } from '../support/lab.ts';
import { everyAgentId, plainMemories } from '../support/memories.ts';
import { type ModelServer, startModelServer } from '../support/model-server.ts';

/**
 * Servers and workers that die by SIGKILL while a cycle runs, each with the shipped worker processes: every agent
 * reflects, once. With SOULFRA_CHAOS_LONG=1 they stay away longer than leases and caches live.
 */
const long = process.env['SOULFRA_CHAOS_LONG'] === '1';
const away = long
  ? { redis: 60, postgres: 30, temporal: 30, worker: 40 }
  : { redis: 4, postgres: 4, temporal: 4, worker: 4 };
const secondsPerReflection = 3;
const agents = 48;

let base: Awaited<ReturnType<typeof openLabServers>>;
let lab: Lab;
let logs: string;
const modelServers: ModelServer[] = [];
const workers = new Map<string, LabProcess>();
/** While true a worker that has ended is started again, as `npm start` does. */
let watching = true;
let watched: Promise<void>;

beforeAll(async () => {
  logs = mkdtempSync(join(tmpdir(), 'soulfra-chaos-'));
  base = await openLabServers();
  lab = await openLab(base.addresses, { logs, workerLogLevel: 'warn' });
  const double = { tokensPerSecond: 100, replies: () => ({ tokens: 100 * secondsPerReflection }) };
  const [mainpc, pc2] = await Promise.all([
    startModelServer({ slots: 6, models: ['heavy_q4', 'light_q4'], ...double }),
    startModelServer({ slots: 4, models: ['light_q4'], ...double }),
  ]);
  modelServers.push(mainpc, pc2);
  const fleet = testFleet({ heavy: 6, light: agents - 12, urls: { mainpc: mainpc.url, pc2: pc2.url } });
  fleet.machines[0]!.modelServer!.sequences = 6;
  fleet.machines[1]!.modelServer!.sequences = 4;
  await lab.apply(fleet);
  const agentIds = await everyAgentId(lab.db);
  expect(agentIds.length).toBe(agents);
  await lab.remember(plainMemories(agentIds, 8));
  for (const machineId of ['mainpc', 'pc2']) workers.set(machineId, lab.startWorker(machineId));
  watched = keepWorkers();
  await lab.settled(['mainpc', 'pc2']);
});
afterAll(async () => {
  watching = false;
  await watched;
  await lab?.close();
  await base?.close();
  await Promise.all(modelServers.map((server) => server.close()));
  rmSync(logs, { recursive: true, force: true });
});

const held = new Set<string>();
async function keepWorkers(): Promise<void> {
  while (watching) {
    for (const [machineId, worker] of workers)
      if (!worker.alive && !held.has(machineId)) workers.set(machineId, lab.startWorker(machineId));
    await pause(500);
  }
}

/** Starts a cycle, lets the fault happen in the middle of it, and waits until every run has ended. */
async function cycle(name: string, fault: (open: () => Promise<number>) => Promise<void>): Promise<string> {
  await lab.settled(['mainpc', 'pc2'], 120_000);
  const period = `call-${name}`;
  const handle = await lab.sweep(name);
  await until('a quarter is done', async () => (await count(period, sql`state = 'done'`)) >= agents / 4);
  const open = () => count(period, sql`ended_at is null`);
  expect(await open()).toBeGreaterThan(0);
  await fault(open);
  await ended(handle);
  await until('every run has ended', async () => (await open()) === 0, 180_000);
  return period;
}

async function count(period: string, where: ReturnType<typeof sql>): Promise<number> {
  const { rows } = await sql<{ count: number }>`
    select count(*) as count from runs where period = ${period} and ${where}`.execute(lab.db);
  return rows[0]!.count;
}

/** The client's long poll breaks with the server it asks; what the workflow says of itself is not repeated. */
async function ended(handle: WorkflowHandle): Promise<void> {
  for (;;) {
    try {
      await handle.result();
      return;
    } catch (err) {
      if (err instanceof WorkflowFailedError) throw err;
      await pause(500);
    }
  }
}

async function lostAndTwice(period: string) {
  const { rows } = await sql<{ agentId: string; state: string; reason: string; wrong: boolean }>`
    select r.agent_id, r.state, coalesce(r.reason, '') as reason,
      (select count(*) from step_results s where s.work_id = r.id and s.step = 'insights') <> 1
        or (select count(*) from reflections f where f.run_id = r.id) <> r.reflections as wrong
    from runs r where r.period = ${period}`.execute(lab.db);
  const done = rows.filter(({ state }) => state === 'done');
  const reflected = new Set(done.map(({ agentId }) => agentId));
  return {
    lost: agents - reflected.size,
    twice: done.length - reflected.size + done.filter(({ wrong }) => wrong).length,
    ends: rows
      .filter(({ state }) => state !== 'done')
      .map(({ agentId, state, reason }) => `${agentId} ${state}: ${reason}`),
  };
}
const nothing = { lost: 0, twice: 0, ends: [] };

async function loseAndBringBack(part: 'redis' | 'postgres' | 'temporal'): Promise<void> {
  await base.servers.kill(part);
  await pause(away[part] * 1000);
  await base.servers.start(part);
}

test('Redis forgets everything, then dies and comes back', async () => {
  const period = await cycle('redis', async () => {
    const redis = new Redis(base.addresses.redisUrl);
    expect(await redis.flushall()).toBe('OK');
    await redis.quit();
    await loseAndBringBack('redis');
  });
  expect(await lostAndTwice(period)).toEqual(nothing);
});

test('Postgres dies and comes back', async () => {
  const period = await cycle('postgres', () => loseAndBringBack('postgres'));
  expect(await lostAndTwice(period)).toEqual(nothing);
});

test('Temporal dies and comes back', async () => {
  const period = await cycle('temporal', () => loseAndBringBack('temporal'));
  expect(await lostAndTwice(period)).toEqual(nothing);
});

test('every worker dies in turn and comes back', async () => {
  const period = await cycle('workers', async (open) => {
    for (const machineId of ['pc2', 'mainpc']) {
      expect(await open()).toBeGreaterThan(0);
      held.add(machineId);
      await workers.get(machineId)!.end('SIGKILL');
      await pause(away.worker * 1000);
      held.delete(machineId);
      await until(`${machineId} is started again`, () => Promise.resolve(workers.get(machineId)!.alive));
    }
  });
  expect(await lostAndTwice(period)).toEqual(nothing);
});
