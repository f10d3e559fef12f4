import { describe, expect, test } from 'vitest';
import {
  type AttentionShape,
  classOf,
  estimateVram,
  fileGiBOf,
  footprint,
  kvGiBPerToken,
  queueOf,
} from '../../domain/vram.ts';

const qwen72b: AttentionShape = { layers: 80, queryHeads: 64, kvHeads: 8, headSize: 128 };
const llama70b: AttentionShape = { layers: 80, queryHeads: 64, kvHeads: 8, headSize: 128 };
const qwen7b: AttentionShape = { layers: 28, queryHeads: 28, kvHeads: 4, headSize: 128 };
const llama8b: AttentionShape = { layers: 32, queryHeads: 32, kvHeads: 8, headSize: 128 };
const llama3b: AttentionShape = { layers: 28, queryHeads: 24, kvHeads: 8, headSize: 128 };
const qwen14b: AttentionShape = { layers: 48, queryHeads: 40, kvHeads: 8, headSize: 128 };
const qwen32b: AttentionShape = { layers: 64, queryHeads: 40, kvHeads: 8, headSize: 128 };

describe('against published figures (gguf-parser-go and GPUStack, flash attention off)', () => {
  test.each([
    ['Qwen2.5-72B Q4_K_M', qwen72b, 44.15, 32_768, 0, 58.18],
    ['Llama-3.1-70B Q4_K_M', llama70b, 39.59, 2048, 0, 40.49],
    ['Llama-3.1-70B Q4_K_M', llama70b, 39.59, 131_072, 0, 95.86],
    ['Llama-3.3-70B Q4_0', llama70b, 37.35, 131_072, 0, 93.62],
    ['Qwen2.5-7B Q8_0', qwen7b, 7.54, 131_072, 0, 21.82],
    ['R1-Distill-Qwen-7B F16', qwen7b, 14.19, 131_072, 0, 27.99],
    ['R1-Distill-Qwen-7B Q4_K_M', qwen7b, 4.34, 131_072, 0, 18.89],
    ['Llama-3-8B Q4_K_M, embedding in RAM', llama8b, 4.58, 8192, 0.27, 5.88],
  ] as const)('%s at %#', (_, shape, fileGiB, context, embeddingInRamGiB, published) => {
    const { totalGiB } = estimateVram({ fileGiB, shape, context, embeddingInRamGiB, flashAttention: false });
    expect(Math.abs(totalGiB - published)).toBeLessThanOrEqual(0.6);
  });
});

test.each([
  ['q4_k_m', 4.58],
  ['q5_k_m', 5.33],
  ['q6_k', 6.14],
  ['q8_0', 7.95],
  ['f16', 14.96],
] as const)('knows the file size of Llama-3.1-8B in %s', (quantisation, gib) => {
  expect(fileGiBOf(8.03e9, quantisation)).toBeCloseTo(gib, 1);
});

test('a quantised cache takes 1.06 or 0.56 bytes a number instead of 2', () => {
  expect(kvGiBPerToken(llama8b) * 2 ** 20).toBe(128);
  expect(kvGiBPerToken(llama8b, 'q8_0') / kvGiBPerToken(llama8b)).toBeCloseTo(0.531, 3);
  expect(kvGiBPerToken(llama8b, 'q4_0') / kvGiBPerToken(llama8b)).toBeCloseTo(0.281, 3);
  const full = estimateVram({ fileGiB: 4.58, shape: llama8b, context: 4096, sequences: 8 });
  const small = estimateVram({ fileGiB: 4.58, shape: llama8b, context: 4096, sequences: 8, kvType: 'q4_0' });
  expect(full.kvGiB).toBeCloseTo(4, 6);
  expect(full.totalGiB - small.totalGiB).toBeCloseTo(4 * (1 - 0.28125), 6);
});

/** 4k-token sequences on 24 and on 12 GiB with 1 GiB of reserve: the fit table of the facts. */
test.each([
  ['Llama-3.2-3B Q4', llama3b, 1.83, 46, 19],
  ['Llama-3.2-3B F16', llama3b, 5.98, 37, 9],
  ['Qwen2.5-7B Q4', qwen7b, 4.34, 81, 27],
  ['Llama-3.1-8B Q4', llama8b, 4.58, 35, 11],
  ['Llama-3.1-8B F16', llama8b, 14.96, 14, -1],
  ['Qwen2.5-14B Q4', qwen14b, 8.42, 18, 2],
  ['Qwen2.5-32B Q4', qwen32b, 18.67, 3, -1],
] as const)('%s: sequences that fit', (_, shape, fileGiB, on24, on12) => {
  const { fixedGiB, sequenceGiB } = footprint(variant(shape, fileGiB, 4096));
  const sequences = (vramGiB: number) => Math.floor((vramGiB - 1 - fixedGiB) / sequenceGiB);
  expect(sequences(24)).toBe(on24);
  if (on12 < 0) expect(sequences(12)).toBeLessThan(1);
  else expect(sequences(12)).toBe(on12);
});

describe('class and queue', () => {
  test.each([
    ['a 3B model', llama3b, 1.83, '8g'],
    ['a 14B model', qwen14b, 8.42, '12g'],
    ['a 32B model', qwen32b, 18.67, '24g'],
    ['a 70B model', llama70b, 39.59, '48g'],
    ['a model that no card holds', qwen72b, 145, '141g'],
  ] as const)('%s is of the smallest class that holds it', (_, shape, fileGiB, gpuClass) => {
    expect(classOf(variant(shape, fileGiB, 4096))).toBe(gpuClass);
  });

  test('the class goes by the reflect context, the memory of a sequence by the longer one', () => {
    const long = { ...variant(qwen14b, 8.42, 4096) };
    long.model = { ...long.model, context: { reflect: 4096, talk: 16_384 } };
    expect(classOf(long)).toBe('12g');
    expect(footprint(long).sequenceGiB).toBeCloseTo(3, 6);
  });

  test('a model has one queue, whatever card it runs on', () => {
    expect(queueOf(variant(qwen32b, 18.67, 2048))).toBe('inference_24g_model_q4');
  });
});

function variant(shape: AttentionShape, fileGiB: number, context: number) {
  const contexts = { reflect: context, talk: context };
  return {
    id: 'model_q4',
    fileGiB,
    model: { ...shape, id: 'model', family: 'model', context: contexts, quantisations: {} },
  };
}
