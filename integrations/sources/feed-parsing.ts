import { Worker } from 'node:worker_threads';
import { DomainError } from '../../domain/errors.ts';
import type { SourceItem } from './source-reader.ts';

export interface FeedDocument {
  bytes: Uint8Array;
  contentType: string;
  /** What relative links are relative to. */
  url: string;
}
export type FeedAnswer = { items: SourceItem[] } | { refused: string };

/** A large feed takes a second; a document made to take for ever is given up. */
const defaultTimeoutMs = 15_000;
const mostMiB = 512;

/**
 * Parses what a stranger wrote in a thread of its own, bounded in time and memory: the event loop of the worker, on which its
 * lease hangs, never waits for it (4.5 MB of `<` keep an XML parser busy for minutes).
 * @throws REMOTE_FAILED
 */
export async function parseFeedDocument(
  document: FeedDocument,
  { signal, timeoutMs = defaultTimeoutMs }: { signal?: AbortSignal; timeoutMs?: number } = {},
): Promise<SourceItem[]> {
  signal?.throwIfAborted();
  const answered = Promise.withResolvers<FeedAnswer>();
  const refuse = (why: string, cause?: unknown) => answered.reject(new DomainError('REMOTE_FAILED', why, { cause }));
  const thread = new Worker(new URL('./feed-thread.ts', import.meta.url), {
    workerData: document,
    resourceLimits: { maxOldGenerationSizeMb: mostMiB },
    // Nothing of ours is within its reach by accident.
    env: {},
    execArgv: [],
  });
  thread.on('message', answered.resolve);
  thread.on('error', (err: NodeJS.ErrnoException) =>
    refuse(
      err.code === 'ERR_WORKER_OUT_OF_MEMORY'
        ? `the feed takes more than ${mostMiB} MiB to read`
        : `the feed cannot be read: ${err.message}`,
      err,
    ),
  );
  thread.on('exit', () => refuse('the feed cannot be read'));
  const leave = () => answered.reject(signal?.reason);
  signal?.addEventListener('abort', leave, { once: true });
  const late = setTimeout(() => refuse(`the feed takes over ${timeoutMs / 1000} s to read`), timeoutMs);
  try {
    const answer = await answered.promise;
    if ('refused' in answer) throw new DomainError('REMOTE_FAILED', answer.refused);
    return answer.items;
  } finally {
    clearTimeout(late);
    signal?.removeEventListener('abort', leave);
    await thread.terminate();
  }
}
