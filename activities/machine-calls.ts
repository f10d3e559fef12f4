import { CancelledFailure, Context, log } from '@temporalio/activity';
import { DomainError, isDomainError } from '../domain/errors.ts';
import { type ModelServerKind, type ModelVariant } from '../domain/fleet.ts';
import type { RateSample } from '../domain/rates.ts';
import type { TokenSpend } from '../domain/token-budgets.ts';
import type { ChatModel } from '../integrations/inference/chat.ts';
import type { Inference, Progress, TextModel, Watch } from '../integrations/inference/inference.ts';
import type { TokenBudgetStore } from '../stores/token-budgets.ts';

/** The worker's lease as an attempt sees it: the epoch it started under, and a signal for when that has passed. */
export interface HeldLease {
  machineId: string;
  epoch: number;
  signal: AbortSignal;
}

export interface Permits {
  /** Waits for a sequence of the model server; the returned function gives it back. */
  acquire(queue: string, signal: AbortSignal): Promise<() => void>;
  /** Σ sequences × seconds in use since the start. */
  busySeconds(): number;
}

/** A model that a call has in hand: it is not unloaded for idleness until `done`. */
export interface UsedModel {
  /** Resolves once it is in memory, where it was unloaded meanwhile. */
  ready(signal: AbortSignal): Promise<void>;
  done(): void;
}

/** What a machine calls for one model. */
export interface ModelCall {
  inference: Inference;
  /** The model itself; undefined where the machine has none and `extractive` stands in. */
  text: TextModel | undefined;
  variant: ModelVariant;
  /** The model as services ask it, by OpenAI's protocol; absent where the machine has none. */
  chat?: ChatModel;
  /** What the machine's server calls the model. */
  servedAs: string;
  kind: ModelServerKind;
}

export interface MachineCallDeps {
  /** Absent: tokens are neither counted nor limited. */
  budgets?: Pick<TokenBudgetStore, 'reserve' | 'settle' | 'release'>;
  lease: () => HeldLease;
  permits: Permits;
  /** @throws MODEL_MISSING when the machine does not hold the model now */
  callFor: (modelId: string) => ModelCall;
  /** Absent: models that are idle stay in memory. */
  use?: (modelId: string) => UsedModel;
  serverDown: (err: DomainError) => void;
  /** A call that a model server has served, for the machine's measured rates. */
  served: (modelId: string, sample: RateSample) => void;
  /** A call has come to its end: what the machine was given, it works off. */
  progressed?: () => void;
  /** Told of each execution, for metrics. */
  observe?: ObserveInference;
}

export interface ObserveInference {
  /** It has its sequence, `seconds` after it was put in its queue. */
  began(of: { modelId: string; kind: string; seconds: number }): void;
  /** It holds, or gives back, a sequence of the server; each is taken as often as it is given back. */
  holds(modelId: string, sequences: 1 | -1): void;
  ended(of: { modelId: string; kind: string; seconds: number; outcome: 'done' | 'failed' | 'canceled' }): void;
}

/** What an activity is given once a sequence of the model server is its own. */
export interface OnMachine {
  held: HeldLease;
  call: ModelCall;
  watch: Watch;
  /** Seconds for which the sequence was held. */
  seconds: () => number;
  /** Does what stands between two calls, such as looking something up, without the sequence; a timer heartbeats meanwhile. */
  between: <Result>(work: (signal: AbortSignal) => Promise<Result>) => Promise<Result>;
  /** What the step took in all, where that is more than this attempt wrote. */
  took: (tokens: number) => void;
  /** Notes what the model server wrote, for the machine's measured rates; what no model wrote is not noted. */
  wrote: (tokens: number) => void;
}

interface Asked {
  modelId: string;
  queue: string;
  before?: (signal: AbortSignal) => Promise<void>;
  /** Canceled, it never comes again: what was written until then counts. */
  once?: boolean;
  /** What the step is about to take of whose tokens; asked for after `before`. */
  spends: (variant: ModelVariant) => TokenSpend;
}

/**
 * The frame of every activity that calls this machine's model: the lease and the cancellation abort it, it waits for a
 * sequence (shown by heartbeats as queued, and so is what it does `before` it asks for one; while it holds one, heartbeats
 * come from progress of the model server), an idle model is loaded again first, and errors become what the workflow tells apart: canceled, FENCED, the MODEL_ family.
 */
export function createOnMachine(deps: MachineCallDeps) {
  /** What cannot be counted now stays reserved for the step, which takes it up when it is tried again, or for the day: no answer is lost to it. */
  const counted = (counting: Promise<void> | undefined) =>
    counting?.catch((err: unknown) => log.warn('tokens stay reserved that were not counted', { err }));

  return async function onMachine<Result>(
    { modelId, queue, before, once, spends }: Asked,
    work: (at: OnMachine) => Promise<Result>,
  ): Promise<Result> {
    const context = Context.current();
    const { activityType: kind, currentAttemptScheduledTimestampMs: scheduledAt } = context.info;
    const held = deps.lease();
    const signal = AbortSignal.any([context.cancellationSignal, held.signal]);
    const used = deps.use?.(modelId);
    try {
      const ask = () => deps.permits.acquire(queue, signal);
      let release = await beating(context, 'queued', async () => {
        await before?.(signal);
        await used?.ready(signal);
        return ask();
      });
      const hold = () => {
        deps.observe?.holds(modelId, 1);
        const give = release;
        release = () => {
          release = give;
          deps.observe?.holds(modelId, -1);
          give();
        };
      };
      hold();
      // Clocks of two hosts may differ by more than the wait.
      deps.observe?.began({ modelId, kind, seconds: Math.max(0, Date.now() - scheduledAt) / 1000 });
      let outcome: 'done' | 'failed' | 'canceled' = 'failed';
      let seconds = () => 0;
      let reserved: string | undefined;
      let taken = 0;
      let written = 0;
      try {
        const startedAt = performance.now();
        const busyBefore = deps.permits.busySeconds();
        let away = { seconds: 0, busy: 0 };
        seconds = () => (performance.now() - startedAt) / 1000 - away.seconds;
        const call = deps.callFor(modelId);
        // What no model writes costs nothing.
        if (deps.budgets && call.text !== undefined) {
          const spend = spends(call.variant);
          await deps.budgets.reserve(spend);
          reserved = spend.key;
        }
        const onProgress = (progress: Progress) => {
          written = Math.max(written, progress.tokens);
          context.heartbeat(progress);
        };
        const result = await work({
          held,
          call,
          watch: { signal, onProgress },
          seconds,
          between: (meanwhile) =>
            beating(context, 'between calls', async () => {
              const left = { at: performance.now(), busy: deps.permits.busySeconds() };
              // Nothing is asked of the server meanwhile: a message that waits need not wait for the calls to come.
              release();
              const result = await meanwhile(signal);
              release = await ask();
              hold();
              away = {
                seconds: away.seconds + (performance.now() - left.at) / 1000,
                busy: away.busy + deps.permits.busySeconds() - left.busy,
              };
              return result;
            }),
          took(tokens) {
            taken = tokens;
          },
          wrote(tokens) {
            taken = Math.max(taken, tokens);
            deps.progressed?.();
            const took = seconds();
            if (call.text === undefined || tokens === 0 || took === 0) return;
            const sequences = (deps.permits.busySeconds() - busyBefore - away.busy) / took;
            deps.served(modelId, { sequences, secondsPerToken: took / tokens });
          },
        });
        if (reserved !== undefined) await counted(deps.budgets?.settle(reserved, taken));
        deps.progressed?.();
        outcome = 'done';
        return result;
      } catch (err) {
        if (context.cancellationSignal.aborted) outcome = 'canceled';
        if (reserved !== undefined) {
          const dropped =
            once === true &&
            // Nobody waits for it: as if it had been canceled.
            (isDomainError(err, 'CONFLICT') ||
              (outcome === 'canceled' && context.cancellationDetails?.workerShutdown !== true));
          const counts = dropped ? Math.max(taken, written) : 0;
          await counted(deps.budgets?.release(reserved, ...(counts > 0 ? [counts] : [])));
        }
        throw err;
      } finally {
        deps.observe?.ended({ modelId, kind, seconds: seconds(), outcome });
        release();
      }
    } catch (err) {
      if (context.cancellationSignal.aborted) throw new CancelledFailure('the attempt was canceled', [], asError(err));
      if (held.signal.aborted && isDomainError(held.signal.reason, 'MACHINE_YIELDED')) throw held.signal.reason;
      if (held.signal.aborted)
        throw new DomainError('FENCED', `${held.machineId} lost its lease of epoch ${held.epoch}`, { cause: err });
      if (isDomainError(err, 'MODEL_SERVER_DOWN')) deps.serverDown(err);
      throw err;
    } finally {
      used?.done();
    }
  };
}
export type OnMachineFrame = ReturnType<typeof createOnMachine>;

/** Between two heartbeats of an attempt that waits; the shortest heartbeat time-out a fleet may set is 1 s. */
const waitingHeartbeatMs = 300;

/** Heartbeats by the clock while something other than the model server is waited for. */
async function beating<Result>(context: Context, phase: string, work: () => Promise<Result>): Promise<Result> {
  const beat = () => context.heartbeat({ phase, tokens: 0 });
  beat();
  const timer = setInterval(beat, waitingHeartbeatMs);
  try {
    return await work();
  } finally {
    clearInterval(timer);
  }
}

function asError(err: unknown): Error {
  return err instanceof Error ? err : new Error(String(err));
}
