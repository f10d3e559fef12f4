import { type Finding, finding } from './readiness.ts';
import type { Inventory } from './readiness-inventory.ts';
import type { Service } from './services.ts';

/** One port of one service on one machine. */
export interface Endpoint {
  machine: string;
  service: string;
  port: number;
  protocol: 'tcp' | 'udp';
  /** null: all addresses. */
  address: string | null;
  /** By which rule it follows; null: a file declares it. */
  derived: string | null;
  name: string;
  place: string;
  required: boolean;
}

/** What services open on the machines that they are placed on; one that no machine is named for opens nothing yet. */
function endpointsOf({ services, machines }: Pick<Inventory, 'services' | 'machines'>): Endpoint[] {
  const only = machines.length === 1 ? machines[0]!.id : undefined;
  return services.flatMap((service) => {
    const machine = service.machine ?? only;
    if (machine === undefined) return [];
    return (service.ports ?? []).map(({ name, port, protocol = 'tcp', address, derived }) => ({
      machine,
      service: service.id,
      port,
      protocol,
      address: plainAddress(address),
      derived: derived ?? null,
      name,
      place: service.source,
      required: service.required !== false,
    }));
  });
}

/** All addresses are null, and the names of the own host are one. */
function plainAddress(address: string | undefined): string | null {
  const plain = address?.replace(/^\[|\]$/g, '').toLowerCase();
  if (plain === undefined || /^(|0\.0\.0\.0|::|\*|0:0:0:0:0:0:0:0)$/.test(plain)) return null;
  return plain === 'localhost' ? '127.0.0.1' : plain;
}

function meet(a: string | null, b: string | null): boolean {
  return a === null || b === null || a === b;
}

export function assessPorts(inventory: Inventory): Finding[] {
  const endpoints = endpointsOf(inventory);
  const byPort = Map.groupBy(endpoints, ({ machine, port, protocol }) => `${machine}:${port}/${protocol}`);
  return [
    ...[...byPort].flatMap(([at, all]) => clashesAt(at, all)),
    ...withTheFleet(endpoints, inventory),
    ...ephemeral(inventory.services),
    ...listening(endpoints, inventory),
  ];
}

/** Endpoints of one number that one process each wants: told together, since one change may end all of it. */
function clashesAt(at: string, all: readonly Endpoint[]): Finding[] {
  const clashing = all.filter((one) =>
    all.some((other) => other.service !== one.service && meet(one.address, other.address)),
  );
  if (clashing.length === 0) return [];
  const declared = clashing.filter(({ derived }) => derived === null);
  const declaredClash = declared.some((one) =>
    declared.some((other) => other.service !== one.service && meet(one.address, other.address)),
  );
  // What is only started on demand may never meet the other.
  const rare = clashing.filter(({ required }) => required).length < 2;
  const services = [...new Set(clashing.map(({ service }) => service))].toSorted();
  return [
    finding(declaredClash ? 'port-declared-clash' : 'port-derived-clash', {
      subject: at.endsWith('/tcp') ? at.slice(0, -4) : at,
      place: clashing[0]!.place,
      evidence: `${services.join(', ')}: ${clashing.map(endpointLine).join('; ')}`,
      ...(rare ? { severity: 'high' as const } : {}),
    }),
  ];
}

function endpointLine({ service, name, port, derived, address, place }: Endpoint): string {
  const how = derived === null ? '' : ` = ${derived}, in no file`;
  return `${service} ${name} ${address ?? '*'}:${port}${how} (${place})`;
}

function withTheFleet(endpoints: readonly Endpoint[], { fleetPorts, services }: Inventory): Finding[] {
  const serving = /ollama|vllm|llama[-_.]?(cpp|server)|sglang|text-generation/i;
  return endpoints.flatMap((endpoint) => {
    const own = fleetPorts.find(
      ({ machine, port, address }) =>
        machine === endpoint.machine &&
        port === endpoint.port &&
        endpoint.protocol === 'tcp' &&
        meet(address === null ? null : plainAddress(address), endpoint.address),
    );
    if (own === undefined) return [];
    // The service may be that very model server.
    const service = services.find(({ id }) => id === endpoint.service)!;
    const said = [service.id, service.image ?? '', ...(service.command ?? [])].join(' ');
    if (own.what.startsWith('model server') && serving.test(said)) return [];
    return [
      finding('port-of-the-fleet', {
        subject: `${endpoint.machine}:${endpoint.port}`,
        place: endpoint.place,
        evidence: `${endpointLine(endpoint)}; ${own.what} listens there`,
      }),
    ];
  });
}

/** Where Linux takes ports for connections, unless told otherwise. */
const ephemeralFrom = 32_768;
const ephemeralTo = 60_999;

function ephemeral(services: readonly Service[]): Finding[] {
  return services.flatMap((service) => {
    // A pod's node ports are kept for it by the cluster.
    if (service.kind === 'pod') return [];
    const ports = (service.ports ?? []).filter(({ port }) => port >= ephemeralFrom && port <= ephemeralTo);
    if (ports.length === 0) return [];
    return [
      finding('port-ephemeral', {
        subject: service.id,
        place: service.source,
        evidence: `${ports.map(({ name, port }) => `${name} ${port}`).join(', ')}: within ${ephemeralFrom} to ${ephemeralTo}`,
      }),
    ];
  });
}

function listening(endpoints: readonly Endpoint[], { live, services }: Inventory): Finding[] {
  return live.flatMap(({ machine, listening: open }) =>
    endpoints
      .filter((endpoint) => endpoint.machine === machine)
      .flatMap((endpoint) => {
        const other = open.find(
          ({ port, protocol, address, process }) =>
            port === endpoint.port &&
            protocol === endpoint.protocol &&
            meet(plainAddress(address), endpoint.address) &&
            process !== null &&
            !isOf(process, services.find(({ id }) => id === endpoint.service)!),
        );
        if (other === undefined) return [];
        return [
          finding('port-taken', {
            subject: `${machine}:${endpoint.port}`,
            evidence: `${other.process} listens at ${other.address}:${other.port} on ${machine}, where ${endpoint.service} is to (${endpoint.place})`,
          }),
        ];
      }),
  );
}

/** The runtime of containers holds their ports for them; a process is known by the first word of its command. */
function isOf(process: string, { kind, command = [] }: Service): boolean {
  if (kind === 'container' || kind === 'pod') return /docker|containerd|conmon|podman|kube|rootlessport/.test(process);
  const words = command.map((word) => word.split('/').at(-1)!);
  return words.some((word) => word !== '' && (word.startsWith(process) || process.startsWith(word)));
}
