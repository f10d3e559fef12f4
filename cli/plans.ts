import { bad, dim, good, table } from './output.ts';

/** A plan as the API sums it up. */
export interface PlanSummary {
  machines: Array<{
    machineId: string;
    models: Array<{ modelId: string; slots: number; counted: number; vramGiB: number }>;
    agents: number;
    vramUsedGiB: number;
    vramUsableGiB: number;
  }>;
  unplaced: Array<{ agentId: string; reason: string }>;
  hours: Array<{ gpuClass: string; needed: number; available: number }>;
}

const highLoad = 0.85;

export function planLines(plan: PlanSummary): string[] {
  const machines = table(plan.machines, [
    ['MACHINE', (machine) => machine.machineId],
    [
      'MODELS (slots)',
      (machine) => machine.models.map(({ modelId, slots }) => `${modelId} (${slots})`).join(', ') || 'none',
    ],
    ['VRAM GiB', (machine) => `${machine.vramUsedGiB.toFixed(1)} of ${machine.vramUsableGiB.toFixed(1)}`],
    ['AGENTS', (machine) => machine.agents],
  ]);
  const hours = plan.hours.map(({ gpuClass, needed, available }) => {
    const load = available === 0 ? Number.POSITIVE_INFINITY : needed / available;
    const share = Number.isFinite(load) ? `${Math.round(load * 100)} %` : 'no card';
    const styled = load > highLoad ? bad(share) : good(share);
    return `${gpuClass}: ${needed.toFixed(1)} of ${available.toFixed(0)} GPU-hours a day, ${styled}`;
  });
  return [machines, ...hours, ...unplacedLines(plan.unplaced)];
}

function unplacedLines(unplaced: PlanSummary['unplaced']): string[] {
  if (unplaced.length === 0) return [good('every agent has a place')];
  const byReason = Map.groupBy(unplaced, ({ reason }) => reason);
  return [...byReason].map(
    ([reason, agents]) =>
      `${bad(`${agents.length} without a place`)}: ${reason} ${dim(
        `(${agents
          .slice(0, 3)
          .map(({ agentId }) => agentId)
          .join(', ')}${agents.length > 3 ? ', …' : ''})`,
      )}`,
  );
}
