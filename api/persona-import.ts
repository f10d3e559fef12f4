import { createHash } from 'node:crypto';
import { type Fleet, fleetAgents } from '../domain/fleet.ts';
import { bornAgentId } from '../domain/ids.ts';
import { fieldError } from '../domain/field-errors.ts';
import { checkCadence } from '../domain/placement-cadence.ts';
import { seedOf } from '../domain/random.ts';
import type { ImportedPersona } from '../integrations/importers/persona-importer.ts';
import type { NewAgent } from '../stores/agents.ts';
import type { NewMemory } from '../stores/memories.ts';
import type { RefuseOverload } from '../stores/personas.ts';

/** @throws INVALID_INPUT where neither the caller nor the name gives an id, or it is one that fleet.yaml makes */
export function importedId(name: string, asked: string | undefined): string {
  if (asked === undefined) {
    const id = bornAgentId(name);
    if (id !== undefined) return id;
    throw fieldError('query.as', 'is required: the name has no letter from a to z', 'Say which id it gets.');
  }
  // Ids that an archetype makes end in a dash and a number.
  if (!/-\d+$/.test(asked)) return asked;
  throw fieldError(
    'query.as',
    'must not end in a dash and a number, which only ids of fleet.yaml do',
    'Choose another id.',
  );
}

/** An imported persona works like an archetype of the fleet: its model, cadence and limits. */
export function workingLike(
  fleet: Fleet,
  archetypeId: string | undefined,
  { id, name, persona, traits }: { id: string } & Pick<ImportedPersona, 'name' | 'persona' | 'traits'>,
): NewAgent {
  const archetype =
    archetypeId === undefined ? fleet.archetypes[0] : fleet.archetypes.find((each) => each.id === archetypeId);
  if (!archetype) {
    const known = fleet.archetypes.map((each) => each.id).join(', ');
    const mend = known === '' ? 'Add one to fleet.yaml; its `count` may be 0.' : `Choose one of ${known}.`;
    throw fieldError('query.archetype', 'must be an archetype of fleet.yaml', mend);
  }
  const { cadence, model, leastClass, mayDegrade, priority, tokensPerDay, expectedTokens, importanceThreshold } =
    archetype;
  return {
    id,
    name,
    archetype: archetype.id,
    persona,
    traits,
    maskSeed: seedOf(`import/${id}`),
    cadence,
    modelId: model,
    leastClass,
    mayDegrade,
    priority,
    tokensPerDay,
    expectedTokens,
    importanceThreshold,
  };
}

/** @returns what throws CADENCE_TOO_FAST where the cards could not keep up with these agents, those of the file among them */
export function overloadOf(fleet: Fleet): RefuseOverload {
  const ofFile = new Set(fleetAgents(fleet).map(({ id }) => id));
  return (agents, rates, services) =>
    checkCadence(
      fleet,
      rates,
      agents.filter(({ id }) => !ofFile.has(id)),
      services,
    );
}

/** The same text is the same memory, so that a second import adds none of them again. */
export function seedMemories(agentId: string, seeds: ImportedPersona['seeds'], now: Date): NewMemory[] {
  return seeds.map(({ text, kind }) => ({
    agentId,
    externalKey: `persona:${createHash('sha256').update(text).digest('hex')}`,
    kind,
    text,
    importance: 5,
    source: 'import',
    occurredAt: now.toISOString(),
  }));
}
