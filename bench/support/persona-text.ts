import { voices } from '../../domain/persona-voices.ts';
import { preoccupations, wants } from '../../domain/persona-words.ts';
import { createRandom, seedOf } from '../../domain/random.ts';
import { neighbours, places } from '../../domain/town.ts';
import { things } from '../../domain/world-frames.ts';
import { threads } from '../../domain/world-threads.ts';

/**
 * What a persona of the shipped fleet would write of its days: something that everybody in town can have seen, and mostly
 * what this persona makes of it. The events, voices, preoccupations and wants are those that the fleet's personas are made of,
 * so personas overlap: all share the events, an archetype shares its traits and trade, a few share what keeps them awake.
 */
export interface Writer {
  id: string;
  persona: string;
  summary: string;
  traits: readonly string[];
}

const events = [
  '{claim}.',
  'I heard from {neighbour} {at} that {claim}.',
  'I saw that {claim}.',
  '{neighbour} swears {at} that {claim}.',
  'I noticed {note} {at}.',
  'With {neighbour} I found {note} {at}.',
  '{neighbour} left {thing} with me {at}.',
];
const saidOf = {
  voice: [
    'That is how it goes with somebody who {word}.',
    'It takes one who {word} to see it.',
    'They say in the street that I am the one who {word}, and today I was.',
    'I am still the one who {word}, and it showed.',
    'A person who {word} hears such news otherwise.',
    'Nobody who {word} would have let it pass.',
  ],
  preoccupation: [
    'I came back to {word}.',
    'Under it I found {word} again.',
    'All of it leads to {word}, as everything does with me.',
    'Since then I have thought of {word} and little else.',
  ],
  want: [
    'All I wish for is {word}.',
    'It brought me no nearer to what I want: {word}.',
    'One day it will let me have my wish, {word}.',
  ],
  trade: ['It belongs to my trade: somebody here {word}.', 'So it is for one who {word}.'],
} as const;

/** @param silent share of texts that tell an event and nothing of the persona; of the rest half say one thing of it, half two */
export function writtenBy(
  { id, persona, summary, traits }: Writer,
  count: number,
  seed: number,
  silent: number,
): string[] {
  const random = createRandom(seedOf(`writer/${seed}/${id}`));
  const words: Array<[keyof typeof saidOf, readonly string[]]> = [
    ['voice', traits.flatMap((trait) => voices[trait] ?? [])],
    ['preoccupation', preoccupations.filter((each) => persona.includes(each))],
    ['want', wants.filter((each) => persona.includes(each))],
    ['trade', /^[a-z]/.test(summary) ? [summary] : []],
  ];
  const known = words.filter(([, each]) => each.length > 0);
  return Array.from({ length: count }, () => {
    const place = random.pick(places);
    const slots: Record<string, string> = {
      claim: random.pick(random.pick(random.pick(random.pick(threads).moments).tellings)),
      neighbour: random.pick(neighbours),
      at: place.at,
      note: random.pick(place.notes),
      thing: random.pick(things),
    };
    const event = random.pick(events).replaceAll(/\{(\w+)\}/g, (_, name: string) => slots[name]!);
    const said = random.next() < silent ? 0 : random.next() < 0.5 ? 1 : 2;
    const own = random
      .shuffle(known)
      .slice(0, said)
      .map(([kind, each]) => random.pick<string>(saidOf[kind]).replace('{word}', random.pick(each)));
    return [event.charAt(0).toUpperCase() + event.slice(1), ...own].join(' ');
  });
}
