import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Check } from '../../domain/doctor.ts';
import { type Box, openBox, usualGpu } from '../support/box.ts';
import { lacks } from '../support/not-run.ts';
import { plantedFaults } from '../support/planted-faults.ts';

let box: Box;
let stopped = false;

beforeAll(async () => {
  box = await openBox();
}, 120_000);
afterAll(async () => {
  if (!stopped) await box?.stop();
  box?.remove();
});

const amiss = (checks: readonly Check[]) => checks.filter(({ state }) => state === 'warn' || state === 'fail');

test('names nothing on a sound box', async () => {
  const { ended, checks, summary } = await box.doctor();
  expect(amiss(checks)).toEqual([]);
  expect({ code: ended.code, err: ended.err }).toEqual({ code: 0, err: '' });
  const skipped = checks.filter(({ state }) => state === 'skipped').map(({ id }) => id);
  expect(skipped).toEqual(['backups', 'certificates']);
  expect(summary.ok).toBe(checks.length - skipped.length);
  const looked = checks.map(({ id }) => id);
  for (const id of ['postgres', 'redis', 'temporal', 'api', 'gpu', 'vram', 'models', 'machine', 'clock', 'disk']) {
    expect(looked).toContain(id);
  }
});

for (const fault of plantedFaults) {
  const need = { test: `doctor: ${fault.name}`, needs: 'root', command: 'sudo npm test' };
  test.skipIf(fault.possible !== undefined && lacks(need, fault.possible()))(`names it: ${fault.name}`, async () => {
    await fault.plant(box);
    let seen: Awaited<ReturnType<Box['doctor']>>;
    try {
      seen = await box.doctor(fault.env);
    } finally {
      await fault.heal(box);
    }
    const named = seen.checks.find(({ id, machine }) => id === fault.check && machine === (fault.machine ?? null));
    expect(named).toMatchObject({ state: fault.state });
    expect(named!.detail).toMatch(fault.detail);
    expect(named!.mend).toMatch(fault.mend);
    expect(seen.ended.code).toBe(seen.summary.fail > 0 ? 1 : 0);
  });
}

test('what the owner of a card holds is no fault where the machine yields it', async () => {
  const fleet = box.readFleetFile();
  box.setGpu({ totalMiB: 24_564, usedMiB: 19_500 });
  const vram = async () => (await box.doctor()).checks.find(({ id, machine }) => id === 'vram' && machine === 'box');
  expect(await vram()).toMatchObject({ state: 'warn' });
  box.writeFleetFile(fleet.replace('    roles:', '    yield: { foreignVramGiB: 4 }\n    roles:'));
  expect(await vram()).toMatchObject({
    state: 'ok',
    detail: expect.stringMatching(
      /^19\.0 of 24 GiB in use; it yields to its owner: other programs hold 1\d\.\d GiB of its VRAM, over 4$/,
    ),
  });
  box.writeFleetFile(fleet);
  box.setGpu(usualGpu);
});

test('names nothing once all is mended', async () => {
  expect(amiss((await box.doctor()).checks)).toEqual([]);
});

test('works with everything down, and still looks at what this host has', async () => {
  await box.stop();
  stopped = true;
  const { ended, checks } = await box.doctor();
  expect(ended.code).toBe(1);
  const states = Object.fromEntries(checks.map(({ id, state }) => [id, state]));
  expect(states).toMatchObject({
    postgres: 'fail',
    temporal: 'fail',
    api: 'fail',
    redis: 'warn',
    model_server: 'fail',
    gpu: 'ok',
    secrets: 'ok',
    fleet_file: 'ok',
  });
  for (const check of amiss(checks)) expect(check.mend).toMatch(/\S/);
});
