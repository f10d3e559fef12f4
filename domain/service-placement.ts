import type { ServiceSpec } from './services.ts';
import { classGiB, type GpuClass } from './task-queues.ts';

/** What of a service decides where it stands. */
export interface PlaceableService {
  id: string;
  /** That the files name. */
  machine?: string;
  needsGpu: boolean;
  /** Absent: the files do not say. */
  vramGiB?: number;
  dependsOn: readonly string[];
  ports: ReadonlyArray<{ port: number; protocol?: 'tcp' | 'udp' | undefined }>;
  /** Machines that may run it: those that trust its command, and the one that runs it already. Absent: that is not known, and any may take it. */
  trustedBy?: readonly string[];
  /** Somebody asked to start it, so that it stands only where it may run. Otherwise trust only decides among equal places. */
  isRun?: boolean;
  /** What it asks of which model, through the gateway. */
  models: ReadonlyArray<{ model: string; tokensPerDay: number }>;
}

export interface ServiceMachine {
  id: string;
  gpus: ReadonlyArray<{ class: GpuClass; vramGiB: number; reserveGiB: number }>;
  /** How much of the coordination it does. */
  pollers: number;
  standing: ServiceStanding;
}
/** never_started: its worker is not there yet, and what the files put there waits for it. */
export type ServiceStanding = 'in_service' | 'never_started' | 'away';

export interface PlannedService {
  id: string;
  /** null: nowhere, and `because` says why. */
  machineId: string | null;
  /** Index of the card whose memory it holds. */
  gpu: number | null;
  vramGiB: number;
  because: string;
}

/** Counted for a service that needs a GPU and does not say how much of it. */
const unstatedVramGiB = 2;
/** Heavy services stand on the least card of this class and above, so that bigger ones stay free. */
const heavyClassGiB = 24;
/** Rounding of sums must never make what fits exactly not fit. */
const slackGiB = 1e-9;

export function placeableService(spec: ServiceSpec): PlaceableService {
  const { id, machine, gpu, dependsOn, ports, models } = spec;
  return {
    id,
    needsGpu: gpu !== undefined,
    dependsOn,
    ports,
    models,
    ...(machine === undefined ? {} : { machine }),
    ...(gpu?.vramGiB === undefined ? {} : { vramGiB: gpu.vramGiB }),
  };
}

interface Place {
  machine: ServiceMachine;
  gpu: number | null;
}

/**
 * Where each service stands: on the machine that the files name while that is in service; else a heavy one (it needs a GPU) on a card
 * with room for it, 24g first, and a light one where most of the coordination is done. What stands somewhere stays there. Among equal
 * places it comes to stand where its command is trusted, then beside what it depends on; one that is run stands nowhere else than where
 * it is trusted. Pure, and the same for the same input in any order.
 */
export function placeServices(input: {
  services: readonly PlaceableService[];
  machines: readonly ServiceMachine[];
  previous?: readonly PlannedService[];
}): PlannedService[] {
  const machines = input.machines.toSorted(byId);
  const known = new Map(machines.map((machine) => [machine.id, machine]));
  const before = new Map((input.previous ?? []).map((service) => [service.id, service]));
  const free = new Map(
    machines.map(({ id, gpus }) => [id, gpus.map((gpu) => Math.max(0, gpu.vramGiB - gpu.reserveGiB))]),
  );
  const ports = new Map(machines.map(({ id }) => [id, new Map<string, string>()]));
  const placed = new Map<string, string>();
  const dependants = new Map<string, string[]>();
  for (const { id, dependsOn } of input.services)
    for (const other of dependsOn) dependants.set(other, [...(dependants.get(other) ?? []), id]);

  const isHome = ({ machine }: PlaceableService) =>
    machine !== undefined && known.get(machine)?.standing === 'in_service';
  const stoodAt = ({ id }: PlaceableService) => before.get(id)?.machineId ?? null;
  // Who has a claim comes first: named by the files, then there already, then the biggest.
  const rank = (service: PlaceableService) => (isHome(service) ? 0 : stoodAt(service) !== null ? 1 : 2);
  const inTurn = input.services.toSorted(
    (a, b) =>
      rank(a) - rank(b) || plannedVram(b) - plannedVram(a) || Number(b.needsGpu) - Number(a.needsGpu) || byId(a, b),
  );

  const cardFor = (service: PlaceableService, machine: ServiceMachine): number | undefined => {
    const stood = before.get(service.id);
    const own = free.get(machine.id)!;
    return machine.gpus
      .map((gpu, index) => ({ gpu, index }))
      .filter(({ index }) => own[index]! + slackGiB >= plannedVram(service))
      .toSorted(
        (a, b) =>
          Number(stood?.machineId === machine.id && stood.gpu === b.index) -
            Number(stood?.machineId === machine.id && stood.gpu === a.index) ||
          classRank(a.gpu.class) - classRank(b.gpu.class) ||
          own[b.index]! - own[a.index]! ||
          a.index - b.index,
      )[0]?.index;
  };
  const takenPort = ({ ports: wanted }: PlaceableService, machine: ServiceMachine) =>
    wanted.map((port) => ({ port: port.port, by: ports.get(machine.id)!.get(portKey(port)) })).find(({ by }) => by);
  const neighbours = ({ id, dependsOn }: PlaceableService, machine: ServiceMachine) =>
    [...dependsOn, ...(dependants.get(id) ?? [])].filter((other) => placed.get(other) === machine.id);

  const take = (service: PlaceableService, { machine, gpu }: Place, because: string): PlannedService => {
    placed.set(service.id, machine.id);
    if (gpu !== null) free.get(machine.id)![gpu]! -= plannedVram(service);
    for (const port of service.ports) {
      const own = ports.get(machine.id)!;
      if (!own.has(portKey(port))) own.set(portKey(port), service.id);
    }
    return { id: service.id, machineId: machine.id, gpu, vramGiB: gpu === null ? 0 : plannedVram(service), because };
  };
  const nowhere = ({ id }: PlaceableService, because: string): PlannedService => ({
    id,
    machineId: null,
    gpu: null,
    vramGiB: 0,
    because,
  });

  const place = (service: PlaceableService): PlannedService => {
    const named = service.machine === undefined ? undefined : known.get(service.machine);
    if (service.machine !== undefined && named?.standing === 'in_service') {
      if (service.isRun && !isTrustedOn(service, named))
        return nowhere(service, `fleet.d names ${named.id}, and ${untrusted(service, named)}`);
      const gpu = service.needsGpu ? cardFor(service, named) : null;
      if (gpu === undefined) return nowhere(service, `fleet.d names ${named.id}, and ${noRoom(service, named, free)}`);
      return take(service, { machine: named, gpu }, `fleet.d names it${roomWords(service, named, gpu)}`);
    }
    if (named?.standing === 'never_started') return nowhere(service, `its machine ${named.id} was never started`);
    const gone = service.machine === undefined ? '' : `its machine ${service.machine} is not in service; `;
    const faults: string[] = [];
    const places = machines.flatMap((machine): Place[] => {
      if (machine.standing !== 'in_service') return [];
      if (service.isRun && !isTrustedOn(service, machine)) {
        faults.push(untrusted(service, machine));
        return [];
      }
      const taken = takenPort(service, machine);
      if (taken !== undefined) {
        faults.push(`port ${taken.port} of ${machine.id} is ${taken.by}'s`);
        return [];
      }
      const gpu = service.needsGpu ? cardFor(service, machine) : null;
      if (gpu === undefined) {
        faults.push(noRoom(service, machine, free));
        return [];
      }
      return [{ machine, gpu }];
    });
    const best = places.toSorted(
      (a, b) =>
        Number(stoodAt(service) === b.machine.id) - Number(stoodAt(service) === a.machine.id) ||
        Number(isTrustedOn(service, b.machine)) - Number(isTrustedOn(service, a.machine)) ||
        costOf(service, a, places) - costOf(service, b, places) ||
        neighbours(service, b.machine).length - neighbours(service, a.machine).length ||
        (a.gpu === null ? 0 : free.get(b.machine.id)![b.gpu!]! - free.get(a.machine.id)![a.gpu]!) ||
        byId(a.machine, b.machine),
    )[0];
    if (best === undefined) {
      const why = faults.length === 0 ? 'no machine is in service' : faults.join('; ');
      return nowhere(service, `${gone}${why}`);
    }
    const beside = neighbours(service, best.machine).toSorted()[0];
    const rivals = places.filter((each) => isTrustedOn(service, each.machine) === isTrustedOn(service, best.machine));
    const least = rivals.every((each) => costOf(service, each, places) >= costOf(service, best, places));
    const choice = least
      ? `${placeWords(service, best)}${beside === undefined ? '' : `, beside ${beside}`}`
      : 'it stood there already';
    return take(service, best, `${gone}${choice}`);
  };
  return inTurn.map(place).toSorted(byId);
}

function isTrustedOn({ trustedBy }: PlaceableService, { id }: ServiceMachine): boolean {
  return trustedBy?.includes(id) ?? true;
}

function untrusted({ id }: PlaceableService, machine: ServiceMachine): string {
  return `${machine.id} does not trust its command; there run \`soulfra services trust ${id}\``;
}

/** The less the better. A light service costs the machine of the cards something, the one that coordinates nothing. */
function costOf(service: PlaceableService, { machine, gpu }: Place, places: readonly Place[]): number {
  if (service.needsGpu) return classRank(machine.gpus[gpu!]!.class);
  const others = places.map((place) => place.machine);
  const better = others.filter(
    (other) =>
      other.pollers > machine.pollers || (other.pollers === machine.pollers && vramIn(other) < vramIn(machine)),
  );
  return better.length;
}

/** 24g, then bigger ones by size, then smaller ones, the biggest first. */
function classRank(gpuClass: GpuClass): number {
  const gib = classGiB(gpuClass);
  return gib >= heavyClassGiB ? gib : 10_000 - gib;
}

/** GiB of a card that are counted for it. */
export function plannedVram({ needsGpu, vramGiB }: PlaceableService): number {
  return needsGpu ? (vramGiB ?? unstatedVramGiB) : 0;
}

function vramIn({ gpus }: ServiceMachine): number {
  return gpus.reduce((sum, { vramGiB }) => sum + vramGiB, 0);
}

function placeWords(service: PlaceableService, { machine, gpu }: Place): string {
  if (gpu !== null) return `its ${machine.gpus[gpu]!.class} card has room${roomWords(service, machine, gpu)}`;
  return 'it needs no GPU, and of the machines that could take it this one coordinates most';
}

function roomWords(service: PlaceableService, machine: ServiceMachine, gpu: number | null): string {
  if (gpu === null) return '';
  const unstated = service.vramGiB === undefined ? ' (no figure is stated)' : '';
  return `: ${plannedVram(service)} GiB${unstated} of ${machine.gpus[gpu]!.vramGiB} on card ${gpu}`;
}

function noRoom(service: PlaceableService, machine: ServiceMachine, free: ReadonlyMap<string, number[]>): string {
  if (machine.gpus.length === 0) return `${machine.id} has no GPU`;
  const most = Math.max(...free.get(machine.id)!);
  return `no card of ${machine.id} has ${plannedVram(service)} GiB free (at most ${Math.round(most * 100) / 100})`;
}

function portKey({ port, protocol = 'tcp' }: PlaceableService['ports'][number]): string {
  return `${protocol}:${port}`;
}

function byId(a: { id: string }, b: { id: string }): number {
  return a.id < b.id ? -1 : a.id > b.id ? 1 : 0;
}
