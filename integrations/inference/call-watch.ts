import { DomainError } from '../../domain/errors.ts';
import type { Watch } from './inference.ts';

const graceMs = 250;

export interface WatchedCall {
  /** For the HTTP request: aborted by the caller, by a stall or by the limit of the call. */
  signal: AbortSignal;
  /** Reports real progress and starts the stall limit anew. */
  progressed(phase: 'headers' | 'token', tokens: number): void;
}

/**
 * Runs one call under its stall limit, its limit in all and the caller's signal. However the call ends after an abort
 * (clients throw, or end the stream as if it were complete), it rejects with the reason of the abort.
 */
export async function watchCall<T>(
  limits: { stallMs: number; callMs: number },
  watch: Watch,
  run: (call: WatchedCall) => Promise<T>,
): Promise<T> {
  watch.signal.throwIfAborted();
  const controller = new AbortController();
  const cancel = () => controller.abort(watch.signal.reason);
  watch.signal.addEventListener('abort', cancel, { once: true });
  let tokensSeen = 0;
  let beats = 0;
  let grace: NodeJS.Timeout | undefined;
  const stall = setTimeout(() => {
    const beatsBefore = beats;
    // After a pause of the whole process, tokens may lie unread in the socket: they are read before the server is blamed.
    grace = setTimeout(
      () => {
        if (beats !== beatsBefore) return;
        const seconds = limits.stallMs / 1000;
        controller.abort(new DomainError('MODEL_STALLED', `no token for ${seconds} s (after ${tokensSeen} tokens)`));
      },
      Math.min(graceMs, limits.stallMs / 4),
    );
  }, limits.stallMs);
  const limit = setTimeout(() => {
    const seconds = limits.callMs / 1000;
    controller.abort(new DomainError('MODEL_STALLED', `not done within ${seconds} s (${tokensSeen} tokens so far)`));
  }, limits.callMs);
  const call: WatchedCall = {
    signal: controller.signal,
    progressed(phase, tokens) {
      if (controller.signal.aborted) return;
      beats += 1;
      tokensSeen = tokens;
      stall.refresh();
      watch.onProgress({ phase, tokens });
    },
  };
  try {
    const result = await run(call);
    controller.signal.throwIfAborted();
    return result;
  } catch (err) {
    if (controller.signal.aborted) throw controller.signal.reason;
    throw err;
  } finally {
    clearTimeout(stall);
    clearTimeout(grace);
    clearTimeout(limit);
    watch.signal.removeEventListener('abort', cancel);
  }
}
