import { type LadderStep, nextStep } from '../domain/ladder.ts';
import { smallerFor } from '../domain/placement-reasons.ts';
import { isInService } from '../domain/states.ts';
import type { MachineStore } from '../stores/machines.ts';
import type { PlanStore } from '../stores/plans.ts';
import type { RunStore } from '../stores/runs.ts';
import type { FleetView } from './fleet-view.ts';

export interface LadderWork {
  agentId: string;
  /** The agent's own model. */
  wantedModelId: string;
  /** Where the work stands now; its own model's queue where fleet.yaml no longer names the model. */
  queue: string;
}

/**
 * Where work for an agent stands on its ladder, by the leases, the plan in force and the one being made.
 * `line` says which of a model's queues the work goes to; default: its inference queue itself.
 */
export function createLadder({
  machines,
  plans,
  runs,
}: {
  machines: MachineStore;
  plans: PlanStore;
  runs: Pick<RunStore, 'ladderAgent'>;
}) {
  return async function decide(
    work: LadderWork,
    view: FleetView,
    line: (queue: string) => string = (queue) => queue,
  ): Promise<LadderStep> {
    const known = await machines.list();
    const served = new Set(known.filter((machine) => machine.alive).flatMap((machine) => machine.polls));
    const coming = new Set<string>();
    // Asked before the plan is read: a plan computed in between must not look as if nothing were coming.
    const replanning = await plans.replanning();
    const current = await plans.residency();
    for (const planned of current?.machines ?? []) {
      const machine = known.find((other) => other.id === planned.machineId);
      // Until it is judged lost it polls what the plan gives it, or soon will: it has just started, or is silent, or its
      // model server is away, for less than a lease. What it could not load it will not serve.
      if (!machine || !isInService(machine) || !machine.modelServerUp || machine.yields !== null) continue;
      for (const model of planned.models)
        if (!machine.missingModels.includes(model.modelId)) coming.add(line(model.queue));
    }
    const queueOf = (modelId: string) => {
      const queue = view.queues.get(modelId);
      return queue === undefined ? undefined : line(queue);
    };
    const own = { modelId: work.wantedModelId, queue: queueOf(work.wantedModelId) ?? work.queue };
    // A plan that is asked for but not computed, or the very first one, may give the model to anyone: wait for it.
    if (!current || replanning) coming.add(own.queue);
    const agent = await runs.ladderAgent(work.agentId);
    const smallerId = agent && smallerFor({ ...agent, modelId: own.modelId }, view.variants)?.id;
    const smallerQueue = smallerId === undefined ? undefined : queueOf(smallerId);
    return nextStep({
      own,
      smaller:
        smallerId !== undefined && smallerQueue !== undefined ? { modelId: smallerId, queue: smallerQueue } : undefined,
      served,
      coming,
    });
  };
}
