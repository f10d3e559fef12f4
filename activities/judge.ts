import {
  type JudgementKind,
  judgementLimits,
  type JudgementSample,
  judgementStep,
  shareOf,
  verdictsSchema,
} from '../domain/consistency.ts';
import { DomainError } from '../domain/errors.ts';
import { judgePrompt } from '../domain/prompts/fit-judge.ts';
import { judgeVersion } from '../domain/prompts/versions.ts';
import { callSeed } from '../domain/reflection-calls.ts';
import { generateStructured } from '../integrations/inference/structured.ts';
import type { JudgedAgent, JudgementStore } from '../stores/judgements.ts';
import type { StepResultStore } from '../stores/step-results.ts';
import type { OnMachineFrame } from './machine-calls.ts';

export interface JudgeDeps {
  judgements: Pick<JudgementStore, 'judged'>;
  steps: StepResultStore;
}

export interface JudgeInput {
  ratingId: string;
  kind: JudgementKind;
  /** From 1 on: the same question asked again, with another seed. */
  sample: number;
  modelId: string;
  queue: string;
}

/** `none`: nothing can be judged on this machine, however often it is asked. */
export type Judged = { kind: 'sampled' } | { kind: 'none'; reason: string };

/** One sample of one judgement, stored under the machine's epoch. A second execution finds it. */
export function createJudge({ judgements, steps }: JudgeDeps, onMachine: OnMachineFrame) {
  return async function judge({ ratingId, kind, sample, modelId, queue }: JudgeInput): Promise<Judged> {
    const step = judgementStep(kind, sample);
    const key = { workId: ratingId, step };
    if (await steps.read<JudgementSample>(key)) return { kind: 'sampled' };
    let agent: JudgedAgent | undefined;
    const before = async () => {
      agent = await judgements.judged(ratingId);
    };
    const spends = () => ({
      key: `${ratingId}/${step}`,
      agentId: agent?.agentId ?? '',
      most: 2 * judgementLimits.maxTokens,
    });
    return onMachine({ modelId, queue, before, spends }, async ({ held, call, watch, wrote }) => {
      if (!call.text) return { kind: 'none', reason: `${held.machineId} has no model in place of ${modelId}` };
      if (!agent || agent.lines.length === 0) return { kind: 'none', reason: 'what was to be judged is gone' };
      const contextTokens = call.variant.model.context.reflect;
      const prompt = judgePrompt({ kind, agent, lines: agent.lines, contextTokens });
      if (!prompt) return { kind: 'none', reason: `not one line fits the context of ${contextTokens} tokens` };
      const { value, tokens } = await generateStructured(
        call.text,
        {
          model: call.servedAs,
          messages: prompt.messages,
          maxTokens: judgementLimits.maxTokens,
          contextTokens,
          seed: callSeed(ratingId, step),
          schemaName: 'verdicts',
          jsonSchema: prompt.jsonSchema,
        },
        verdictsSchema,
        watch,
      );
      wrote(tokens);
      const share = shareOf(value, prompt.asked);
      if (!share) throw new DomainError('MODEL_OUTPUT_INVALID', `verdicts on too few of ${prompt.asked.length}`);
      const result: JudgementSample = {
        ...share,
        kind,
        tokens,
        modelId,
        machineId: held.machineId,
        promptVersion: judgeVersion,
      };
      await steps.store(key, held, result);
      return { kind: 'sampled' };
    });
  };
}
