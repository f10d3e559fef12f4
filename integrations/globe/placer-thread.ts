import { parentPort } from 'node:worker_threads';
import type { GlobeVectors } from '../../domain/globe.ts';
import { layOnSphere } from './sphere-layout.ts';

const port = parentPort;
if (port === null) throw new Error('placer-thread.ts runs as a worker thread');

port.on('message', (vectors: GlobeVectors) => {
  const places = layOnSphere(vectors);
  port.postMessage(places, [places.buffer as ArrayBuffer]);
});
