import { fieldError } from '../domain/field-errors.ts';
import { type Fleet, modelVariants } from '../domain/fleet.ts';
import type { LoopLine } from '../domain/loop-memories.ts';
import type { ReadLoop } from '../domain/loop-packages.ts';
import type { NewAgent } from '../stores/agents.ts';
import type { NewMemory } from '../stores/memories.ts';
import { importedId, workingLike } from './persona-import.ts';
import { toldMemory } from './told-memories.ts';

export interface InstallWish {
  as?: string | undefined;
  name?: string | undefined;
  archetype?: string | undefined;
}

/**
 * The agent of a package as it is born here. It works as it did where the fleet has its model: cadence, least card and
 * thresholds come with it, priority and tokens a day are this fleet's own. With another archetype it works like that.
 * @throws INVALID_INPUT where the fleet has no such model and nobody says what to work like
 */
export function loopAgent(
  fleet: Fleet,
  { manifest, persona }: Pick<ReadLoop, 'manifest' | 'persona'>,
  wish: InstallWish,
): NewAgent {
  const { needs } = manifest;
  const name = wish.name ?? persona.name;
  const own = { id: importedId(name, wish.as), name, persona: persona.persona, traits: persona.traits };
  const maskSeed = persona.mask.seed;
  if (wish.archetype !== undefined) return { ...workingLike(fleet, wish.archetype, own), maskSeed };
  const archetype =
    fleet.archetypes.find(({ id }) => id === needs.archetype) ??
    fleet.archetypes.find(({ model }) => model === needs.model);
  if (!archetype || !modelVariants(fleet).some(({ id }) => id === needs.model)) {
    throw fieldError(
      'query.archetype',
      `is required: the package works with ${needs.model}, and this fleet has ${archetype ? 'no such model' : 'no archetype for it'}`,
      `Choose the archetype that it is to work like: ${fleet.archetypes.map(({ id }) => id).join(', ')}.`,
    );
  }
  const { cadence, model: modelId, leastClass, mayDegrade, expectedTokens, importanceThreshold } = needs;
  return {
    ...workingLike(fleet, archetype.id, own),
    maskSeed,
    cadence,
    modelId,
    leastClass,
    mayDegrade,
    expectedTokens,
    importanceThreshold,
  };
}

/** Memories of a package as those of the agent, under the keys that they came with. */
export function loopMemories(agentId: string, lines: readonly LoopLine[], now: Date): NewMemory[] {
  return lines.map((line) => toldMemory(agentId, line, now));
}
