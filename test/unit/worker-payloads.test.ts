import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { DataConverter } from '@temporalio/common';
import { type NativeConnection, Worker, type WorkerOptions } from '@temporalio/worker';
import { pino } from 'pino';
import { afterEach, expect, test, vi } from 'vitest';
import { repositoryRoot } from '../../deploy/embedded/own-parts.ts';
import type { RankedModel } from '../../domain/plan.ts';
import type { Database } from '../../stores/database.ts';
import { createChannelWorkers } from '../../workers/channels.ts';
import { createBackupWorker, createCoordinationWorker, createMachineQueueWorker } from '../../workers/coordination.ts';
import { createDropChannelWorkers } from '../../workers/drop-channels.ts';
import { createInferencePool } from '../../workers/inference-pool.ts';
import { serveWorkQueues } from '../../workers/work-queues.ts';

/**
 * With deploy.payloadCodec a worker that is made without the converter of its process can read nothing that it is given: each piece of
 * work fails, and nothing else says why. So every place that makes one is here.
 */

afterEach(() => vi.restoreAllMocks());

const dataConverter: DataConverter = { payloadCodecs: [] };
const shared = { connection: {} as NativeConnection, namespace: 'default', dataConverter };
const queue = { ...shared, identity: 'a/worker/1', activities: {} };
const weight = { pollers: 1, workflowSlots: 1, activitySlots: 1 };
const db = {} as Database;
const fleet = () => Promise.reject(new Error('not asked'));
const log = pino({ level: 'silent' });

/** Options of every worker that is asked for; none is made. */
async function askedFor(make: (asked: readonly unknown[]) => unknown): Promise<WorkerOptions[]> {
  const asked: WorkerOptions[] = [];
  vi.spyOn(Worker, 'create').mockImplementation((options) => {
    asked.push(options);
    return Promise.reject(new Error('none is made'));
  });
  await Promise.resolve(make(asked)).catch((err: Error) => expect(err.message).toBe('none is made'));
  expect(asked).not.toEqual([]);
  return asked;
}

const makers: Record<string, (asked: readonly unknown[]) => unknown> = {
  coordination: () => createCoordinationWorker({ ...queue, bundlePath: 'none', weight }),
  machine: () => createMachineQueueWorker({ ...queue, machineId: 'a' }),
  backup: () => createBackupWorker(queue),
  channels: () =>
    createChannelWorkers(shared, () => 'a', {
      db,
      fleet,
      settings: { mailFrom: 'fleet@example.com', publicUrl: 'https://example.com' },
    }),
  dropChannels: () => createDropChannelWorkers(shared, () => 'a', { db, fleet, webhookKey: undefined }),
  models: () => {
    const model = { modelId: 'light_q4', queue: 'inference_small_light_q4', vramGiB: 1 } as RankedModel;
    const pool = createInferencePool({
      ...queue,
      loader: { load: async () => undefined, unload: async () => true },
      gate: { open: () => undefined, supplierFor: () => undefined },
      log,
      heartbeatTimeout: 1_000,
      callTimeout: 1_000,
      onChange: () => undefined,
    } as unknown as Parameters<typeof createInferencePool>[0]);
    return pool.apply(1, [model], new AbortController().signal);
  },
  workQueues: async (asked) => {
    const serving = serveWorkQueues({
      shared,
      identityOf: () => 'a',
      works: { openQueues: async () => ['work_a'] } as unknown as Parameters<typeof serveWorkQueues>[0]['works'],
      listen: (() => ({ close: async () => undefined })) as unknown as Parameters<typeof serveWorkQueues>[0]['listen'],
      pollersOf: async () => 0,
      onFailure: () => undefined,
      log,
    });
    await vi.waitFor(() => expect(asked).not.toEqual([]));
    await serving.stop();
  },
};

test.each(Object.keys(makers))('workers of %s read what the process encodes', async (name) => {
  const asked = await askedFor(makers[name]!);
  for (const options of asked) expect(options.dataConverter, options.taskQueue).toBe(dataConverter);
});

const sources = ['activities', 'api', 'cli', 'deploy', 'integrations', 'stores', 'workers']
  .flatMap((folder) =>
    readdirSync(join(repositoryRoot, folder), { recursive: true, encoding: 'utf8' }).map((name) => join(folder, name)),
  )
  .filter((path) => path.endsWith('.ts'))
  .map((path) => ({ path, text: readFileSync(join(repositoryRoot, path), 'utf8') }));
const holding = (pattern: RegExp) =>
  sources.flatMap(({ path, text }) => Array.from(text.matchAll(pattern), () => path)).toSorted();

test('no other place makes a worker, and who connects for one, or for a client, makes the converter', () => {
  expect(holding(/\bWorker\.create\(/g)).toEqual([
    'workers/coordination.ts',
    'workers/coordination.ts',
    'workers/coordination.ts',
    'workers/coordination.ts',
    'workers/drop-channels.ts',
    'workers/inference-pool.ts',
    'workers/work-queues.ts',
  ]);
  const connecting = holding(/\bNativeConnection\.connect\(|\bnew Client\(\{/g);
  expect(connecting.length).toBeGreaterThan(3);
  const converting = new Set(holding(/\bdataConverter(: dataConverterOf\(|,)/g));
  expect(connecting.filter((path) => !converting.has(path))).toEqual([]);
});
