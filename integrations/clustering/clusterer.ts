import { Worker } from 'node:worker_threads';
import { type AgentVectors, threadHeapMiB } from '../../domain/clustering.ts';

/** Of the heap: what was made a moment ago. */
const youngMiB = 8;

export interface ClustererRequest {
  kind: 'cluster' | 'assign';
  agents: AgentVectors;
}
export interface ClustererAnswer {
  labels: Int32Array;
  clusters: number;
}

/** Clusters in a thread of its own: seconds of arithmetic that leases and heartbeats must not wait for. */
export interface Clusterer {
  /** The agents' vectors are the thread's from then on. */
  ask(request: ClustererRequest): Promise<ClustererAnswer>;
  close(): Promise<void>;
}

/** The thread's heap may not outgrow its share; vectors lie outside the heap and are counted by the caller. */
export function openClusterer(signal: AbortSignal): Clusterer {
  signal.throwIfAborted();
  const thread = new Worker(new URL('./clusterer-thread.ts', import.meta.url), {
    resourceLimits: { maxOldGenerationSizeMb: threadHeapMiB - youngMiB, maxYoungGenerationSizeMb: youngMiB },
  });
  let pending: PromiseWithResolvers<ClustererAnswer> | undefined;
  let failure: Error | undefined;
  const fail = (err: Error) => {
    failure ??= err;
    pending?.reject(failure);
  };
  thread.on('message', (answer: ClustererAnswer) => pending?.resolve(answer));
  thread.on('error', (err) => fail(err instanceof Error ? err : new Error(String(err))));
  thread.on('exit', (code) => fail(new Error(`the thread that clusters ended with ${code}`)));
  const abort = () => fail(signal.reason instanceof Error ? signal.reason : new Error('clustering was given up'));
  signal.addEventListener('abort', abort, { once: true });
  return {
    ask(request) {
      if (failure) return Promise.reject(failure);
      pending = Promise.withResolvers();
      const { values, drift } = request.agents;
      thread.postMessage(request, [values.buffer as ArrayBuffer, drift.buffer as ArrayBuffer]);
      return pending.promise;
    },
    async close() {
      signal.removeEventListener('abort', abort);
      failure ??= new Error('closed');
      await thread.terminate();
    },
  };
}
