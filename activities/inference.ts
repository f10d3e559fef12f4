import { CancelledFailure, Context } from '@temporalio/activity';
import { DomainError, isDomainError } from '../domain/errors.ts';
import { type ModelServerKind, type ModelVariant } from '../domain/fleet.ts';
import type { RateSample } from '../domain/rates.ts';
import { reflectionMaxTokens } from '../domain/reflections.ts';
import type { Inference } from '../integrations/inference/inference.ts';
import type { MemoryStore } from '../stores/memories.ts';
import type { ReflectionStep } from '../stores/reflections.ts';
import type { RunStore } from '../stores/runs.ts';
import type { StepResultStore } from '../stores/step-results.ts';

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

/** What a machine calls for one model. */
export interface ModelCall {
  inference: Inference;
  variant: ModelVariant;
  /** What the machine's server calls the model. */
  servedAs: string;
  kind: ModelServerKind;
}

export interface InferenceDeps {
  lease: () => HeldLease;
  permits: Permits;
  /** @throws MODEL_MISSING when the machine does not hold the model now */
  callFor: (modelId: string) => ModelCall;
  serverDown: (err: DomainError) => void;
  /** A call that a model server has served, for the machine's measured rates. */
  served: (modelId: string, sample: RateSample) => void;
  memories: MemoryStore;
  runs: RunStore;
  steps: StepResultStore;
}

export interface ReflectInput {
  runId: string;
  step: string;
  modelId: string;
  queue: string;
  /** How many times the run has asked a machine, this one included. */
  attempt: number;
}

export function createInferenceActivities(deps: InferenceDeps) {
  const { memories, runs, steps } = deps;

  return {
    /**
     * One reflection on this machine's model, stored under the machine's epoch. Heartbeats come from progress of the
     * model server alone, save while it waits for a sequence, which is shown as queued. A second execution finds the result.
     */
    async reflect({ runId, step, modelId, queue, attempt }: ReflectInput): Promise<{ tokens: number }> {
      const context = Context.current();
      const held = deps.lease();
      const signal = AbortSignal.any([context.cancellationSignal, held.signal]);
      const standing = await steps.read<ReflectionStep>({ runId, step });
      if (standing) return { tokens: standing.tokens };
      const run = await runs.openRun(runId);
      if (!run) throw new DomainError('CONFLICT', `run ${runId} has ended`);

      try {
        const release = await waitForPermit(context, deps.permits, queue, signal);
        try {
          const call = deps.callFor(modelId);
          const [agent, due] = await Promise.all([
            runs.reflectingAgent(run.agentId),
            memories.between(run.agentId, run.fromSeq, run.toSeq),
            runs.working(runId, held.machineId, attempt),
          ]);
          const startedAt = performance.now();
          const busyBefore = deps.permits.busySeconds();
          const contextTokens = call.variant.model.context.reflect;
          const outcome = await call.inference.reflect(
            {
              agent,
              memories: due,
              model: call.servedAs,
              contextTokens,
              maxTokens: reflectionMaxTokens(contextTokens),
            },
            { signal, onProgress: (progress) => context.heartbeat(progress) },
          );
          const seconds = (performance.now() - startedAt) / 1000;
          if (outcome.source === 'model' && outcome.tokens > 0 && seconds > 0) {
            const sequences = (deps.permits.busySeconds() - busyBefore) / seconds;
            deps.served(modelId, { sequences, secondsPerToken: seconds / outcome.tokens });
          }
          const result: ReflectionStep = { ...outcome, modelId, machineId: held.machineId, seconds };
          const stored = await steps.store({ runId, step }, held, result);
          return { tokens: stored.tokens };
        } finally {
          release();
        }
      } catch (err) {
        if (context.cancellationSignal.aborted)
          throw new CancelledFailure('the attempt was canceled', [], asError(err));
        if (held.signal.aborted)
          throw new DomainError('FENCED', `${held.machineId} lost its lease of epoch ${held.epoch}`, { cause: err });
        if (isDomainError(err, 'MODEL_SERVER_DOWN')) deps.serverDown(err);
        throw err;
      }
    },
  };
}
export type InferenceActivities = ReturnType<typeof createInferenceActivities>;

/** Between two heartbeats of a queued attempt; the shortest heartbeat time-out a fleet may set is 1 s. */
const queuedHeartbeatMs = 300;

async function waitForPermit(
  context: Context,
  permits: Permits,
  queue: string,
  signal: AbortSignal,
): Promise<() => void> {
  const queued = () => context.heartbeat({ phase: 'queued', tokens: 0 });
  queued();
  const timer = setInterval(queued, queuedHeartbeatMs);
  try {
    return await permits.acquire(queue, signal);
  } finally {
    clearInterval(timer);
  }
}

function asError(err: unknown): Error {
  return err instanceof Error ? err : new Error(String(err));
}
