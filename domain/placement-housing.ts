import type { Cast, Kind } from './placement-cast.ts';
import { chooseHomes, type HomeAnswer, type HomeQuestion } from './placement-homes.ts';
import { hoursOf } from './placement-hours.ts';
import type { PlacementAgent, PlacementInput } from './placement-input.ts';
import { byId, type Problem, rateOf, type Span } from './placement-problem.ts';
import { reasonFor } from './placement-reasons.ts';
import type { Plan, PlannedMachine } from './plan.ts';

/** Gives every agent its home or the reason why it has none, and adds up the hours. */
export function housed(
  input: PlacementInput,
  cast: Cast,
  problem: Problem,
  slots: Int32Array,
  spans: readonly Span[],
  machines: readonly PlannedMachine[],
): Pick<Plan, 'homes' | 'unplaced' | 'hours'> {
  const places = placesOf(problem, slots, spans);
  const serving = ({ own, smaller }: Kind) =>
    [own, smaller].find((variant) => variant !== undefined && places.has(variant.id))?.id;
  const questions = new Map<string, { agents: PlacementAgent[]; places: HomeQuestion['places'] }>();
  const reasons = new Map<string, string>();
  const standing = {
    variants: cast.variants,
    holders: (modelId: string) => places.get(modelId)?.map((place) => place.machineId) ?? [],
    mostFreeGiB: (modelId: string) => mostFreeGiB(modelId, problem, slots),
  };
  const idle: Kind[] = [];
  for (const kind of cast.kinds) {
    const modelId = serving(kind);
    if (modelId === undefined || modelId !== kind.own?.id) {
      const reason = reasonFor(kind.sample, input, standing);
      for (const agent of kind.agents) reasons.set(agent.id, reason);
    }
    if (modelId === undefined) idle.push(kind);
    else {
      const question = questions.get(modelId) ?? { agents: [], places: places.get(modelId)! };
      for (const agent of kind.agents) question.agents.push(agent);
      questions.set(modelId, question);
    }
  }
  for (const question of questions.values()) question.agents.sort(byId);
  const answers = chooseHomes(questions, input.previous?.homes ?? {});
  const unserved = idle.flatMap(({ own, sample, agents }) => {
    const variant = own ?? cast.variants.get(sample.modelId);
    return variant ? [{ variant, tokensPerSecond: agents.reduce((sum, agent) => sum + agent.tokensPerSecond, 0) }] : [];
  });
  return {
    ...namedHomes(questions, answers, reasons),
    hours: hoursOf(input, { machines, questions, answers, unserved }),
  };
}

function namedHomes(
  questions: ReadonlyMap<string, HomeQuestion>,
  answers: ReadonlyMap<string, HomeAnswer>,
  reasons: ReadonlyMap<string, string>,
): Pick<Plan, 'homes' | 'unplaced'> {
  const homed: Array<{ id: string; home: string }> = [];
  for (const [modelId, { agents }] of questions) {
    const { homes } = answers.get(modelId)!;
    agents.forEach((agent, i) => {
      if (!reasons.has(agent.id)) homed.push({ id: agent.id, home: homes[i]! });
    });
  }
  const homes = Object.fromEntries(homed.sort(byId).map(({ id, home }) => [id, home]));
  const unplaced = [...reasons].map(([agentId, reason]) => ({ agentId, reason }));
  return { homes, unplaced: unplaced.sort((a, b) => (a.agentId < b.agentId ? -1 : 1)) };
}

/** Machines that hold each model, with what they can serve of it using all their slots. */
function placesOf(problem: Problem, slots: Int32Array, spans: readonly Span[]) {
  const places = new Map<string, Array<{ machineId: string; tokensPerSecond: number }>>();
  problem.models.forEach((model, v) => {
    const own = problem.machines.flatMap((machine) => {
      const tokensPerSecond = machine.gpus.reduce(
        (sum, g) => sum + rateOf(problem, v, g, slots[v * problem.gpus.length + g]!),
        0,
      );
      return tokensPerSecond > 0 ? [{ machineId: machine.id, tokensPerSecond }] : [];
    });
    if (own.length > 0) places.set(model.id, own);
  });
  for (const { modelId, machineId, tokensPerSecond } of spans) places.set(modelId, [{ machineId, tokensPerSecond }]);
  return places;
}

function mostFreeGiB(
  modelId: string,
  problem: Problem,
  slots: Int32Array,
): { gib: number; machineId: string } | undefined {
  const wanted = problem.models.findIndex((model) => model.id === modelId);
  if (wanted < 0) return undefined;
  let most: { gib: number; machineId: string } | undefined;
  problem.gpus.forEach((gpu, g) => {
    if (problem.most[wanted * problem.gpus.length + g] === 0) return;
    let free = gpu.usableGiB;
    problem.models.forEach((model, v) => {
      const count = slots[v * problem.gpus.length + g]!;
      if (count > 0) free -= model.fixedGiB + count * model.sequenceGiB;
    });
    if (!most || free > most.gib) most = { gib: free, machineId: problem.machines[gpu.machine]!.id };
  });
  return most;
}
