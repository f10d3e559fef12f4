import type { FleetAgent } from './fleet.ts';
import { givenNames, origins, preoccupations, secondNames, wants } from './persona-words.ts';
import { voices } from './persona-voices.ts';
import { createRandom, type Random, seedOf } from './random.ts';
import { places } from './town.ts';

export interface Persona {
  name: string;
  /** Two to four sentences; a stranger could play the part from them. */
  persona: string;
  maskSeed: number;
  traits: string[];
}

/** Who an agent is at birth: made from its id, archetype and seeds alone, so the same on every host. */
export function personaOf(agent: FleetAgent): Persona {
  const { archetype, override } = agent;
  const given = givenName(archetype.id, agent.ordinal);
  const name = override?.name ?? `${given.full} ${houseOf(archetype.id)}`;
  const maskSeed = override?.maskSeed ?? seedOf(`${archetype.maskSeed}/${agent.id}`);
  const traits = [...agent.traits];
  const said = {
    name,
    given: override?.name === undefined ? given.first : (name.split(' ')[0] ?? name),
    summary: override?.summary ?? archetype.summary,
    traits,
  };
  return {
    name,
    persona: override?.persona ?? personaText(said, createRandom(seedOf(`persona/${agent.id}/${maskSeed}`))),
    maskSeed,
    traits,
  };
}

/** The archetype as a family name: injective, so that names of two archetypes never meet. */
export function houseOf(archetypeId: string): string {
  return archetypeId.replaceAll(/(^|-)([a-z0-9])/g, (_, dash: string, letter: string) => dash + letter.toUpperCase());
}

/** No two ordinals of an archetype share it: a shuffled round of names, then rounds with a second name, then numbers. */
function givenName(archetypeId: string, ordinal: number): { first: string; full: string } {
  const index = ordinal - 1;
  const round = Math.floor(index / givenNames.length);
  const first = shuffled(archetypeId)[index % givenNames.length]!;
  if (round === 0) return { first, full: first };
  const second = secondNames[(round - 1) % secondNames.length]!;
  const again = Math.floor((round - 1) / secondNames.length);
  return { first, full: again === 0 ? `${first} ${second}` : `${first} ${second} ${again + 1}` };
}

const shuffles = new Map<string, readonly string[]>();
function shuffled(archetypeId: string): readonly string[] {
  let names = shuffles.get(archetypeId);
  if (names === undefined) {
    names = createRandom(seedOf(`names/${archetypeId}`)).shuffle(givenNames);
    shuffles.set(archetypeId, names);
  }
  return names;
}

export interface PersonaParts {
  name: string;
  given: string;
  summary: string;
  traits: readonly string[];
}

export function personaText({ name, given, summary, traits }: PersonaParts, random: Random): string {
  const place = random.pick(places);
  const fill = (template: string) =>
    capital(
      template
        .replaceAll('{given}', () => given)
        .replaceAll('{at}', place.at)
        .replaceAll('{place}', place.name),
    );
  const work = /^[a-z]/.test(summary) ? `${name} ${summary}` : `This is ${name}. ${summary}`;
  const [one, two] = random.shuffle(traits);
  const voice = two === undefined ? voiceOf(one!, random) : `${voiceOf(one!, random)}, and ${voiceOf(two, random)}`;
  const preoccupation = random.pick(preoccupations);
  const want = random.pick(wants);
  const heart = random.pick([
    `Lately {given} cannot put down ${preoccupation}, and wants, above all, ${want}`,
    `What keeps {given} awake is ${preoccupation}; the hope behind it is ${want}`,
    `Ask about ${preoccupation} and {given} will talk until the lamps go out, though the real wish is ${want}`,
    `Sooner or later {given} comes back to ${preoccupation}, and hopes, without saying so, ${want}`,
  ]);
  return [work, fill(random.pick(origins)), fill(`{given} ${voice}`), fill(heart)].map(sentence).join(' ');
}

function voiceOf(trait: string, random: Random): string {
  const known = Object.hasOwn(voices, trait) ? voices[trait] : undefined;
  return random.pick(
    known ?? [
      `has been called “${trait}” often enough to believe it`,
      `answers to the word “${trait}” without arguing`,
    ],
  );
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function sentence(text: string): string {
  return /[.!?]$/.test(text) ? text : `${text}.`;
}
