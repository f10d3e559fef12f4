import { type Random, seedOf } from './random.ts';
import { type Ground, type Place, placesOf, type Weather, weatherClauses } from './town.ts';
import { things, whenOf } from './world-frames.ts';

export interface Person {
  name: string;
  /** What friends say. */
  first: string;
}

/** What a text may speak of; places and people not given are picked. */
export interface Scene {
  day: number;
  hour: number;
  other?: Person;
  third?: Person;
  at?: Place;
  /** Limits the places that are picked. */
  ground?: Ground;
  thing?: string;
  /** Fixed words by slot, such as a claim. */
  words?: Readonly<Record<string, string>>;
}

/** Picks whom a text speaks of, never the one whose memory it is. */
export type PickPerson = (random: Random, not: readonly (Person | undefined)[]) => Person;

/** No sentence is let out oftener than this. One under what is promised, since others may part sentences otherwise. */
const mostRepeats = 2;
const tries = 30;

export interface Draft {
  scene: Scene;
  /** One is picked. */
  cores: readonly string[];
  /** Sentences that may follow; about every second text gets one. */
  closers: readonly string[];
}

/** Fills templates and keeps count of every sentence written, so that a town of thousands still does not repeat itself. */
export function createWriter(seed: number, pickPerson: PickPerson) {
  const counts = new Map<number, number>();

  const accept = (text: string): boolean => {
    const hashes = text.split(/(?<=[.!?])\s+/).map(seedOf);
    if (hashes.some((hash) => (counts.get(hash) ?? 0) >= mostRepeats)) return false;
    for (const hash of hashes) counts.set(hash, (counts.get(hash) ?? 0) + 1);
    return true;
  };

  /** Templates that the one whose memories are being written has used: each is used once before any is used again. */
  let used = new Set<string>();
  const pickFresh = (templates: readonly string[], random: Random): string => {
    const fresh = templates.filter((template) => !used.has(template));
    return random.pick(fresh.length === 0 ? templates : fresh);
  };

  return {
    /** Begins the memories of the next person. */
    begin(): void {
      used = new Set();
    },

    write({ scene, cores, closers }: Draft, random: Random): string {
      let text = '';
      for (let attempt = 0; attempt < tries; attempt++) {
        const slots = createSlots(scene, seed, random, pickPerson);
        const core = pickFresh(cores, random);
        const closer = closers.length > 0 && random.next() < 0.55 ? pickFresh(closers, random) : undefined;
        text = fill(core, slots);
        // A told scene grows by its circumstances where its own words have been used up.
        if (attempt > tries / 2) text = `As I told ${slots('third')} ${whenOf(scene.hour)[0]}, ${lowered(text)}`;
        if (closer !== undefined) text = `${text} ${fill(closer, slots)}`;
        if (!accept(text)) continue;
        used.add(core);
        if (closer !== undefined) used.add(closer);
        break;
      }
      return text;
    },
  };
}

type Slots = (name: string) => string;

/** Slots are picked when first used and stay the same through the text. */
function createSlots(scene: Scene, seed: number, random: Random, pickPerson: PickPerson): Slots {
  const other = scene.other ?? pickPerson(random, [scene.third]);
  const third = scene.third ?? pickPerson(random, [other]);
  const grounds = placesOf(scene.ground);
  const at = scene.at ?? random.pick(grounds);
  const [place, place2] = random.shuffle(grounds.filter((one) => one !== at)) as [Place, Place];
  const slots: Record<string, () => string> = {
    other: () => other.name,
    first: () => other.first,
    third: () => third.name,
    at: () => at.at,
    note: () => random.pick(at.notes),
    place: () => place.name,
    place2: () => place2.name,
    thing: () => scene.thing ?? random.pick(things),
    when: () => random.pick(whenOf(scene.hour)),
    weather: () => random.pick(weatherClauses[weatherOf(seed, scene.day)]),
  };
  const filled = new Map(Object.entries(scene.words ?? {}));
  return (name) => {
    const known = filled.get(name);
    if (known !== undefined) return known;
    const pick = slots[name];
    if (pick === undefined) throw new RangeError(`no slot {${name}}`);
    const word = pick();
    filled.set(name, word);
    return word;
  };
}

function fill(template: string, slots: Slots): string {
  const text = template.replaceAll(/\{(\w+)\}/g, (_, name: string) => slots(name));
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** A sentence set behind another clause keeps its capital only where it begins with a name or "I". */
function lowered(text: string): string {
  const plain = /^(?:With|There|The|On|Over|If|Somebody|According|It|Under|Nobody)\b/.test(text);
  return plain ? text.charAt(0).toLowerCase() + text.slice(1) : text;
}

/** One weather a day for the whole town; the river does not rise from a clear sky. */
function weatherOf(seed: number, day: number): Weather {
  if (day === 9 || day === 10) return 'rain';
  if (day === 11) return 'storm';
  const kinds: readonly Weather[] = ['clear', 'clear', 'rain', 'fog', 'wind', 'frost', 'heat', 'cloud', 'cloud'];
  // Frost and heat do not share a month: the seed has one of the two.
  const other: Weather = seedOf(`season/${seed}`) % 2 === 0 ? 'frost' : 'heat';
  const kind = kinds[seedOf(`weather/${seed}/${day}`) % kinds.length]!;
  return kind === other ? 'clear' : kind;
}
