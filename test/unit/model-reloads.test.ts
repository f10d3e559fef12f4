import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { pino } from 'pino';
import { expect, test } from 'vitest';
import type { FleetView } from '../../activities/fleet-view.ts';
import { modelVariants } from '../../domain/fleet.ts';
import type { RankedModel } from '../../domain/plan.ts';
import { createInferencePool, type ModelLoader } from '../../workers/inference-pool.ts';
import { createMachineModels } from '../../workers/model-calls.ts';
import { testFleet } from '../support/fleets.ts';

const never = new AbortController().signal;
const model = { modelId: 'light_q4', queue: 'inference_small_light_q4', vramGiB: 1 } as RankedModel;

/** No load comes to its end, so nothing is polled. */
function poolOf(loader: ModelLoader) {
  return createInferencePool({
    loader,
    gate: { open: () => undefined },
    log: pino({ level: 'silent' }),
    onChange: () => undefined,
  } as unknown as Parameters<typeof createInferencePool>[0]);
}

test('a load that is broken off as the cards are taken was not tried, whatever came of the one before', async () => {
  const loading = Promise.withResolvers<void>();
  let fails = true;
  const pool = poolOf({
    async load(_id, signal) {
      if (fails) throw new Error('no answer');
      loading.resolve();
      await new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)));
    },
    unload: async () => true,
  });
  await pool.apply(1, [model], never);
  expect(pool.missing()).toEqual([model.modelId]);
  expect(await pool.reload(model.modelId, never)).toBe(true);
  expect(pool.missing()).toEqual([model.modelId]);
  fails = false;
  const reloaded = pool.reload(model.modelId, never);
  await loading.promise;
  await pool.giveUp('the owner plays', never);
  expect(await reloaded).toBe(false);
  expect(pool.missing()).toEqual([]);
});

test('what a server does not list may be in memory: it does not count as unloaded', async () => {
  const server = createServer((req, res) => {
    req.resume();
    res.writeHead(req.url === '/v1/models' ? 503 : 200, { 'content-type': 'application/json' }).end('{}');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
  const fleet = testFleet({ heavy: 0, light: 1, urls: { mainpc: url } });
  const machine = fleet.machines.find(({ id }) => id === 'mainpc')!;
  Object.assign(machine.modelServer!, { kind: 'ollama' });
  const variants = new Map(modelVariants(fleet).map((variant) => [variant.id, variant]));
  const models = createMachineModels(() => ({ fleet, variants }) as unknown as FleetView, 'mainpc', undefined);
  await expect(models.unload(model.modelId, never)).rejects.toThrow('model server answered 503');
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
});
