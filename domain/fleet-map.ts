import type { ServiceSpec } from './services.ts';
import type { AgentState, MachineState, ServiceState } from './states.ts';

/** Who stands where, and why: every machine, agent and service of the fleet. */
export interface FleetMap {
  name: string;
  version: number;
  planVersion: number | null;
  machines: Array<{
    id: string;
    host: string;
    state: MachineState;
    models: string[];
    agents: number;
    services: number;
  }>;
  agents: Array<{
    id: string;
    name: string;
    state: AgentState;
    modelId: string;
    machineId: string | null;
    why: string;
  }>;
  services: MappedService[];
}

export interface MappedService {
  id: string;
  kind: ServiceSpec['kind'];
  state: ServiceState;
  reason: string;
  machineId: string | null;
  why: string;
  /** Of its main port on its machine's host; null while it is not up. */
  address: string | null;
}

/** The port that others reach a service by: the one called main, or its only one. */
function mainPort({ ports }: Pick<ServiceSpec, 'ports'>): ServiceSpec['ports'][number] | undefined {
  return ports.find(({ name }) => name === 'main') ?? (ports.length === 1 ? ports[0] : undefined);
}

/** Where a service is reached now, as host:port; null: it is not up, or has no main port. */
export function addressOf(
  spec: Pick<ServiceSpec, 'ports'>,
  state: ServiceState,
  host: string | undefined,
): string | null {
  const port = mainPort(spec);
  if (state !== 'up' || port === undefined || host === undefined) return null;
  // Bound to one address alone, it answers at no other.
  const at = port.address === undefined || /^(?:0\.0\.0\.0|::|\*)$/.test(port.address) ? host : port.address;
  return `${at.includes(':') ? `[${at}]` : at}:${port.port}`;
}

export function fleetMapMarkdown(map: FleetMap): string {
  const services = map.services.map(({ id, machineId, state, reason, address, why }) => [
    id,
    machineId ?? 'none',
    reason === '' || reason === why ? state : `${state}: ${reason}`,
    address ?? '-',
    why,
  ]);
  return [
    `# ${inCell(map.name)}: who stands where`,
    `Fleet version ${map.version}, ${map.planVersion === null ? 'no plan yet' : `plan ${map.planVersion}`}.`,
    '## Machines',
    tableOf(
      ['machine', 'host', 'state', 'models', 'agents', 'services'],
      map.machines.map(({ id, host, state, models, agents, services: count }) => [
        id,
        host,
        state,
        models.join(', ') || '-',
        String(agents),
        String(count),
      ]),
    ),
    '## Services',
    services.length === 0 ? 'None.' : tableOf(['service', 'machine', 'state', 'address', 'why'], services),
    '## Agents',
    map.agents.length === 0
      ? 'None.'
      : tableOf(
          ['agent', 'name', 'model', 'machine', 'why'],
          map.agents.map(({ id, name, modelId, machineId, why }) => [id, name, modelId, machineId ?? 'none', why]),
        ),
    '',
  ].join('\n\n');
}

function tableOf(head: readonly string[], rows: ReadonlyArray<readonly string[]>): string {
  const line = (cells: readonly string[]) => `| ${cells.map(inCell).join(' | ')} |`;
  return [line(head), `|${head.map(() => '---|').join('')}`, ...rows.map(line)].join('\n');
}

/** Names are the owner's and models' words: nothing of them may end a cell, or become a link or markup. */
function inCell(text: string): string {
  return text.replaceAll(/\s+/g, ' ').replaceAll(/[\\`*_[\]<>|#]/g, (sign) => (sign === '_' ? sign : `\\${sign}`));
}
