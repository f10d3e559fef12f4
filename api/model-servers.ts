import { totalmem } from 'node:os';
import { DomainError } from '../domain/errors.ts';
import type { Fleet, FleetGpu, ModelServerKind } from '../domain/fleet.ts';
import { modelVariants } from '../domain/fleet.ts';
import { classGiB, type GpuClass, gpuClasses } from '../domain/task-queues.ts';
import { probeGpus } from '../integrations/gpu/nvidia-smi.ts';
import { probeModelServer } from '../integrations/inference/model-server-probe.ts';

/** Memory bandwidth of an ordinary desktop without a card, GB/s: what bounds tokens a second there. */
const mainMemoryGBs = 40;
/** A card's name says a little more than its driver does. */
const classSlack = 0.94;

/** @throws MODEL_SERVER_DOWN when nothing there speaks as a model server */
export async function modelServerKind(url: string): Promise<ModelServerKind> {
  const ollama = await probeModelServer(url, 'ollama');
  if (ollama.up) return 'ollama';
  for (const kind of ['vllm', 'llamacpp'] as const) {
    const state = await probeModelServer(url, kind);
    if (!state.up) throw new DomainError('MODEL_SERVER_DOWN', `${url}: ${state.reason ?? 'no model server answers'}`);
    if (state.version !== undefined) return kind;
  }
  return 'openai';
}

/** The largest class that so much memory reaches. */
function gpuClassOf(vramGiB: number): GpuClass {
  return gpuClasses.findLast((gpuClass) => vramGiB >= classGiB(gpuClass) * classSlack) ?? gpuClasses[0];
}

/** `RTX 4090:24` → a card of 24 GiB. */
export function parseGpu(text: string): FleetGpu {
  const match = /^(.{1,60}):(\d{1,4}(?:\.\d{1,2})?)$/.exec(text.trim());
  const vramGiB = Number(match?.[2]);
  if (!match || !(vramGiB >= classGiB(gpuClasses[0]) * classSlack)) {
    const field = { path: 'gpu', rule: 'must be a name and GiB from 8 on', mend: 'Write it like `RTX 4090:24`.' };
    throw new DomainError('INVALID_INPUT', `gpu ${field.rule}`, { fields: [field] });
  }
  return { name: match[1]!.trim(), class: gpuClassOf(vramGiB), vramGiB, reserveGiB: 1 };
}

/** The cards of this host; without one half of its main memory stands in, since a model server then runs on the CPU. */
export async function gpusOfThisHost(): Promise<FleetGpu[]> {
  const cards = (await probeGpus()).filter(
    (card) => (card.memoryTotalMiB ?? 0) >= classGiB(gpuClasses[0]) * classSlack * 1024,
  );
  if (cards.length > 0) {
    return cards.map((card) => {
      const vramGiB = Math.round((card.memoryTotalMiB! / 1024) * 100) / 100;
      return { name: card.name, class: gpuClassOf(vramGiB), vramGiB, reserveGiB: 1 };
    });
  }
  const vramGiB = Math.max(classGiB(gpuClasses[0]), Math.floor(totalmem() / 2 ** 31));
  return [{ name: 'CPU', class: gpuClassOf(vramGiB), vramGiB, reserveGiB: 1 }];
}

/**
 * Tokens a second to expect of a model before it has been measured. Generating reads the whole file once a token, so
 * on one card the rate times the file's size hardly changes from model to model.
 */
export function expectedRate(fleet: Fleet, gpu: Pick<FleetGpu, 'name' | 'class'>, fileGiB: number): number {
  const products = modelVariants(fleet)
    .flatMap((variant) =>
      variant.rates[gpu.class] ? [variant.rates[gpu.class]!.tokensPerSecond * variant.fileGiB] : [],
    )
    .sort((a, b) => a - b);
  const known = gpu.name === 'CPU' ? undefined : products[products.length >> 1];
  return Math.max(0.1, Math.round(((known ?? mainMemoryGBs) / Math.max(fileGiB, 0.05)) * 10) / 10);
}
