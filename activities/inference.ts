import { DomainError } from '../domain/errors.ts';
import { reflectionMaxTokens } from '../domain/reflections.ts';
import type { MemoryStore } from '../stores/memories.ts';
import type { ReflectionStep } from '../stores/reflections.ts';
import type { RunStore } from '../stores/runs.ts';
import type { SpawnStore } from '../stores/spawns.ts';
import type { StepResultStore } from '../stores/step-results.ts';
import { createComposePersona } from './compose-persona.ts';
import { createOnMachine, type MachineCallDeps } from './machine-calls.ts';

export interface InferenceDeps extends MachineCallDeps {
  memories: MemoryStore;
  runs: RunStore;
  steps: StepResultStore;
  spawns: SpawnStore;
}

export interface ReflectInput {
  runId: string;
  step: string;
  modelId: string;
  queue: string;
  /** How many times the run has asked a machine, this one included. */
  attempt: number;
}

/** What inference queues run: every activity here calls a model of the machine it runs on. */
export function createInferenceActivities(deps: InferenceDeps) {
  const { memories, runs, steps } = deps;
  const onMachine = createOnMachine(deps);

  return {
    ...createComposePersona(deps, onMachine),

    /** One reflection, stored under the machine's epoch. A second execution finds the result. */
    async reflect({ runId, step, modelId, queue, attempt }: ReflectInput): Promise<{ tokens: number }> {
      const key = { workId: runId, step };
      const standing = await steps.read<ReflectionStep>(key);
      if (standing) return { tokens: standing.tokens };
      const run = await runs.openRun(runId);
      if (!run) throw new DomainError('CONFLICT', `run ${runId} has ended`);

      return onMachine({ modelId, queue }, async ({ held, call, watch, seconds, wrote }) => {
        const [agent, due] = await Promise.all([
          runs.reflectingAgent(run.agentId),
          memories.between(run.agentId, run.fromSeq, run.toSeq),
          runs.working(runId, held.machineId, attempt),
        ]);
        const contextTokens = call.variant.model.context.reflect;
        const outcome = await call.inference.reflect(
          {
            agent,
            memories: due,
            model: call.servedAs,
            contextTokens,
            maxTokens: reflectionMaxTokens(contextTokens),
          },
          watch,
        );
        wrote(outcome.tokens);
        const result: ReflectionStep = { ...outcome, modelId, machineId: held.machineId, seconds: seconds() };
        const stored = await steps.store(key, held, result);
        return { tokens: stored.tokens };
      });
    },
  };
}
export type InferenceActivities = ReturnType<typeof createInferenceActivities>;
