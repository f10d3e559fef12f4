import type { PlacementAgent } from './placement-input.ts';

/** Where a model's agents may live: a machine that holds it, with the tokens a second it can serve there. */
export interface Place {
  machineId: string;
  tokensPerSecond: number;
}

export interface HomeQuestion {
  /** In order of id. */
  agents: readonly PlacementAgent[];
  places: readonly Place[];
}

export interface HomeAnswer {
  /** Home of each agent, under its index. */
  homes: string[];
  /** Tokens a second asked of each place, under its index. */
  asked: number[];
}

/** An agent stays at its home until its model's load there is this share of all its demand over an even one. */
const stickySlack = 0.1;

/**
 * Spreads each model's agents over the machines that hold it, so that the machines' loads come out even. Models with the fewest places go
 * first: the others can give way. An agent stays where it was unless that would tip the balance.
 */
export function chooseHomes(
  questions: ReadonlyMap<string, HomeQuestion>,
  before: Readonly<Record<string, string>>,
): Map<string, HomeAnswer> {
  const loads = new Map<string, number>();
  const answers = new Map<string, HomeAnswer>();
  const order = [...questions].toSorted(
    ([a, one], [b, other]) => one.places.length - other.places.length || (a < b ? -1 : 1),
  );
  for (const [modelId, { agents, places }] of order) {
    const demand = agents.reduce((sum, agent) => sum + agent.tokensPerSecond, 0);
    const quotas = evenQuotas(demand, places, loads);
    const answer = settle(agents, places, quotas, demand * stickySlack, before);
    places.forEach((place, i) => {
      loads.set(place.machineId, (loads.get(place.machineId) ?? 0) + answer.asked[i]! / place.tokensPerSecond);
    });
    answers.set(modelId, answer);
  }
  return answers;
}

/** Pours the demand into the places, least loaded first, until it is spent. */
function evenQuotas(demand: number, places: readonly Place[], loads: ReadonlyMap<string, number>): number[] {
  const filled = places
    .map((place, i) => ({ i, load: loads.get(place.machineId) ?? 0, rate: place.tokensPerSecond }))
    .toSorted((a, b) => a.load - b.load || a.i - b.i);
  const quotas = places.map(() => 0);
  let rate = 0;
  let weighed = 0;
  let level = 0;
  for (const [n, place] of filled.entries()) {
    rate += place.rate;
    weighed += place.rate * place.load;
    level = (demand + weighed) / rate;
    const next = filled[n + 1];
    if (!next || next.load >= level) break;
  }
  for (const place of filled) quotas[place.i] = Math.max(0, level - place.load) * place.rate;
  return quotas;
}

function settle(
  agents: readonly PlacementAgent[],
  places: readonly Place[],
  quotas: readonly number[],
  slack: number,
  before: Readonly<Record<string, string>>,
): HomeAnswer {
  const placeAt = new Map(places.map((place, i) => [place.machineId, i]));
  const asked = places.map(() => 0);
  const homes = agents.map(() => '');
  const settleAt = (agent: number, place: number) => {
    homes[agent] = places[place]!.machineId;
    asked[place]! += agents[agent]!.tokensPerSecond;
  };
  const moving: number[] = [];
  agents.forEach((agent, i) => {
    const home = placeAt.get(before[agent.id] ?? '');
    if (home !== undefined && asked[home]! + agent.tokensPerSecond <= quotas[home]! + slack) settleAt(i, home);
    else moving.push(i);
  });
  // The place with most of its quota left takes the next one; filled to their quotas in turn, so that a million comparisons stay a few.
  let place = 0;
  const full = (at: number, agent: PlacementAgent) => asked[at]! + agent.tokensPerSecond / 2 > quotas[at]!;
  for (const i of moving) {
    while (place < places.length - 1 && full(place, agents[i]!)) place += 1;
    settleAt(i, full(place, agents[i]!) ? roomiest(quotas, asked) : place);
  }
  return { homes, asked };
}

function roomiest(quotas: readonly number[], asked: readonly number[]): number {
  let best = 0;
  for (let i = 1; i < quotas.length; i += 1) {
    if (quotas[i]! - asked[i]! > quotas[best]! - asked[best]!) best = i;
  }
  return best;
}
