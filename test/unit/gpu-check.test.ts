import { expect, test } from 'vitest';
import { judgeGpus } from '../../domain/doctor-machines.ts';
import { gpuShortfalls } from '../../domain/gpu-check.ts';

const declared = [{ name: 'RTX 4090', class: '24g' as const, vramGiB: 24, reserveGiB: 1 }];

test('a card that reports a little less than its nominal size is what was declared', () => {
  expect(gpuShortfalls(declared, [{ index: 0, name: 'NVIDIA GeForce RTX 4090', memoryTotalMiB: 24_564 }])).toEqual([]);
});

test('names a card that is smaller than declared', () => {
  expect(gpuShortfalls(declared, [{ index: 0, name: 'NVIDIA GeForce RTX 3060', memoryTotalMiB: 12_288 }])).toEqual([
    'GPU 0 is declared with 24 GiB, NVIDIA GeForce RTX 3060 has 12.0',
  ]);
});

test('names a card that is not there, and judges none whose memory is unknown', () => {
  expect(gpuShortfalls(declared, [])).toEqual(['GPU 0 (RTX 4090) is declared, but nvidia-smi shows 0']);
  expect(gpuShortfalls(declared, [{ index: 0, name: 'Thor', memoryTotalMiB: null }])).toEqual([]);
});

test('the memory of services is what the plan gave them, and not that of other programs', () => {
  const machine = { id: 'mainpc', gpus: declared, modelServer: { kind: 'ollama' } };
  const server = { up: true, models: [] };
  const models = [{ modelId: 'm', servedAs: 'm', vramGiB: 16 }];
  const vram = (usedGiB: number, services: Array<{ id: string; vramGiB: number }>) => {
    const seen = [{ index: 0, name: 'RTX 4090', driver: '550', memoryTotalMiB: 24_564, memoryUsedMiB: usedGiB * 1024 }];
    return judgeGpus(machine as never, { seen }, { models, services, server, yields: null })[1]!;
  };
  const voice = [{ id: 'voice', vramGiB: 6 }];
  expect(vram(9, []).state).toBe('warn');
  expect(vram(7.9, voice)).toMatchObject({
    state: 'ok',
    detail: '7.9 of 24 GiB in use, 22.0 planned, of them 6.0 for voice',
  });
  expect(vram(9, voice)).toMatchObject({
    state: 'warn',
    detail: 'other programs hold 3.0 GiB, the plan wants 22.0 of 24 GiB, of them 6.0 for voice',
  });
});
