import { Worker } from 'node:worker_threads';
import type { GlobeVectors } from '../../domain/globe.ts';

/** Measured with 4,000 points of 512 numbers, the most there are: 128 old are enough, 96 are not. */
const heapMiB = { old: 192, young: 16 };

/** @returns places, three numbers each, memories first. The vectors are the thread's from then on. */
export type PlaceOnSphere = (vectors: GlobeVectors, signal: AbortSignal) => Promise<Float64Array>;

/** Lays out in a thread of its own: seconds of arithmetic that leases and heartbeats must not wait for. */
export async function placeOnSphere(vectors: GlobeVectors, signal: AbortSignal): Promise<Float64Array> {
  signal.throwIfAborted();
  const thread = new Worker(new URL('./placer-thread.ts', import.meta.url), {
    resourceLimits: { maxOldGenerationSizeMb: heapMiB.old, maxYoungGenerationSizeMb: heapMiB.young },
  });
  const { promise, resolve, reject } = Promise.withResolvers<Float64Array>();
  const abort = () => reject(signal.reason instanceof Error ? signal.reason : new Error('the globe was given up'));
  signal.addEventListener('abort', abort, { once: true });
  thread.on('message', resolve);
  thread.on('error', reject);
  thread.on('exit', (code) => reject(new Error(`the thread that lays out the globe ended with ${code}`)));
  const { memories, agents, before } = vectors;
  try {
    thread.postMessage(vectors, [
      memories.values.buffer as ArrayBuffer,
      agents.values.buffer as ArrayBuffer,
      before.buffer as ArrayBuffer,
    ]);
    return await promise;
  } finally {
    signal.removeEventListener('abort', abort);
    await thread.terminate();
  }
}
