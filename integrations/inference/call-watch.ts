import { DomainError } from '../../domain/errors.ts';
import type { Progress, Watch } from './inference.ts';

const graceMs = 250;

export interface WatchedCall {
  /** For the HTTP request: aborted by the caller, by a stall or by the limit of the call. */
  signal: AbortSignal;
  /** Reports real progress and starts the stall limit anew. */
  progressed(phase: Progress['phase'], tokens: number): void;
}

export type WatchCall = <T>(watch: Watch, run: (call: WatchedCall) => Promise<T>) => Promise<T>;

/**
 * The watch over all calls to one model server. A server reads prompts one after the other and says nothing of those
 * that wait, so until its own first token a call lives by the progress of the others; its limit in all still holds.
 */
export function createCallWatch(limits: { stallMs: number; callMs: number }): WatchCall {
  const beforeFirstToken = new Set<() => void>();
  return (watch, run) => watchCall(limits, beforeFirstToken, watch, run);
}

/**
 * Runs one call under its stall limit, its limit in all and the caller's signal. However the call ends after an abort
 * (clients throw, or end the stream as if it were complete), it rejects with the reason of the abort.
 */
async function watchCall<T>(
  limits: { stallMs: number; callMs: number },
  beforeFirstToken: Set<() => void>,
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
  const beat = (phase: Progress['phase']) => {
    if (controller.signal.aborted) return;
    beats += 1;
    stall.refresh();
    watch.onProgress({ phase, tokens: tokensSeen });
  };
  const waits = () => beat('prompt');
  beforeFirstToken.add(waits);
  const call: WatchedCall = {
    signal: controller.signal,
    progressed(phase, tokens) {
      tokensSeen = tokens;
      if (phase === 'token') beforeFirstToken.delete(waits);
      beat(phase);
      if (phase === 'headers') return;
      for (const waiting of beforeFirstToken) if (waiting !== waits) waiting();
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
    beforeFirstToken.delete(waits);
    clearTimeout(stall);
    clearTimeout(grace);
    clearTimeout(limit);
    watch.signal.removeEventListener('abort', cancel);
  }
}
