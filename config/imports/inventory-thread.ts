import { parentPort, workerData } from 'node:worker_threads';
import { isDomainError } from '../../domain/errors.ts';
import { takeInventory } from './inventory.ts';
import type { InventoryAnswer, InventoryTask } from './inventory-reading.ts';

if (parentPort === null) throw new Error('inventory-thread.ts runs as a worker thread');
const answer = (message: InventoryAnswer) => parentPort?.postMessage(message);
const { request, copies } = workerData as InventoryTask;
const copied: string[] = [];
try {
  const inventory = takeInventory({ ...request, copies: { folder: copies, copied } });
  answer({ inventory, copied });
} catch (err) {
  // Anything else ends the thread, which the other side hears of.
  if (!isDomainError(err)) throw err;
  answer({ refused: { code: err.code, message: err.message, fields: err.fields } });
}
