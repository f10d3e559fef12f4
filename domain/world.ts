import { createRandom, type Random, seedOf } from './random.ts';
import { type Ground, neighbours, placesOf } from './town.ts';
import { type Calling, callings, pursuits } from './world-days.ts';
import {
  afterHeard,
  afterOwn,
  afterSeen,
  afterTie,
  clashFrames,
  heardFrames,
  noticedFrames,
  seenFrames,
  sums,
  things,
} from './world-frames.ts';
import { type Moment, type Thread, threads } from './world-threads.ts';
import { matters } from './world-ties.ts';
import { createWriter, type Draft, type Person } from './world-writer.ts';

export interface WorldAgent {
  id: string;
  name: string;
  archetypeId: string;
  traits: readonly string[];
}

export interface WorldOptions {
  seed: number;
  /** ISO time; the world ends at the last UTC midnight before it, so that evenings are evenings. */
  endsAt: string;
  days: number;
}

export interface WorldMemory {
  agentId: string;
  /** The same for the same seed: a world told twice is stored once. */
  externalKey: string;
  kind: 'observation' | 'conversation';
  text: string;
  /** 1–10. */
  importance: number;
  source: 'world';
  occurredAt: string;
}

/** What a memory of the world is about, as its maker knows it: by this the rules that find such things in texts are judged. */
export type WorldSubject =
  /** A public moment: seen, heard of later, or quarrelled over; `telling` is the one of its two that the memory holds. */
  | { of: 'moment'; moment: string; told: 'seen' | 'heard' | 'disputed'; telling: number }
  /** A stage of a matter between two people, which both remember. */
  | { of: 'tie'; tie: string };

interface Resident extends Person {
  id: string;
}

/** Something to be remembered, before it is put into words. */
interface Occasion extends Draft {
  minute: number;
  kind: WorldMemory['kind'];
  importance: number;
  subject?: WorldSubject;
}

/** A town smaller than this is filled up with neighbours, so that everybody has somebody to speak of. */
const leastPeople = 60;
/** Who has business with whom: each has three such ties to those after and three to those before. */
const tieOffsets = [1, 10, 23] as const;
const daysWritten = 30;
const minutesPerDay = 1440;

/**
 * The last month of every agent in one small town: public events seen from different sides and told in contradictory ways,
 * matters between two people that both remember, private pursuits and plain work. Agent by agent, each in order of time;
 * the same for the same agents and seed on every host.
 */
export function* worldMemories(agents: readonly WorldAgent[], options: WorldOptions): Iterable<WorldMemory> {
  for (const { memory } of worldHistory(agents, options)) yield memory;
}

/** The same memories, each with what it is about; those of one's own days are about nothing that another shares. */
export function* worldHistory(
  agents: readonly WorldAgent[],
  options: WorldOptions,
): Iterable<{ memory: WorldMemory; subject: WorldSubject | undefined }> {
  const { seed, days } = options;
  const sorted = agents.toSorted((a, b) => (a.id < b.id ? -1 : 1));
  const town = peopleOf(sorted);
  let self: Person | undefined;
  const writer = createWriter(seed, (random, not) => {
    for (;;) {
      const person = random.pick(town);
      if (person !== self && !not.includes(person)) return person;
    }
  });
  const start = Math.floor(Date.parse(options.endsAt) / 86_400_000) * 86_400_000 - days * 86_400_000;
  for (const [index, agent] of sorted.entries()) {
    self = town[index]!;
    writer.begin();
    const random = createRandom(seedOf(`world/${seed}/${agent.id}`));
    const occasions = [
      ...publicOccasions(town[index]!, town, seed, random),
      ...tieOccasions(index, town, seed, random),
      ...ownOccasions(agent, index, seed, random),
    ].toSorted((a, b) => a.minute - b.minute);
    let last = 0;
    for (const [ordinal, occasion] of occasions.entries()) {
      last = Math.max(last + 1, Math.floor((occasion.minute * 60_000 * days) / daysWritten) + random.int(60_000));
      const memory: WorldMemory = {
        agentId: agent.id,
        externalKey: `world-${seed}-${String(ordinal + 1).padStart(3, '0')}`,
        kind: occasion.kind,
        text: writer.write(occasion, random),
        importance: occasion.importance,
        source: 'world',
        occurredAt: new Date(start + last).toISOString(),
      };
      yield { memory, subject: occasion.subject };
    }
  }
}

function peopleOf(agents: readonly WorldAgent[]): Resident[] {
  const people = agents.map(({ id, name }) => ({ id, name, first: name.split(' ')[0] ?? name }));
  const taken = new Set(people.map((person) => person.name));
  for (const [i, name] of neighbours.entries()) {
    if (people.length >= leastPeople) break;
    if (!taken.has(name)) people.push({ id: `neighbour-${i}`, name, first: name.split(' ')[0] ?? name });
  }
  return people;
}

/** Which telling of a moment somebody holds: each for themselves, and always the same. */
function tellingOf(person: Resident, thread: Thread, moment: Moment, seed: number): 0 | 1 {
  return (seedOf(`telling/${seed}/${thread.id}/${moment.day}-${moment.hour}/${person.id}`) % 2) as 0 | 1;
}

/** Three matters of the town from near by, three more by hearsay, and two quarrels over what was seen. */
function publicOccasions(self: Resident, town: readonly Resident[], seed: number, random: Random): Occasion[] {
  const [one, two, three, ...far] = random.shuffle(threads);
  const seen = [one!, two!, three!].flatMap((thread) =>
    random
      .shuffle(thread.moments)
      .slice(0, 4)
      .map((moment) => ({ thread, moment, telling: tellingOf(self, thread, moment, seed) })),
  );
  const clashes = random.shuffle(seen.filter(({ moment }) => moment.day < daysWritten - 2)).slice(0, 2);
  return [
    ...seen.map(({ thread, moment, telling }): Occasion => {
      const words = { claim: random.pick(moment.tellings[telling]!), spot: moment.at };
      return {
        minute: minuteAt(moment.day, moment.hour, random),
        kind: 'observation',
        importance: moment.importance,
        scene: { day: moment.day, hour: moment.hour, words },
        cores: seenFrames,
        closers: afterSeen,
        subject: { of: 'moment', moment: momentId(thread, moment), told: 'seen', telling },
      };
    }),
    ...clashes.map(({ thread, moment, telling }): Occasion => {
      const { day, hour } = later(moment, random);
      const words = {
        claim: random.pick(moment.tellings[telling]!),
        counter: random.pick(moment.tellings[1 - telling]!),
      };
      const contrary = (person: Resident) => person !== self && tellingOf(person, thread, moment, seed) !== telling;
      const other = drawn(town, random, contrary);
      return {
        minute: minuteAt(day, hour, random),
        kind: 'conversation',
        importance: Math.min(9, moment.importance + 1),
        scene: { day, hour, words, ...(other === undefined ? {} : { other }) },
        cores: clashFrames,
        closers: afterHeard,
        subject: { of: 'moment', moment: momentId(thread, moment), told: 'disputed', telling },
      };
    }),
    ...far.slice(0, 3).map((thread): Occasion => {
      const moment = random.pick(thread.moments.filter(({ day }) => day < daysWritten - 2));
      const { day, hour } = later(moment, random);
      const minute = minuteAt(day, hour, random);
      const wordings = random.pick(moment.tellings);
      return {
        minute,
        kind: 'conversation',
        importance: Math.max(2, moment.importance - 2),
        scene: { day, hour, words: { claim: random.pick(wordings) } },
        cores: heardFrames,
        closers: afterHeard,
        subject: {
          of: 'moment',
          moment: momentId(thread, moment),
          told: 'heard',
          telling: moment.tellings.indexOf(wordings),
        },
      };
    }),
  ];
}

function momentId(thread: Thread, moment: Moment): string {
  return `${thread.id}/${moment.day}-${moment.hour}`;
}

/** On one of the next two days, by day. */
function later(moment: Moment, random: Random): { day: number; hour: number } {
  return { day: moment.day + 1 + random.int(2), hour: 8 + random.int(13) };
}

/** Somebody who suits; in a town where hardly anybody does, nobody, after a fair number of draws. */
function drawn(town: readonly Resident[], random: Random, suits: (person: Resident) => boolean): Resident | undefined {
  for (let draw = 0; draw < 64; draw++) {
    const person = random.pick(town);
    if (suits(person)) return person;
  }
  return undefined;
}

/** Three of the four stages of each matter, on days and in places that both sides share. */
function tieOccasions(index: number, town: readonly Resident[], seed: number, random: Random): Occasion[] {
  const count = town.length;
  return tieOffsets.flatMap((offset, kind) =>
    [
      { side: 'a' as const, first: index, other: (index + offset) % count },
      { side: 'b' as const, first: (index - offset + count) % count, other: (index - offset + count) % count },
    ].flatMap(({ side, first, other }) => {
      const shared = createRandom(seedOf(`tie/${seed}/${kind}/${town[first]!.id}`));
      const matter = matters[(first + 7 * kind + seedOf(`matters/${seed}`)) % matters.length]!;
      const [sum, less] = shared.pick(sums);
      const thing = shared.pick(things);
      const pair = [town[first]!, town[(first + offset) % count]!];
      const third = drawn(town, shared, (person) => !pair.includes(person));
      const left = shared.int(4);
      const firstDay = 1 + shared.int(8);
      return [0, 1, 2, 3].flatMap((stage): Occasion[] => {
        const day = Math.min(daysWritten, firstDay + stage * 6 + shared.int(5));
        const hour = 7 + shared.int(14);
        const at = shared.pick(placesOf(matter.ground));
        if (stage === left) return [];
        return [
          {
            minute: minuteAt(day, hour, random),
            kind: 'conversation',
            importance: [4, 5, 7, 6][stage]!,
            scene: {
              day,
              hour,
              other: town[other]!,
              ...(third === undefined ? {} : { third }),
              at,
              thing,
              words: { sum, less },
              ...onGround(matter.ground),
            },
            cores: [matter[side][stage]!],
            closers: afterTie,
            subject: { of: 'tie', tie: `${kind}/${town[first]!.id}/${stage}` },
          },
        ];
      });
    }),
  );
}

function ownOccasions(agent: WorldAgent, index: number, seed: number, random: Random): Occasion[] {
  const pursuit = pursuits[(index + seedOf(`pursuits/${seed}`)) % pursuits.length]!;
  const firstDay = 1 + random.int(5);
  const occasion = (day: number, importance: number, draft: Omit<Draft, 'scene'>, ground?: Ground): Occasion => {
    const hour = 6 + random.int(16);
    const [sum] = random.pick(sums);
    const scene = { day, hour, words: { sum }, ...onGround(ground) };
    return { minute: minuteAt(day, hour, random), kind: 'observation', importance, scene, ...draft };
  };
  const anyDay = () => 1 + random.int(daysWritten);
  const calling = callingOf(agent);
  const steps = pursuit.steps.map((step, i) => ({ day: firstDay + i * 5 + random.int(5), step }));
  return [
    ...steps.map(({ day, step }) =>
      occasion(day, 3 + random.int(3), { cores: [step], closers: afterOwn }, pursuit.ground),
    ),
    ...random
      .shuffle(calling.work)
      .slice(0, 4)
      .map((line) => occasion(anyDay(), 2 + random.int(3), { cores: [line], closers: afterOwn }, calling.ground)),
    ...Array.from({ length: 4 }, () => occasion(anyDay(), 1 + random.int(3), { cores: noticedFrames, closers: [] })),
  ];
}

function onGround(ground: Ground | undefined): { ground?: Ground } {
  return ground === undefined ? {} : { ground };
}

/** The calling that most of its traits point to; where several do, the archetype decides, so that its agents share one. */
function callingOf({ archetypeId, traits }: WorldAgent): Calling {
  const fit = (calling: Calling) => calling.traits.filter((trait) => traits.includes(trait)).length;
  const most = Math.max(...callings.map(fit));
  const fitting = callings.filter((calling) => fit(calling) === most);
  return fitting[seedOf(`calling/${archetypeId}`) % fitting.length]!;
}

function minuteAt(day: number, hour: number, random: Random): number {
  return (day - 1) * minutesPerDay + hour * 60 + random.int(50);
}
