import { DomainError } from '../domain/errors.ts';
import { personaMaxTokens, personaOutputSchema, personaPrompt } from '../domain/prompts/fit-persona.ts';
import type { PersonaMemory } from '../domain/prompts/persona-2.ts';
import { personaVersion } from '../domain/prompts/versions.ts';
import { seedOf } from '../domain/random.ts';
import {
  childMaskSeed,
  inheritedPersona,
  inheritedPersonaVersion,
  type PersonaSeed,
} from '../domain/spawned-personas.ts';
import { ending } from '../domain/validity.ts';
import { generateStructured } from '../integrations/inference/structured.ts';
import type { MemoryStore } from '../stores/memories.ts';
import type { DraftedPersona, SpawnStore } from '../stores/spawns.ts';
import type { StepResultStore } from '../stores/step-results.ts';
import type { OnMachine, OnMachineFrame } from './machine-calls.ts';

export interface ComposeInput {
  whisperId: string;
  draft: number;
  name: string;
  memoryIds: readonly string[];
  modelId: string;
  queue: string;
}

/** The step that a draft's persona is stored under. */
export function personaStep(draft: number): string {
  return `persona-${draft}`;
}

export interface ComposeDeps {
  spawns: Pick<SpawnStore, 'underWay' | 'dropForgottenDrafts'>;
  memories: Pick<MemoryStore, 'byIds'>;
  steps: StepResultStore;
}

export function createComposePersona({ spawns, memories, steps }: ComposeDeps, onMachine: OnMachineFrame) {
  async function remembered(ownerId: string, ids: readonly string[]): Promise<PersonaMemory[]> {
    const now = new Date();
    return (await memories.byIds(ownerId, ids)).map((memory) => ({ ...memory, ...ending(memory, now) }));
  }

  return {
    /**
     * One draft of a persona, stored under the machine's epoch: by the machine's model, or by rule where it has none. A
     * second execution finds the result.
     */
    async composePersona({ whisperId, draft, name, memoryIds, modelId, queue }: ComposeInput): Promise<void> {
      const key = { workId: whisperId, step: personaStep(draft) };
      if (await steps.read<DraftedPersona>(key)) return spawns.dropForgottenDrafts(whisperId);
      const spawn = await spawns.underWay(whisperId);
      if ('state' in spawn) throw new DomainError('CONFLICT', `${whisperId} has ended`);
      const spends = () => ({ key: `${key.workId}/${key.step}`, agentId: spawn.parent.id, most: 2 * personaMaxTokens });
      await onMachine({ modelId, queue, spends }, async (at) => {
        const seed: PersonaSeed = { seed: `${whisperId}/${draft}`, name, text: spawn.text, parent: spawn.parent };
        const composed =
          at.call.text === undefined
            ? byRule(seed)
            : await byModel(at, seed, await remembered(spawn.ownerId, memoryIds));
        const result: DraftedPersona = { ...composed, modelId };
        await steps.store(key, at.held, result);
        await spawns.dropForgottenDrafts(whisperId);
      });
    },
  };
}

type Composed = Omit<DraftedPersona, 'modelId'>;

function byRule(seed: PersonaSeed): Composed {
  return { ...inheritedPersona(seed), source: 'extractive', promptVersion: inheritedPersonaVersion, tokens: 0 };
}

async function byModel(
  { call, watch, wrote }: OnMachine,
  seed: PersonaSeed,
  memories: readonly PersonaMemory[],
): Promise<Composed> {
  const contextTokens = call.variant.model.context.reflect;
  const prompt = personaPrompt({ ...seed, memories, contextTokens });
  const { value, tokens } = await generateStructured(
    call.text!,
    { ...prompt, model: call.servedAs, maxTokens: personaMaxTokens, contextTokens, seed: seedOf(seed.seed) },
    personaOutputSchema,
    watch,
  );
  wrote(tokens);
  return {
    name: seed.name,
    persona: value.persona,
    traits: [...new Set(value.traits)],
    maskSeed: childMaskSeed(seed),
    source: 'model',
    promptVersion: personaVersion,
    tokens,
  };
}
