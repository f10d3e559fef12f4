import type { ModelVariant } from './fleet.ts';
import { classGiB, type GpuClass, gpuClasses, inferenceQueue } from './task-queues.ts';

/** What a model needs of a card, after the formulae of llama.cpp: file + KV + compute + overhead. Checked against published figures in test/unit/vram.test.ts. */

const gibibyte = 2 ** 30;
/** Physical batch of llama.cpp (`n_ubatch`), whose attention scores are what compute memory holds. */
const batchTokens = 512;
/** Context of the CUDA runtime and its libraries. */
const overheadGiB = 0.3;
/** With flash attention no score matrix is held: what stays is mostly the logits of one batch, nearly the same for all contexts. */
const flashComputeGiB = 0.45;

/** What each card takes beside weights and KV, so what a model that lies across several cards takes once more per card. */
export const perCardGiB = flashComputeGiB + overheadGiB;

export interface AttentionShape {
  layers: number;
  queryHeads: number;
  kvHeads: number;
  headSize: number;
}

/** Bytes per stored number: quantised caches hold blocks of 32 with a scale. */
const kvBytes = { f16: 2, q8_0: 34 / 32, q4_0: 18 / 32 } as const;
export type KvType = keyof typeof kvBytes;

/** Bits per weight of Llama-3.1-8B, as llama.cpp's quantize prints them. */
const bitsPerWeight = { q4_k_m: 4.8944, q5_k_m: 5.7036, q6_k: 6.5633, q8_0: 8.5008, f16: 16.0005 } as const;
export type Quantisation = keyof typeof bitsPerWeight;

export interface VramQuestion {
  fileGiB: number;
  shape: AttentionShape;
  /** Tokens of context of one sequence. */
  context: number;
  /** @default 1 */
  sequences?: number;
  /** @default 'f16' */
  kvType?: KvType;
  /** @default true */
  flashAttention?: boolean;
  /** Part of the file that stays in main memory, as llama.cpp keeps the token embedding. @default 0 */
  embeddingInRamGiB?: number;
}

export interface VramNeed {
  weightsGiB: number;
  kvGiB: number;
  computeGiB: number;
  overheadGiB: number;
  totalGiB: number;
}

export function estimateVram(question: VramQuestion): VramNeed {
  const {
    fileGiB,
    shape,
    context,
    sequences = 1,
    kvType = 'f16',
    flashAttention = true,
    embeddingInRamGiB = 0,
  } = question;
  const weightsGiB = fileGiB - embeddingInRamGiB;
  const kvGiB = kvGiBPerToken(shape, kvType) * context * sequences;
  const computeGiB = flashAttention
    ? flashComputeGiB
    : (shape.queryHeads * batchTokens * context * sequences * 4) / gibibyte;
  return { weightsGiB, kvGiB, computeGiB, overheadGiB, totalGiB: weightsGiB + kvGiB + computeGiB + overheadGiB };
}

export function kvGiBPerToken(shape: AttentionShape, kvType: KvType = 'f16'): number {
  return (2 * shape.layers * shape.kvHeads * shape.headSize * kvBytes[kvType]) / gibibyte;
}

/** Size of a weights file, for a model whose file has not been seen. */
export function fileGiBOf(parameters: number, quantisation: Quantisation): number {
  return (parameters * bitsPerWeight[quantisation]) / 8 / gibibyte;
}

/** What a resident variant takes before its first sequence, and what each sequence adds. */
export interface Footprint {
  fixedGiB: number;
  sequenceGiB: number;
}

/** Every sequence is given the longest pinned context, since any of them may be asked for either use. */
export function loadedContext({ model }: Pick<ModelVariant, 'model'>): number {
  return Math.max(model.context.reflect, model.context.talk);
}

export function footprint(variant: Pick<ModelVariant, 'model' | 'fileGiB'>): Footprint {
  const need = estimateVram({ fileGiB: variant.fileGiB, shape: variant.model, context: loadedContext(variant) });
  return { fixedGiB: need.totalGiB - need.kvGiB, sequenceGiB: need.kvGiB };
}

/**
 * The smallest class whose card, less the reserve, holds the weights and one sequence at the `reflect` context. A model that no single
 * card holds (it spans) is of the largest class.
 */
export function classOf(
  variant: Pick<ModelVariant, 'model' | 'fileGiB'>,
  contexts: { reflect: number } = variant.model.context,
  reserveGiB = 1,
): GpuClass {
  const need = estimateVram({ fileGiB: variant.fileGiB, shape: variant.model, context: contexts.reflect });
  return gpuClasses.find((gpuClass) => need.totalGiB <= classGiB(gpuClass) - reserveGiB) ?? gpuClasses.at(-1)!;
}

/** The variant's one queue. */
export function queueOf(variant: Pick<ModelVariant, 'id' | 'model' | 'fileGiB'>): string {
  return inferenceQueue(classOf(variant), variant.id);
}
