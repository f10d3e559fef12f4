import { expect, test } from 'vitest';
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
