import {
  type ComposedDrop,
  compositionStep,
  evidenceOf,
  extractiveDrop,
  extractiveDropVersion,
} from '../domain/compositions.ts';
import { DomainError } from '../domain/errors.ts';
import { dropMaxTokens, dropOutputSchema, dropPrompt } from '../domain/prompts/fit-drop.ts';
import { dropVersion } from '../domain/prompts/versions.ts';
import { seedOf } from '../domain/random.ts';
import { generateStructured } from '../integrations/inference/structured.ts';
import type { CompositionStore, OpenComposition } from '../stores/compositions.ts';
import type { StepResultStore } from '../stores/step-results.ts';
import type { OnMachine, OnMachineFrame } from './machine-calls.ts';

export interface ComposeDropInput {
  compositionId: string;
  modelId: string;
  queue: string;
}

export interface ComposeDropDeps {
  compositions: Pick<CompositionStore, 'underWay'>;
  steps: StepResultStore;
}

export function createComposeDrop({ compositions, steps }: ComposeDropDeps, onMachine: OnMachineFrame) {
  /** A drop, stored under the machine's epoch: by the machine's model, or by rule where it has none. A second execution finds it. */
  return async function composeDrop({ compositionId, modelId, queue }: ComposeDropInput): Promise<void> {
    const key = { workId: compositionId, step: compositionStep };
    if (await steps.read<ComposedDrop>(key)) return;
    const composition = await compositions.underWay(compositionId);
    if (composition === undefined) throw new DomainError('CONFLICT', `${compositionId} has ended`);
    const spends = () => ({
      key: `${compositionId}/${compositionStep}`,
      agentId: composition.agent.id,
      most: 2 * dropMaxTokens,
    });
    await onMachine({ modelId, queue, spends }, async (at) => {
      const composed = at.call.text === undefined ? byRule(composition) : await byModel(at, composition);
      await steps.store(key, at.held, { ...composed, modelId } satisfies ComposedDrop);
    });
  };
}

type Composed = Omit<ComposedDrop, 'modelId'>;

function byRule({ reflections }: OpenComposition): Composed {
  const drop = extractiveDrop(reflections);
  if (drop === undefined) throw new DomainError('MODEL_OUTPUT_INVALID', 'no reflection can stand in public as it is');
  return { ...drop, short: '', source: 'extractive', promptVersion: extractiveDropVersion, tokens: 0 };
}

async function byModel(
  { call, watch, wrote }: OnMachine,
  { id, agent, reflections }: OpenComposition,
): Promise<Composed> {
  const contextTokens = call.variant.model.context.reflect;
  const { shown, ...prompt } = dropPrompt({ agent, reflections, contextTokens });
  if (shown === 0)
    throw new DomainError('MODEL_REFUSED', `not one reflection fits the context of ${contextTokens} tokens`);
  const { value, tokens } = await generateStructured(
    call.text!,
    { ...prompt, model: call.servedAs, maxTokens: dropMaxTokens, contextTokens, seed: seedOf(id) },
    dropOutputSchema,
    watch,
  );
  wrote(tokens);
  const evidence = evidenceOf(value.evidence, reflections.slice(0, shown));
  if (evidence.length === 0)
    throw new DomainError('MODEL_OUTPUT_INVALID', 'the drop rests on nothing that the model was shown');
  return { ...value, evidence, source: 'model', promptVersion: dropVersion, tokens };
}
