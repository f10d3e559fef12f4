import { table, warn } from './output.ts';

export interface MachineView {
  id: string;
  gpus: Array<{ name: string; vramGiB: number }>;
  runsAs: 'local' | 'remote' | 'simulated';
  state: string;
  reason: string;
  models: string[];
  slots: number;
  agents: number;
  polls: string[];
  leaseUntil: string | null;
  yields: string | null;
  fleetVersion: number | null;
  drifts: boolean;
}

/** With its reason, where there is one. */
export function stateWords({ state, reason, yields }: MachineView): string {
  if (yields !== null) return `${state}, yields: ${yields}`;
  return reason === '' ? state : `${state}: ${reason}`;
}

/** The version of fleet.yaml that its worker goes by; a worker that is behind takes the next one up within a minute or says why not. */
export function versionWords({ fleetVersion, drifts }: MachineView): string {
  if (fleetVersion === null) return '-';
  return drifts ? warn(`${fleetVersion}, another than is applied`) : String(fleetVersion);
}

export interface FleetView {
  name: string;
  version: number;
  machines: MachineView[];
  agents: { total: number; paused: number; retired: number; unplaced: number };
  plan: { version: number; state: string; reason: string } | null;
  runs: { queued: number; running: number; parked: number; degraded: number; runningByMachine: Record<string, number> };
}

export function fleetLines({ name, version, machines, agents, plan, runs }: FleetView): string[] {
  const notes = [
    `${agents.total} agents`,
    ...(agents.paused > 0 ? [`${agents.paused} paused`] : []),
    ...(agents.unplaced > 0 ? [warn(`${agents.unplaced} without a machine`)] : []),
    plan ? `plan ${plan.version} ${plan.state}` : 'no plan yet',
    `runs: ${runs.running} running, ${runs.queued} queued, ${runs.parked} parked`,
  ];
  const shown = table(machines, [
    ['MACHINE', (machine) => machine.id],
    ['GPU', (machine) => machine.gpus.map((gpu) => `${gpu.name} ${gpu.vramGiB}G`).join(', ') || '-'],
    ['RUNS AS', (machine) => machine.runsAs],
    ['MODELS', (machine) => machine.models.join(', ') || '-'],
    ['SLOTS', (machine) => machine.slots],
    ['BUSY', (machine) => runs.runningByMachine[machine.id] ?? 0],
    ['AGENTS', (machine) => machine.agents],
    ['STATE', stateWords],
  ]);
  const simulated = machines.some((machine) => machine.runsAs === 'simulated');
  return [
    `${name} · version ${version} · ${notes.join(' · ')}`,
    shown,
    ...(simulated ? ['simulated: extractive stands in for every model of the machine'] : []),
  ];
}
