import { type Cast, createCast, demandsOf, wantedOf } from './placement-cast.ts';
import { fillLeftovers } from './placement-fill.ts';
import { emptyResidency, type Residency, setSequences } from './placement-gpu.ts';
import { housed } from './placement-housing.ts';
import type { PlacementAgent, PlacementInput, ServiceDemand } from './placement-input.ts';
import { byId, createProblem, type Demand, type Problem, type Span, usableGiB, worthOf } from './placement-problem.ts';
import { scoreOf, searchResidency, weightsOf } from './placement-search.ts';
import { spansFor } from './placement-span.ts';
import type { Plan, PlannedMachine, ResidentModel } from './plan.ts';
import { gpuClasses } from './task-queues.ts';
import { queueOf } from './vram.ts';

/**
 * Decides what stands where: pure, and the same for the same input in any order. It maximises Σ priority × tokens/s served under each
 * GPU's memory and each machine's sequences, then moves least from the applied plan: a move must earn 0.1 % of the worth of all demand.
 *
 * Two numbers of sequences come out. `counted` is what the optimum rests on: over a machine they add up to at most the model server's
 * limit, as its calls do. `slots` is what a queue is polled with: all that the model's KV memory allows, so that a machine whose other
 * queues are empty gives everything to the one that is not; a permit in the worker keeps the sum of calls within the limit.
 */
export function planPlacement(input: PlacementInput): Plan {
  const agents = [...input.agents, ...(input.asked ?? []).map(askingService)].toSorted(byId);
  const cast = createCast(input, agents);
  const { demands, standby } = demandsOf(cast);
  const { problem, residency, spans } = solve(input, cast, demands, standby);
  const slots = fillLeftovers(problem, residency, wantedOf(cast, problem, residency, spans));
  const machines = plannedMachines(input, problem, residency, slots, spans);
  const plan = withoutServices({ machines, ...housed(input, cast, problem, slots, spans, machines) });
  return input.services === undefined ? plan : { ...plan, services: [...input.services] };
}

/** Ids of agents have no colon. */
const askerPrefix = 'service:';

/** A service weighs as an agent does that says nothing of its priority. */
function askingService({ serviceId, modelId, tokensPerSecond }: ServiceDemand): PlacementAgent {
  const id = `${askerPrefix}${serviceId}:${modelId}`;
  return { id, modelId, tokensPerSecond, priority: 1, mayDegrade: false, leastClass: gpuClasses[0], isService: true };
}

/** Services have a place of their own, and only their models are planned here: what found none is told by the model. */
function withoutServices({ homes, unplaced, ...plan }: Plan): Plan {
  const isAgent = (id: string) => !id.startsWith(askerPrefix);
  const unserved = unplaced
    .filter(({ agentId }) => !isAgent(agentId))
    .map(({ agentId, reason }) => ({ modelId: agentId.split(':').slice(2).join(':'), reason }));
  return {
    ...plan,
    homes: Object.fromEntries(Object.entries(homes).filter(([id]) => isAgent(id))),
    unplaced: unplaced.filter(({ agentId }) => isAgent(agentId)),
    ...(unserved.length === 0
      ? {}
      : { unserved: unserved.filter((one, i) => unserved.findIndex(({ modelId }) => modelId === one.modelId) === i) }),
  };
}

interface Solution {
  problem: Problem;
  residency: Residency;
  spans: Span[];
}

/** Models that lie across cards are few: each is tried on some machines and on none, with all else planned around it. */
function solve(input: PlacementInput, cast: Cast, demands: readonly Demand[], standby: ReadonlySet<string>): Solution {
  const across = [...cast.variants.values()].filter((variant) => cast.spanning(variant)).toSorted(byId);
  const apart = new Set(across.map((variant) => variant.id));
  const single = demands.filter((demand) => !apart.has(demand.modelId));
  const attempt = (spans: Span[]): Solution & { score: number } => {
    const problem = createProblem(input, single, standby, spans);
    const residency = searchResidency(problem, startOf(problem, input));
    const score = spans.reduce(
      (sum, span) => sum + spanWorth(span, demands),
      scoreOf(problem, residency, weightsOf(problem)),
    );
    return { problem, residency, spans, score };
  };
  let best = attempt([]);
  for (const variant of across) {
    const demand = demands
      .filter((one) => one.modelId === variant.id)
      .reduce((sum, one) => sum + one.tokensPerSecond, 0);
    if (demand === 0) continue;
    const standing = best.spans;
    for (const span of spansFor(variant, demand, input, standing)) {
      const tried = attempt([...standing, span]);
      if (tried.score > best.score) best = tried;
    }
  }
  return best;
}

function spanWorth(span: Span, demands: readonly Demand[]): number {
  const own = demands.filter((demand) => demand.modelId === span.modelId).toSorted((a, b) => b.priority - a.priority);
  let upTo = 0;
  const tiers = own.map(({ priority, tokensPerSecond }) => ({ priority, upTo: (upTo += tokensPerSecond) }));
  return worthOf({ tiers }, span.tokensPerSecond);
}

/** What is left of the applied plan: the search begins from it too, so that what need not move stays. */
function startOf(problem: Problem, input: PlacementInput): Residency | undefined {
  if (!input.previous) return undefined;
  const start = emptyResidency(problem);
  const modelAt = new Map(problem.models.map((model, v) => [model.id, v]));
  const counted = new Map(input.previous.machines.map((machine) => [machine.machineId, machine.models]));
  for (const [m, machine] of problem.machines.entries()) {
    const free = machine.gpus.map((g) => problem.gpus[g]!.usableGiB);
    for (const resident of counted.get(machine.id) ?? []) {
      const v = modelAt.get(resident.modelId);
      const index = resident.gpus[0] ?? -1;
      const g = machine.gpus[index];
      if (v === undefined || g === undefined || problem.slotsBefore[v * problem.gpus.length + g] === 0) continue;
      const model = problem.models[v]!;
      const sequences = Math.min(
        resident.counted,
        problem.most[v * problem.gpus.length + g]!,
        machine.sequences - start.used[m]!,
      );
      const gib = model.fixedGiB + sequences * model.sequenceGiB;
      if (sequences < 1 || gib > free[index]!) continue;
      free[index]! -= gib;
      setSequences(problem, start, v, g, sequences);
    }
  }
  return start;
}

function plannedMachines(
  input: PlacementInput,
  problem: Problem,
  residency: Residency,
  slots: Int32Array,
  spans: readonly Span[],
): PlannedMachine[] {
  const variants = new Map(input.models.map((variant) => [variant.id, variant]));
  const usable = new Map(
    input.machines.map((machine) => [machine.id, machine.gpus.reduce((sum, gpu) => sum + usableGiB(gpu), 0)]),
  );
  return problem.machines.map((machine) => {
    const models: ResidentModel[] = spans
      .filter((span) => span.machineId === machine.id)
      .map((span) => ({
        modelId: span.modelId,
        queue: queueOf(variants.get(span.modelId)!),
        gpus: span.gibPerGpu.map((_, index) => index),
        slots: span.sequences,
        counted: span.sequences,
        vramGiB: span.gibPerGpu.reduce((a, b) => a + b, 0),
      }));
    problem.models.forEach((model, v) => {
      for (const g of machine.gpus) {
        const at = v * problem.gpus.length + g;
        if (slots[at] === 0) continue;
        models.push({
          modelId: model.id,
          queue: queueOf(model.variant),
          gpus: [problem.gpus[g]!.index],
          slots: slots[at]!,
          counted: residency.sequences[at]!,
          vramGiB: model.fixedGiB + slots[at]! * model.sequenceGiB,
        });
      }
    });
    const vramUsedGiB = models.reduce((sum, model) => sum + model.vramGiB, 0);
    return { machineId: machine.id, models, vramUsedGiB, vramUsableGiB: usable.get(machine.id)! };
  });
}
