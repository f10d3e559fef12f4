import { Redis } from 'ioredis';
import pg from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { presenceKey } from '../../domain/presence.ts';
import { createLogger } from '../../observability/logger.ts';
import { createMachineStore } from '../../stores/machines.ts';
import { keepLease } from '../../workers/lease.ts';
import { showPresence } from '../../workers/presence.ts';
import { SlotGate } from '../../workers/slot-gate.ts';
import { testFleet } from '../support/fleets.ts';
import { until } from '../support/lab.ts';
import { openStoreScope, type StoreScope } from '../support/store-scope.ts';

let store: StoreScope;
let redis: Redis;
const log = createLogger({ part: 'worker', level: 'silent' });

beforeAll(async () => {
  store = await openStoreScope();
  await store.apply(testFleet());
  redis = new Redis(store.scope.redisUrl);
});
afterAll(async () => {
  redis.disconnect();
  await store.close();
});

async function shown(machineId: string): Promise<{ running: number } | null> {
  const value = await redis.get(presenceKey(machineId));
  return value === null ? null : (JSON.parse(value) as { running: number });
}

test('a lease whose row nobody lets go of is told as a silence, and held again as soon as it can be renewed', async () => {
  const told: string[] = [];
  const lease = await keepLease({
    machines: createMachineStore(store.db),
    machineId: 'mainpc',
    identity: 'mainpc/worker/1',
    runsAs: 'simulated',
    log,
    polling: () => ({ polls: [], idle: [], planVersion: null }),
    onBeat: () => told.push('beat'),
    onLost: () => told.push('lost'),
    onSilence: () => told.push('silence'),
    onRenewed: () => told.push('renewed'),
    onHeld: () => told.push('held'),
    onFatal: (err) => {
      throw err;
    },
  });
  const holder = new pg.Client({ connectionString: store.scope.databaseUrl });
  await holder.connect();
  try {
    await lease.renewNow();
    expect(told).toEqual(['beat', 'renewed']);
    await holder.query("begin; select from machines where id = 'mainpc' for update");
    await until('the silence is told', () => Promise.resolve(told.includes('silence')), 60_000);
    expect(told).not.toContain('held');
    await holder.query('rollback');
    await until('the lease is held again', () => Promise.resolve(told.includes('held')), 60_000);
    await lease.renewNow();
    expect(told.filter((what) => what === 'silence' || what === 'held' || what === 'lost')).toEqual([
      'silence',
      'held',
    ]);
  } finally {
    await lease.stop();
    await holder.end();
  }
}, 150_000);

test('presence follows what runs without being asked, and what Redis has forgotten comes back', async () => {
  // A gate and its presence know each other, as in a worker.
  const gate: SlotGate = new SlotGate(2, { onChange: () => presence.changed() });
  const presence = showPresence({
    redis,
    machineId: 'pc2',
    log,
    read: () => ({ running: gate.inUse, sequences: 2, polls: [], idle: [] }),
  });
  try {
    await redis.ping();
    presence.beat();
    await until('it is shown', async () => (await shown('pc2'))?.running === 0);
    const release = await gate.acquire('queue', new AbortController().signal);
    await until('the call is shown', async () => (await shown('pc2'))?.running === 1);
    release();
    await until('its end is shown', async () => (await shown('pc2'))?.running === 0);
    await redis.flushdb();
    await until('it is shown again', async () => {
      presence.beat();
      return (await shown('pc2'))?.running === 0;
    });
    expect(await redis.ttl(presenceKey('pc2'))).toBeGreaterThan(0);
  } finally {
    presence.stop();
  }
}, 60_000);

test('presence that is stopped shows nothing any more', async () => {
  const presence = showPresence({
    redis,
    machineId: 'gone',
    log,
    read: () => ({ running: 0, sequences: 1, polls: [], idle: [] }),
  });
  presence.changed();
  presence.stop();
  presence.beat();
  // Commands of one connection are answered in their order: what stop() let through would stand there by now.
  await redis.ping();
  expect(await shown('gone')).toBeNull();
});
