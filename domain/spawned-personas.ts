import { cleanLine } from './clean-text.ts';
import { givenNames } from './persona-words.ts';
import { houseOf, type Persona, personaText } from './personas.ts';
import { createRandom, seedOf } from './random.ts';
import { stopWords } from './stop-words.ts';

/** Names the rule by which a persona was made without a model. */
export const inheritedPersonaVersion = 'inherited/1';

const onsets = [
  'b',
  'br',
  'c',
  'd',
  'dr',
  'f',
  'g',
  'gr',
  'h',
  'k',
  'l',
  'm',
  'n',
  'p',
  'r',
  's',
  'st',
  't',
  'th',
  'tr',
  'v',
  'w',
];
const vowels = ['a', 'e', 'i', 'o', 'u', 'ae', 'ia'];
const endings = ['', 'l', 'la', 'm', 'n', 'na', 'nd', 'r', 'ra', 'ric', 's', 'sa', 'th', 'va'];

/**
 * Names a child of an archetype may carry, in the order in which they are to be tried: two syllables and an ending, as a
 * mouth can say them, and none that fleet.yaml gives its own, so that no later apply meets a name that is taken.
 */
export function childNames(archetypeId: string, seed: string, count: number): string[] {
  const random = createRandom(seedOf(`child/${seed}`));
  const given = new Set(givenNames);
  const names = new Set<string>();
  while (names.size < count) {
    const word = `${random.pick(onsets)}${random.pick(vowels)}${random.pick(onsets)}${random.pick(vowels)}${random.pick(endings)}`;
    const name = word.charAt(0).toUpperCase() + word.slice(1);
    if (!given.has(name)) names.add(`${name} ${houseOf(archetypeId)}`);
  }
  return [...names];
}

export interface PersonaSeed {
  /** Of whisper and draft: another draft is another persona. */
  seed: string;
  name: string;
  /** The whisper's words. */
  text: string;
  parent: { name: string; persona: string; traits: readonly string[]; maskSeed: number };
}

/** The public face (mask) of a child: by rule from its parent's and the draft. */
export function childMaskSeed({ seed, parent }: Pick<PersonaSeed, 'seed' | 'parent'>): number {
  return seedOf(`${parent.maskSeed}/${seed}`);
}

/**
 * A child's persona without a model: its parent's traits, the whisper's own words, and the sentences of domain/personas.ts.
 * The same seed gives the same persona; nothing is claimed of the whisper but that it said what it said.
 */
export function inheritedPersona(input: PersonaSeed): Persona {
  const { seed, name, text, parent } = input;
  const maskSeed = childMaskSeed(input);
  const random = createRandom(seedOf(`persona/${seed}/${maskSeed}`));
  const traits = [...random.shuffle(parent.traits).slice(0, 2), ...random.shuffle(wordsOf(text)).slice(0, 2)];
  const said = {
    name,
    given: name.split(' ')[0] ?? name,
    summary: `was called by the words “${quoted(text)}”, of ${parent.name}`,
    traits,
  };
  return { name, maskSeed, traits, persona: personaText(said, random) };
}

const mostQuoted = 160;

/** The whisper on one line, cut at a word. */
function quoted(text: string): string {
  const line = cleanLine(text).replaceAll(/[“”]/g, '"');
  if (line.length <= mostQuoted) return line.replace(/[.!?…]+$/, '');
  return `${line.slice(0, mostQuoted).replace(/\s+\S*$/, '')}…`;
}

/** Words that say something, each once, as traits; a whisper of other letters than these has none. */
function wordsOf(text: string): string[] {
  const words = text.toLowerCase().match(/[a-z]{4,20}/g) ?? [];
  return [...new Set(words)].filter((word) => !stopWords.has(word)).slice(0, 12);
}
