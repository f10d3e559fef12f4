import { parseArgs } from 'node:util';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseFleet } from '../config/fleet-file.ts';
import { driftLimits, driftOf, driftSpans, nextDriftState, personaText, teaches } from '../domain/drift.ts';
import { fleetAgents, fleetSchema } from '../domain/fleet.ts';
import { createSpaceBuilder, inSpace, type PersonaSpace } from '../domain/persona-space.ts';
import { personaOf } from '../domain/personas.ts';
import { createRandom, type Random } from '../domain/random.ts';
import type { DriftState } from '../domain/states.ts';
import { createBuiltInEmbedder } from '../integrations/embeddings/built-in.ts';
import { areaUnderCurve } from './support/area-under-curve.ts';
import { type Writer, writtenBy } from './support/persona-text.ts';

/**
 * Drift of personas of the shipped fleet, on real vectors of the built-in model. Positive: 30 % of the window's outputs are
 * another persona's (any other, also of the same archetype), at random places. Negative: the same window as it was written.
 * False flags: the share of agents that the whole rule flags at least once, over ratings of a stream of their own outputs alone.
 */
const { values: given } = parseArgs({
  options: {
    agents: { type: 'string', default: '80' },
    seed: { type: 'string', default: '1' },
    /** Share of texts that say nothing of their persona. */
    silent: { type: 'string', default: '0.2' },
  },
});
const [agentCount, seed, silent] = [Number(given.agents), Number(given.seed), Number(given.silent)];
const outputs = 200;
const newOutputs = 5;
const mixedShare = 0.3;
const mixings = 5;
/** Other settings, to show what one is traded for. */
const thresholds = [2.5, 3, 3.5, 4, 5];
const settings = fleetSchema.shape.drift.parse({});
const dimensions = 512;

interface Speaker {
  id: string;
  persona: Float32Array;
  said: Float32Array[];
}

const speakers = await speak(drawWriters());
const builder = createSpaceBuilder(dimensions);
for (const { said } of speakers) builder.add(said.filter((_, place) => teaches(place)));
const space = builder.build();
if (!space) throw new Error('too few agents for a persona space');

const perMixing = Array.from({ length: mixings }, (_, i) => measure(createRandom(1_000 * seed + i)));
const spread = (pick: (each: (typeof perMixing)[number]) => number) => {
  const all = perMixing.map(pick);
  return [Math.min(...all), Math.max(...all)].map(rounded);
};
const mean = (pick: (each: (typeof perMixing)[number]) => number) =>
  rounded(perMixing.reduce((sum, each) => sum + pick(each), 0) / mixings);
const streams = speakers.map((speaker) => stream(speaker));
process.stdout.write(
  `${JSON.stringify({
    auc_mix30: mean((each) => each.product),
    auc_baseline: mean((each) => Math.max(each.last, each.lastInSpace)),
    false_flags: rounded(
      streams.filter(({ states }) => states.some((state) => state !== 'calm')).length / speakers.length,
    ),
    auc_spread: spread((each) => each.product),
    auc_plain_formula: mean((each) => each.plain),
    auc_last_message_plain: mean((each) => each.last),
    found_at_once: mean((each) => each.found),
    by_threshold: thresholds.map((threshold, i) => ({
      driftingAt: threshold,
      found_at_once: mean((each) => each.caught[i]!),
      false_flags: rounded(streams.filter(({ most }) => most >= threshold).length / speakers.length),
    })),
    ratings_per_agent: streams[0]!.states.length,
    agents: speakers.length,
    window: settings.window,
    silent,
    seed,
  })}\n`,
);

/** One draw of who is mixed with whom, and where. */
function measure(random: Random) {
  const caught = thresholds.map(() => 0);
  const scores = {
    product: pairs(),
    plain: pairs(),
    last: pairs(),
    lastInSpace: pairs(),
  };
  let found = 0;
  for (const speaker of speakers) {
    const total = outputs - random.int(40);
    const own = speaker.said.slice(0, total);
    const mixed = mixedWith(own, speaker, random);
    for (const [said, into] of [
      [own, 'negative'],
      [mixed, 'positive'],
    ] as const) {
      const z = rate(speaker, said, space).z ?? 0;
      scores.product[into].push(z);
      if (into === 'positive') {
        if (nextDriftState('calm', z, settings) !== 'calm') found += 1;
        for (const [i, threshold] of thresholds.entries()) if (z >= threshold) caught[i]! += 1 / speakers.length;
      }
      scores.plain[into].push(rate(speaker, said, undefined).z ?? 0);
      scores.last[into].push(lastMessage(speaker, said, undefined));
      scores.lastInSpace[into].push(lastMessage(speaker, said, space));
    }
  }
  return {
    product: areaUnderCurve(scores.product),
    plain: areaUnderCurve(scores.plain),
    last: areaUnderCurve(scores.last),
    lastInSpace: areaUnderCurve(scores.lastInSpace),
    found: found / speakers.length,
    caught,
  };
}

function pairs(): { positive: number[]; negative: number[] } {
  return { positive: [], negative: [] };
}

function mixedWith(own: readonly Float32Array[], speaker: Speaker, random: Random): Float32Array[] {
  const { windowFrom } = driftSpans(own.length, settings);
  const size = own.length - windowFrom;
  let other = speaker;
  while (other === speaker) other = random.pick(speakers);
  const theirs = random.shuffle(other.said.slice(windowFrom));
  const mixed = [...own];
  const at = random.shuffle(Array.from({ length: size }, (_, i) => windowFrom + i));
  for (const [i, place] of at.slice(0, Math.round(size * mixedShare)).entries()) mixed[place] = theirs[i]!;
  return mixed;
}

function rate({ id, persona }: Speaker, said: readonly Float32Array[], within: PersonaSpace | undefined) {
  return driftOf({
    agentId: id,
    persona,
    spans: driftSpans(said.length, settings),
    outputAt: (place) => said[place]!,
    outputs: said.length,
    space: within,
  });
}

/** The baseline: 1 − cosine of the last message and an anchor of the persona and the same first outputs. */
function lastMessage({ persona }: Speaker, said: readonly Float32Array[], within: PersonaSpace | undefined): number {
  const laid = (vector: ArrayLike<number>) => (within ? inSpace(within, vector) : vector);
  const first = driftSpans(said.length, settings).anchor.map((place) => laid(said[place]!));
  const anchor = Float64Array.from(
    laid(persona),
    (value, i) => 10 * value + first.reduce((sum, each) => sum + each[i]!, 0),
  );
  const last = laid(said.at(-1)!);
  let product = 0;
  for (let i = 0; i < anchor.length; i += 1) product += anchor[i]! * last[i]!;
  return 1 - product / Math.hypot(...anchor);
}

/** The states of an agent that says nothing but its own, rated again after every few outputs. */
function stream(speaker: Speaker): { states: DriftState[]; most: number } {
  const states: DriftState[] = [];
  let most = Number.NEGATIVE_INFINITY;
  let state: DriftState = 'calm';
  for (let total = driftLimits.leastOutputs; total <= outputs; total += newOutputs) {
    const { z } = rate(speaker, speaker.said.slice(0, total), space);
    most = Math.max(most, z ?? most);
    state = nextDriftState(state, z, settings);
    states.push(state);
  }
  return { states, most };
}

function drawWriters(): Writer[] {
  const parsed = parseFleet(readFileSync(fileURLToPath(new URL('../fleet.yaml', import.meta.url)), 'utf8'));
  if ('errors' in parsed) throw new Error('the shipped fleet.yaml has errors');
  const all = fleetAgents(parsed.fleet).map((agent) => {
    const { persona, traits } = personaOf(agent);
    return { id: agent.id, persona, traits, summary: agent.archetype.summary };
  });
  return createRandom(seed).shuffle(all).slice(0, agentCount);
}

async function speak(writers: readonly Writer[]): Promise<Speaker[]> {
  const embedder = createBuiltInEmbedder();
  try {
    const said: Speaker[] = [];
    for (const [i, writer] of writers.entries()) {
      const [persona, ...vectors] = await embedder.embed([
        personaText(writer),
        ...writtenBy(writer, outputs, seed, silent),
      ]);
      said.push({ id: writer.id, persona: persona!, said: vectors });
      if (i % 10 === 9) process.stderr.write(`${i + 1} of ${writers.length} agents have spoken\n`);
    }
    return said;
  } finally {
    await embedder.close();
  }
}

function rounded(value: number): number {
  return Math.round(value * 1000) / 1000;
}
