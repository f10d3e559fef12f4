import { Worker } from 'node:worker_threads';
import { DomainError, type ErrorCode, type FieldError } from '../../domain/errors.ts';
import type { Inventory, ToolReport } from '../../domain/readiness-inventory.ts';
import type { InventoryRequest } from './inventory.ts';
import { openCopies } from './repository-copies.ts';

export interface InventoryTask {
  request: InventoryRequest;
  /** The empty folder that takes copies of what was read. */
  copies: string;
}
export type InventoryAnswer =
  | { inventory: Inventory; copied: string[] }
  | { refused: { code: ErrorCode; message: string; fields: readonly FieldError[] } };

/** What the limits of an import let in, as text and as what was found in it. */
const mostMiB = 2_048;

/** Copies of the files that were read, for tools that read files by themselves. */
export interface RepositoryCopies {
  folder: string;
  /** Below the folder. */
  files: readonly string[];
  /** An empty folder for whoever looks. */
  scratch: string;
}

/**
 * Takes the inventory in a thread of its own: a big repository is seconds to minutes of reading without a pause, which a machine's
 * lease must not wait for. Tools then look at copies, where no link leads out and no file is longer than what is read here.
 * @param look runs the tools; what it reports goes into the inventory
 * @throws DomainError INVALID_INPUT for a path or machine that is not there, and for what takes too much memory; the signal's reason
 */
export async function readInventory(
  request: InventoryRequest,
  look: (copies: RepositoryCopies, signal: AbortSignal) => Promise<readonly ToolReport[]>,
  signal: AbortSignal,
): Promise<Inventory> {
  signal.throwIfAborted();
  const copies = openCopies();
  try {
    const { inventory, copied } = await inThread({ request, copies: copies.folder }, signal);
    const reports = await look({ folder: copies.folder, files: copied, scratch: copies.scratch }, signal);
    return { ...inventory, tools: [...inventory.tools, ...reports] };
  } finally {
    copies.remove();
  }
}

async function inThread(task: InventoryTask, signal: AbortSignal) {
  const answered = Promise.withResolvers<InventoryAnswer>();
  const thread = new Worker(new URL('./inventory-thread.ts', import.meta.url), {
    workerData: task,
    resourceLimits: { maxOldGenerationSizeMb: mostMiB },
    // Nothing of ours is within its reach by accident.
    env: {},
    execArgv: [],
  });
  thread.on('message', answered.resolve);
  thread.on('error', (err: NodeJS.ErrnoException) =>
    answered.reject(
      err.code === 'ERR_WORKER_OUT_OF_MEMORY'
        ? new DomainError('INVALID_INPUT', `the folder takes more than ${mostMiB} MiB to read; name a part of it`, {
            cause: err,
          })
        : new DomainError('INTERNAL', `the thread that reads repositories failed: ${err.message}`, { cause: err }),
    ),
  );
  thread.on('exit', (code) =>
    answered.reject(new DomainError('INTERNAL', `the thread that reads repositories ended with ${code}`)),
  );
  const leave = () => answered.reject(signal.reason);
  signal.addEventListener('abort', leave, { once: true });
  try {
    const answer = await answered.promise;
    if (!('refused' in answer)) return answer;
    const { code, message, fields } = answer.refused;
    throw new DomainError(code, message, { fields });
  } finally {
    signal.removeEventListener('abort', leave);
    await thread.terminate();
  }
}
