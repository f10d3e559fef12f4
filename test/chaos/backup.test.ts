import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type BackupStage, openBackupStage } from '../support/backup-stage.ts';
import { testFleet } from '../support/fleets.ts';
import { type Lab, openLab, until } from '../support/lab.ts';
import { everyAgentId, plainMemories } from '../support/memories.ts';
import { type ModelServer, startModelServer } from '../support/model-server.ts';
import type { TestServers } from '../support/servers.ts';

/**
 * A fleet is backed up by its own workflow while agents reflect, goes on, and is destroyed: servers and workers by SIGKILL, the
 * data folder deleted. The restored one has every row that was there before the backup began, and ends what was in hand.
 */
const agents = 24;
const secondsPerReflection = 2;

let stage: BackupStage;
let lab: Lab | undefined;
let logs: string;
const modelServers: ModelServer[] = [];

beforeAll(async () => {
  logs = mkdtempSync(join(tmpdir(), 'soulfra-backup-logs-'));
  stage = await openBackupStage();
  const double = { tokensPerSecond: 100, replies: () => ({ tokens: 100 * secondsPerReflection }) };
  modelServers.push(
    await startModelServer({ slots: 4, models: ['heavy_q4', 'light_q4'], ...double }),
    await startModelServer({ slots: 3, models: ['light_q4'], ...double }),
  );
});
afterAll(async () => {
  await lab?.close();
  await stage?.close();
  await Promise.all(modelServers.map((server) => server.close()));
  rmSync(logs, { recursive: true, force: true });
});

async function up(
  fill: (opened: Lab) => Promise<void> = async () => undefined,
): Promise<{ lab: Lab; servers: TestServers }> {
  const { servers, databaseUrl } = await stage.start();
  const opened = await openLab(
    { databaseUrl, redisUrl: servers.redisUrl(0), temporalAddress: servers.temporalAddress, namespace: 'default' },
    { logs, workerLogLevel: 'warn' },
  );
  lab = opened;
  await fill(opened);
  for (const machineId of ['mainpc', 'pc2']) opened.startWorker(machineId, { ...stage.env, SOULFRA_EMBEDDED: 'yes' });
  await opened.settled(['mainpc', 'pc2'], 120_000);
  return { lab: opened, servers };
}

const reflections = async ({ db }: Lab) =>
  (await sql<{ id: string }>`select id from reflections order by id`.execute(db)).rows.map(({ id }) => id);
const open = async ({ db }: Lab) =>
  (await sql<{ n: number }>`select count(*)::int as n from runs where ended_at is null`.execute(db)).rows[0]!.n;

test('backed up while agents reflect, destroyed, restored: nothing from before is lost, and what was in hand ends', async () => {
  const first = await up(bear);
  const period = 'call-backed-up';
  await first.lab.sweep('backed-up');
  await until('some have reflected', async () => (await reflections(first.lab)).length >= 4, 60_000);
  const before = await reflections(first.lab);
  const inHand = await open(first.lab);
  expect(inHand).toBeGreaterThan(0);
  const backup = await first.lab.client.workflow.execute('backUp', {
    workflowId: 'back-up-now',
    taskQueue: 'coordination',
    args: [{}],
  });
  expect(backup).toMatchObject({ made: { rows: expect.any(Number) } });
  const atBackup = await reflections(first.lab);
  await until('work has gone on', async () => (await reflections(first.lab)).length > atBackup.length, 60_000);
  // The end of the first fleet.
  for (const part of ['temporal', 'postgres', 'redis'] as const) await first.servers.kill(part);
  await first.lab.close();
  lab = undefined;
  await stage.stop();
  rmSync(stage.home, { recursive: true });

  const part = await stage.run(['restore', 'newest']);
  expect(part.failed).toBeUndefined();
  expect(part.result).toMatchObject({ aside: null });

  const second = await up();
  const restored = await reflections(second.lab);
  expect(before.filter((id) => !restored.includes(id))).toEqual([]);
  await until('every run has ended', async () => (await open(second.lab)) === 0, 240_000);
  await until(
    'the sweep has ended',
    async () =>
      (await second.lab.client.workflow.getHandle(`reflect-fleet:${period}`).describe()).status.name === 'COMPLETED',
    120_000,
  );
  const { rows } = await sql<{ agentId: string; state: string; wrong: boolean }>`
    select r.agent_id, r.state, (select count(*) from reflections f where f.run_id = r.id) <> r.reflections
        or (select count(*) from step_results s where s.work_id = r.id and s.step = 'insights') <> 1 as wrong
    from runs r where r.period = ${period}`.execute(second.lab.db);
  expect(rows.filter(({ state, wrong }) => state !== 'done' || wrong)).toEqual([]);
  expect(new Set(rows.map(({ agentId }) => agentId)).size).toBe(agents);
  expect(rows).toHaveLength(agents);
  // The restored fleet can be backed up, and tries the restore by itself.
  const drilled = await second.lab.client.workflow.execute('drillRestore', {
    workflowId: 'drill-now',
    taskQueue: 'coordination',
    args: [{}],
  });
  expect(drilled).toMatchObject({ drilled: { rtoSeconds: expect.any(Number) } });
});

async function bear(opened: Lab): Promise<void> {
  const [mainpc, pc2] = modelServers as [ModelServer, ModelServer];
  const fleet = testFleet({ heavy: 4, light: agents - 8, urls: { mainpc: mainpc.url, pc2: pc2.url } });
  fleet.machines[0]!.modelServer!.sequences = 4;
  fleet.machines[1]!.modelServer!.sequences = 3;
  await opened.apply(fleet);
  await opened.remember(plainMemories(await everyAgentId(opened.db), 8));
}
