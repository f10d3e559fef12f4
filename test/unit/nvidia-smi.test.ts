import { expect, test } from 'vitest';
import { type CommandResult, probeGpus } from '../../integrations/gpu/nvidia-smi.ts';

const answers = (result: Partial<CommandResult> | null) => async () =>
  result === null ? null : { exitCode: 0, stdout: '', stderr: '', ...result };

test('reads two unequal cards', async () => {
  const stdout = [
    '0, GPU-0a1b2c3d-0000-0000-0000-000000000001, NVIDIA GeForce RTX 4090, 570.124.06, 24564, 1203, 22874, 7, 41, 63.12',
    '1, GPU-0a1b2c3d-0000-0000-0000-000000000002, NVIDIA GeForce RTX 3060, 570.124.06, 12288, 0, 12037, 0, 35, 14.80',
    '',
  ].join('\n');
  const gpus = await probeGpus(answers({ stdout }));
  expect(gpus).toHaveLength(2);
  expect(gpus[0]).toEqual({
    index: 0,
    uuid: 'GPU-0a1b2c3d-0000-0000-0000-000000000001',
    name: 'NVIDIA GeForce RTX 4090',
    driver: '570.124.06',
    memoryTotalMiB: 24564,
    memoryUsedMiB: 1203,
    memoryFreeMiB: 22874,
    utilizationPercent: 7,
    temperatureC: 41,
    powerW: 63.12,
  });
});

test('what a card does not say is null, not zero', async () => {
  const stdout = '0, GPU-x, NVIDIA GB10, 580.95.05, [N/A], [Not Supported], N/A, [Unknown Error], 44, [N/A]\n';
  const [gpu] = await probeGpus(answers({ stdout }));
  expect(gpu).toMatchObject({ memoryTotalMiB: null, memoryUsedMiB: null, memoryFreeMiB: null });
  expect(gpu).toMatchObject({ utilizationPercent: null, temperatureC: 44, powerW: null });
});

test('no program and no card are no GPUs', async () => {
  expect(await probeGpus(answers(null))).toEqual([]);
  expect(await probeGpus(answers({ exitCode: 6, stdout: 'No devices were found\n' }))).toEqual([]);
});

test('a driver that fails is told, not taken for no GPU', async () => {
  const stdout = "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n";
  await expect(probeGpus(answers({ exitCode: 9, stdout }))).rejects.toThrow(/exit 9.*communicate/);
  await expect(probeGpus(answers({ stdout: 'garbage\n' }))).rejects.toThrow(/not understood/);
});

test('the real probe answers on this host, whatever it has', async () => {
  expect(Array.isArray(await probeGpus())).toBe(true);
});
