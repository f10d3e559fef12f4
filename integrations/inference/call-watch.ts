import { DomainError } from '../../domain/errors.ts';
import type { Progress, Watch } from './inference.ts';

const graceMs = 250;

export interface WatchedCall {
  /** For the HTTP request: aborted by the caller, by a stall or by the limit of the call. */
  signal: AbortSignal;
  /** Reports real progress and starts the stall limit anew. */
  progressed(phase: Progress['phase'], tokens: number): void;
  /** A piece of the answer has come. */
  wrote(piece: string): void;
}

export type WatchCall = <T>(model: string, watch: Watch, run: (call: WatchedCall) => Promise<T>) => Promise<T>;

/** Calls to one model that have no token yet, by the order in which they began: each with how to tell it of progress. */
interface Line {
  begun: number;
  waiting: Map<number, () => void>;
}

/**
 * The watch over all calls to one model server. A server reads the prompts of a model one after the other and says
 * nothing of those that wait, so until its own first token a call lives by the progress of the calls that began before
 * it. One that was overtaken does not wait in line: it has stalled.
 */
export function createCallWatch(limits: { stallMs: number; callMs: number }): WatchCall {
  const lines = new Map<string, Line>();
  return async (model, watch, run) => {
    const line = lines.get(model) ?? { begun: 0, waiting: new Map() };
    lines.set(model, line);
    return watchCall(limits, line, watch, run);
  };
}

/**
 * Runs one call under its stall limit, its limit in all and the caller's signal. However the call ends after an abort
 * (clients throw, or end the stream as if it were complete), it rejects with the reason of the abort.
 */
async function watchCall<T>(
  limits: { stallMs: number; callMs: number },
  line: Line,
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
        controller.abort(new DomainError('MODEL_STALLED', `no progress for ${seconds} s (after ${tokensSeen} tokens)`));
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
  const place = (line.begun += 1);
  line.waiting.set(place, () => beat('prompt'));
  const call: WatchedCall = {
    signal: controller.signal,
    wrote(piece) {
      if (!controller.signal.aborted) watch.onText?.(piece);
    },
    progressed(phase, tokens) {
      tokensSeen = tokens;
      if (phase === 'token') line.waiting.delete(place);
      beat(phase);
      if (phase === 'headers') return;
      for (const [behind, tell] of line.waiting) if (behind > place) tell();
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
    line.waiting.delete(place);
    clearTimeout(stall);
    clearTimeout(grace);
    clearTimeout(limit);
    watch.signal.removeEventListener('abort', cancel);
  }
}
