import type { ModelVariant } from './fleet.ts';
import type { Residency } from './placement-gpu.ts';
import { mayHold, type PlacementAgent, type PlacementInput } from './placement-input.ts';
import { type Demand, fits, type Problem, type Span, usableGiB } from './placement-problem.ts';
import { smallerFor } from './placement-reasons.ts';
import { spansFor } from './placement-span.ts';
import { classGiB } from './task-queues.ts';
import { classOf, footprint } from './vram.ts';

/** Agents alike in all that decides which model serves them. */
export interface Kind {
  sample: PlacementAgent;
  own: ModelVariant | undefined;
  smaller: ModelVariant | undefined;
  agents: PlacementAgent[];
}

export interface Cast {
  variants: ReadonlyMap<string, ModelVariant>;
  kinds: Kind[];
  /** Whether some living card, or a machine's cards together where declared, holds the model. */
  holdable(variant: ModelVariant): boolean;
  spanning(variant: ModelVariant): boolean;
}

export function createCast(input: PlacementInput, agents: readonly PlacementAgent[]): Cast {
  const variants = new Map(input.models.map((variant) => [variant.id, variant]));
  const byKey = new Map<string, Kind>();
  for (const agent of agents) {
    const key = `${agent.modelId} ${agent.mayDegrade} ${agent.leastClass} ${agent.isService ?? false}`;
    let kind = byKey.get(key);
    if (!kind) {
      const own = variants.get(agent.modelId);
      const served = own && classGiB(classOf(own)) >= classGiB(agent.leastClass) ? own : undefined;
      kind = { sample: agent, own: served, smaller: smallerFor(agent, variants), agents: [] };
      byKey.set(key, kind);
    }
    kind.agents.push(agent);
  }
  const onOneCard = new Map(input.models.map((variant) => [variant.id, cardHolds(variant, input)]));
  const spanning = (variant: ModelVariant) =>
    variant.span === true && !onOneCard.get(variant.id) && spansFor(variant, 0, input, []).length > 0;
  return {
    variants,
    kinds: [...byKey.values()],
    holdable: (variant) => onOneCard.get(variant.id) === true || spanning(variant),
    spanning,
  };
}

function cardHolds(variant: ModelVariant, input: PlacementInput): boolean {
  const need = footprint(variant);
  return input.machines.some(
    (machine) =>
      mayHold(variant, machine.id) &&
      machine.gpus.some((gpu) => variant.rates[gpu.class] !== undefined && fits(need, usableGiB(gpu))),
  );
}

/** What agents ask of which model: of a smaller one where no living card holds their own. Models that only may be asked stand by. */
export function demandsOf(cast: Cast): { demands: Demand[]; standby: Set<string> } {
  const sums = new Map<string, Map<number, number>>();
  const standby = new Set<string>();
  for (const { own, smaller, agents } of cast.kinds) {
    if (smaller) standby.add(smaller.id);
    const asked = [own, smaller].find((variant) => variant !== undefined && cast.holdable(variant));
    if (!asked) continue;
    const tiers = sums.get(asked.id) ?? new Map<number, number>();
    sums.set(asked.id, tiers);
    for (const { priority, tokensPerSecond } of agents)
      tiers.set(priority, (tiers.get(priority) ?? 0) + tokensPerSecond);
  }
  const demands = [...sums].flatMap(([modelId, tiers]) =>
    [...tiers].map(([priority, tokensPerSecond]) => ({ modelId, priority, tokensPerSecond })),
  );
  return { demands, standby };
}

/** Tokens a second wanted of each model, those of agents included whose own model found no place. */
export function wantedOf(cast: Cast, problem: Problem, residency: Residency, spans: readonly Span[]): number[] {
  const wanted = problem.models.map((model) => model.demand);
  const at = new Map(problem.models.map((model, v) => [model.id, v]));
  for (const { own, smaller, agents } of cast.kinds) {
    if (!own || !smaller || !cast.holdable(own)) continue;
    const v = at.get(own.id);
    const placed = v === undefined ? spans.some((span) => span.modelId === own.id) : residency.replicas[v]! > 0;
    const standIn = at.get(smaller.id);
    if (placed || standIn === undefined) continue;
    wanted[standIn]! += agents.reduce((sum, agent) => sum + agent.tokensPerSecond, 0);
  }
  return wanted;
}
