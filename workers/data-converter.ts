import { fileURLToPath } from 'node:url';
import type { DataConverter } from '@temporalio/common';
import type { Payloads } from '../config/payload-codec.ts';

/** For the bundle of workflows and for workers, which load it by its path. */
export const encodedFailuresPath = fileURLToPath(new URL('../workflows/encoded-failures.ts', import.meta.url));

/** Where payloads are encoded, failures are, too: what a model said stands in their words. */
export function workerDataConverter({ codec, encodes }: Payloads): DataConverter {
  return { payloadCodecs: [codec], ...(encodes && { failureConverterPath: encodedFailuresPath }) };
}
