import { amiss, type Check, type DiskReading, judgeClock, judgeDisk, ok, type Reading, skipped } from './doctor.ts';
import type { FleetMachine } from './fleet.ts';
import { gpuShortfalls } from './gpu-check.ts';
import { copiedModel, type ModelReport } from './model-manifest.ts';
import type { Plan } from './plan.ts';
import type { MachineState } from './states.ts';

/** A card as the host's driver shows it. */
export interface ReportedGpu {
  index: number;
  name: string;
  driver: string;
  memoryTotalMiB: number | null;
  memoryUsedMiB: number | null;
}

export interface ReportedModelServer {
  up: boolean;
  reason?: string | undefined;
  version?: string | undefined;
  models: Array<{ id: string; loaded: boolean; vramGiB?: number | undefined }>;
}

/** What a worker writes down of the host it runs on, once a minute: what `soulfra doctor` elsewhere goes by. */
export interface MachineReport {
  app: string;
  node: string;
  clockOffsetMs: number;
  clockRoundTripMs: number;
  disks: DiskReading[];
  /** Null: the worker stands in for a machine elsewhere and cannot see its cards. */
  gpus: Reading<ReportedGpu[]> | null;
  /** Null: there is none to ask. */
  modelServer: ReportedModelServer | null;
  /** Version of fleet.yaml that the worker goes by; absent in reports of older workers. */
  fleetVersion?: number;
  /** Which weights it has and serves; absent where it has no model server, and in reports of older workers. */
  models?: ModelReport;
}

/** A model that the plan keeps on the machine. */
export interface PlannedOn {
  modelId: string;
  /** What the machine's server calls it. */
  servedAs: string;
  vramGiB: number;
}

/** A service of the owner's that the plan puts on the machine's cards. */
export interface ServiceOnCards {
  id: string;
  vramGiB: number;
}

export function servicesOnCards({ services = [] }: Pick<Plan, 'services'>, machineId: string): ServiceOnCards[] {
  return services.filter((service) => service.machineId === machineId && service.gpu !== null);
}

/** Programs beside ours may take a little over what fleet.yaml keeps for them before it is told. */
const foreignToleranceGiB = 0.5;

interface OnCards {
  models: readonly PlannedOn[];
  services: readonly ServiceOnCards[];
  server: ReportedModelServer | null;
  /** Why the machine gives its GPUs to their owner: then nothing of the plan lies on them, and what others hold is what yielding is for. */
  yields: string | null;
}

/** What programs other than the model server hold of the cards. */
export function foreignGiBOf(
  machine: Pick<FleetMachine, 'modelServer'>,
  seen: readonly ReportedGpu[],
  { models, server }: Pick<OnCards, 'models' | 'server'>,
): number {
  const used = seen.reduce((sum, { memoryUsedMiB }) => sum + (memoryUsedMiB ?? 0) / 1024, 0);
  // Only Ollama says what it holds, and holds what was asked for last; the others keep what they were started with.
  const said =
    machine.modelServer?.kind === 'ollama' && server?.up
      ? server.models.reduce((sum, { vramGiB = 0 }) => sum + vramGiB, 0)
      : undefined;
  return Math.max(0, used - (said ?? models.reduce((sum, { vramGiB }) => sum + vramGiB, 0)));
}

export function judgeGpus(
  machine: Pick<FleetMachine, 'id' | 'gpus' | 'modelServer'>,
  gpus: Reading<readonly ReportedGpu[]>,
  plan: OnCards,
): Check[] {
  const { id } = machine;
  if ('error' in gpus) {
    const mend =
      'Load the driver that fits the kernel (reboot after an upgrade of the driver); then nvidia-smi answers.';
    return [amiss('fail', 'gpu', gpus.error, mend, id), skipped('vram', 'the cards cannot be seen', id)];
  }
  if (machine.gpus.length === 0)
    return [skipped('gpu', 'fleet.yaml names no card', id), skipped('vram', 'no card', id)];
  const short = gpuShortfalls(machine.gpus, gpus.seen);
  if (short.length > 0) {
    const mend = `Mend machines[${id}].gpus in fleet.yaml and soulfra apply, or install the driver of the card.`;
    return [
      amiss('fail', 'gpu', short.join('; '), mend, id),
      skipped('vram', 'the cards are not what fleet.yaml says', id),
    ];
  }
  const cards = gpus.seen.map(({ name, driver }) => `${name}, driver ${driver}`).join('; ');
  return [ok('gpu', cards, id), judgeVram(machine, gpus.seen, plan)];
}

function judgeVram(
  machine: Pick<FleetMachine, 'id' | 'gpus' | 'modelServer'>,
  seen: readonly ReportedGpu[],
  { models, services, server, yields }: OnCards,
): Check {
  const { id } = machine;
  const used = seen.reduce((sum, { memoryUsedMiB }) => sum + (memoryUsedMiB ?? 0) / 1024, 0);
  const planned = models.reduce((sum, { vramGiB }) => sum + vramGiB, 0);
  const reserved = machine.gpus.reduce((sum, { reserveGiB }) => sum + reserveGiB, 0);
  const total = machine.gpus.reduce((sum, { vramGiB }) => sum + vramGiB, 0);
  const ofServices = services.reduce((sum, { vramGiB }) => sum + vramGiB, 0);
  // What is not a model's may be a service's, up to what the plan gives it: the driver does not say whose it is.
  const foreign = Math.max(0, foreignGiBOf(machine, seen, { models, server }) - ofServices);
  const wanted = planned + ofServices;
  if (yields !== null)
    return ok('vram', `${used.toFixed(1)} of ${total} GiB in use; it yields to its owner: ${yields}`, id);
  if (foreign > reserved + foreignToleranceGiB && foreign + wanted > total) {
    const detail = `other programs hold ${foreign.toFixed(1)} GiB, the plan wants ${wanted.toFixed(1)} of ${total} GiB${withServices(services)}`;
    const mend = `Close them, raise reserveGiB of ${id} to ${Math.ceil(foreign)} in fleet.yaml, or share the card by machines[].yield.`;
    return amiss('warn', 'vram', detail, mend, id);
  }
  return ok(
    'vram',
    `${used.toFixed(1)} of ${total} GiB in use, ${wanted.toFixed(1)} planned${withServices(services)}`,
    id,
  );
}

function withServices(services: readonly ServiceOnCards[]): string {
  if (services.length === 0) return '';
  return `, of them ${services.map(({ id, vramGiB }) => `${vramGiB.toFixed(1)} for ${id}`).join(', ')}`;
}

export function judgeModelServer(
  machine: Pick<FleetMachine, 'id' | 'modelServer'>,
  server: ReportedModelServer | null,
  planned: readonly PlannedOn[],
): Check[] {
  const { id } = machine;
  const { kind, url } = machine.modelServer ?? {};
  if (kind === undefined || url === undefined) {
    return [
      skipped('model_server', 'none in fleet.yaml: the machine runs simulated', id),
      skipped('models', 'no model server', id),
    ];
  }
  if (server === null) return [skipped('model_server', 'not asked', id), skipped('models', 'not asked', id)];
  if (!server.up) {
    const mend = `Start ${kind} on ${id} so that it answers at ${url}, or mend modelServer.url in fleet.yaml.`;
    return [
      amiss('fail', 'model_server', `${url}: ${server.reason ?? 'does not answer'}`, mend, id),
      skipped('models', 'the model server does not answer', id),
    ];
  }
  const there = new Set(server.models.map((model) => model.id.replace(/:latest$/, '')));
  const copied = new Set(server.models.map((model) => copiedModel(model.id)));
  const missing = planned.filter(
    ({ modelId, servedAs }) => !copied.has(modelId) && !there.has(servedAs.replace(/:latest$/, '')),
  );
  const up = ok('model_server', `${kind}${server.version === undefined ? '' : ` ${server.version}`} at ${url}`, id);
  if (missing.length === 0) return [up, ok('models', `${planned.length} planned, all there`, id)];
  const names = missing.map(({ servedAs }) => servedAs);
  const mend =
    kind === 'ollama'
      ? names.map((name) => `ollama pull ${name}`).join(' && ')
      : `Have ${kind} serve ${names.join(', ')}, or mend servedAs in fleet.yaml.`;
  return [up, amiss('fail', 'models', `the server has no ${names.join(', ')}`, mend, id)];
}

export interface MachineSeen {
  machine: FleetMachine;
  state: MachineState;
  reason: string;
  alive: boolean;
  /** Why it gives its GPUs to their owner; null: it does not. */
  yields: string | null;
  report: MachineReport | null;
  reportAgeSeconds: number;
  planned: readonly PlannedOn[];
  services: readonly ServiceOnCards[];
}

/** Reports come once a minute; older ones say nothing of now. */
const freshSeconds = 180;

/** What is known of a machine by its lease and by what it last reported. @param app of the API */
export function judgeMachine(seen: MachineSeen, app: string): Check[] {
  const { machine, state, reason, alive, report, reportAgeSeconds, planned, services, yields } = seen;
  const { id } = machine;
  const words = reason === '' ? state : `${state}: ${reason}`;
  if (!alive) {
    const mend = `soulfra fleet start ${id} where npm start runs it, else soulfra worker --machine ${id} there.`;
    return [amiss('fail', 'machine', `no lease; ${words}`, mend, id)];
  }
  const lease =
    state === 'ready' || state === 'suspect'
      ? ok('machine', yields === null ? words : `${words}; gives its GPUs to their owner: ${yields}`, id)
      : amiss('warn', 'machine', words, `soulfra fleet undrain ${id}`, id);
  if (report === null || reportAgeSeconds > freshSeconds) {
    const detail =
      report === null ? 'it has not reported yet' : `its last report is ${Math.round(reportAgeSeconds / 60)} min old`;
    return [lease, skipped('report', detail, id)];
  }
  return [
    lease,
    report.app === app
      ? ok('app', `${report.app}, Node ${report.node}`, id)
      : amiss(
          'warn',
          'app',
          `its worker is ${report.app}, the API is ${app}`,
          `Bring ${id} to ${app} (git pull && npm ci) and restart its worker.`,
          id,
        ),
    judgeClock(report.clockOffsetMs, report.clockRoundTripMs, id),
    judgeDisk(report.disks, id),
    ...(report.gpus === null
      ? []
      : judgeGpus(machine, report.gpus, { models: planned, services, server: report.modelServer, yields })),
    ...judgeModelServer(machine, report.modelServer, planned),
  ];
}
