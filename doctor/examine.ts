import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { appVersion } from '../config/app-version.ts';
import { backupEnvironment, doctorEnvironment } from '../config/environment.ts';
import { parseFleet } from '../config/fleet-file.ts';
import { readServiceFiles } from '../config/service-files.ts';
import { serverTls } from '../config/tls.ts';
import { readAuthorities } from '../deploy/tls/authority-files.ts';
import { readCertificate } from '../deploy/tls/authority.ts';
import { compareVersions } from '../deploy/embedded/version.ts';
import {
  amiss,
  ok,
  type Check,
  judgeBackups,
  judgeClock,
  judgeDisk,
  judgeFleetFile,
  judgeHome,
  judgePorts,
  judgeSecrets,
  judgeVersions,
  type Reading,
  skipped,
} from '../domain/doctor.ts';
import {
  foreignGiBOf,
  judgeGpus,
  judgeModelServer,
  type PlannedOn,
  type ReportedModelServer,
  servicesOnCards,
} from '../domain/doctor-machines.ts';
import { judgePostgres, judgeRedis, judgeTemporal } from '../domain/doctor-services.ts';
import { type FieldError, isDomainError } from '../domain/errors.ts';
import { type Fleet, fleetAgents, type FleetMachine, modelVariants } from '../domain/fleet.ts';
import { type Plan, plannedMachine } from '../domain/plan.ts';
import { placementInputOf } from '../domain/placement-input.ts';
import { planPlacement } from '../domain/placement.ts';
import { type PlaceableService, placeableService } from '../domain/service-placement.ts';
import { type YieldCause, yieldCause } from '../domain/yield.ts';
import { type Gpu, probeGpus } from '../integrations/gpu/nvidia-smi.ts';
import { readDisks } from '../integrations/host/disks.ts';
import { runningPrograms } from '../integrations/host/programs.ts';
import { probeModelServer } from '../integrations/inference/model-server-probe.ts';
import { readPostgres } from '../stores/postgres-reading.ts';
import { dataFolders, type HomeFacts, readHome, readModes, type Service, servicesOf } from './home.ts';
import { readBackups } from './backups.ts';
import { readPorts } from './ports.ts';
import { readRedis, readTemporal, reading } from './servers.ts';

/** What `GET /v1/doctor` answers. */
export interface ApiDoctor {
  app: string;
  node: string;
  checks: Check[];
}

/** Each server is given so long to answer. */
const answerMs = 3_000;

export interface ExamineOptions {
  fleetFile: string;
  /** Asks the API what other machines report; undefined: no address of one is known. */
  askApi: (() => Promise<ApiDoctor>) | undefined;
}

/** Looks at everything that can be reached from this host. What is down is a finding, never an end of the look. */
export async function examine({ fleetFile, askApi }: ExamineOptions): Promise<Check[]> {
  const named = namedEnvironment();
  if ('check' in named) return [named.check];
  const { environment } = named;
  const home = readHome(environment.home);
  const services = servicesOf(home, environment);
  // What `npm start` brings up here is reached on the loopback, in the clear.
  const tlsOf = (service: Service | undefined) => (service?.at.variable ? serverTls(environment.tlsFiles) : undefined);
  const temporalPid = services.temporal?.at.variable === null ? pidOf(home, 'temporal') : undefined;
  const [postgres, redis, temporal, api] = await Promise.all([
    services.postgres &&
      reading(() => readPostgres(services.postgres!.url, answerMs, tlsOf(services.postgres)?.postgres)),
    services.redis && reading(() => readRedis(services.redis!.url, answerMs, tlsOf(services.redis)?.redis)),
    services.temporal &&
      reading(() =>
        readTemporal(services.temporal!.url, environment.temporalNamespace, {
          timeoutMs: answerMs,
          pid: temporalPid,
          tls: tlsOf(services.temporal)?.temporal,
        }),
      ),
    askApi && reading(askApi),
  ]);
  const file = readFleetFile(fleetFile);
  const fleet = file !== null && 'fleet' in file ? file.fleet : undefined;
  const answered = new Set(
    Object.entries({ postgres, redis, temporal, api }).flatMap(([part, read]) =>
      read && 'seen' in read ? [part] : [],
    ),
  );
  const own = ownMachine(fleet, environment.hostName);
  const apiSeen = api && 'seen' in api ? api.seen : undefined;
  const secretFiles = readModes(home, environment.secretFiles);
  const unreadable = [...home.unreadable, ...secretFiles.unreadable];
  const unknown =
    home.unreadable.length === 0
      ? `nothing was started here (no ${environment.home})`
      : 'what the data folder says of it cannot be read';
  const noService = (id: string, variable: string) => skipped(id, `${unknown}, and ${variable} is not set`);

  return [
    ...judgeVersions(
      { app: appVersion(), node: process.version, data: home.stamp?.app, api: apiSeen?.app },
      compareVersions,
    ),
    file === null && apiSeen
      ? skipped('fleet_file', `there is no ${fleetFile} here; the API goes by the one that was applied`)
      : judgeFleetFile(fleetFile, file === null ? null : 'fleet' in file ? sizeOf(file.fleet) : file),
    judgeHome(home.folder, home.there, unreadable),
    judgePorts(await readPorts(home, answered), home.running),
    judgeSecrets(secretFiles.modes),
    judgeBackups(readBackups(home, backupEnvironment())),
    judgeDisk(readDisks(dataFolders(home))),
    ...(services.postgres && postgres
      ? judgePostgres(services.postgres.at, postgres, fleet?.machines.length ?? 1)
      : [noService('postgres', 'DATABASE_URL')]),
    postgres && 'seen' in postgres
      ? judgeClock(postgres.seen.offsetMs, postgres.seen.roundTripMs)
      : skipped('clock', 'Postgres, whose clock all go by, does not answer'),
    ...(services.redis && redis ? judgeRedis(services.redis.at, redis) : [noService('redis', 'REDIS_URL')]),
    ...(services.temporal && temporal
      ? judgeTemporal(services.temporal.at, environment.temporalNamespace, temporal, compareVersions)
      : [noService('temporal', 'TEMPORAL_ADDRESS')]),
    apiCheck(api),
    certificateCheck(home.folder),
    ...(await judgeOwnMachine(fleet, own, { ...environment, services: placeableBeside(fleetFile) })),
    // What this host sees of its own machine is newer than what its worker last reported.
    ...(apiSeen?.checks ?? []).filter(({ machine, id }) => machine !== own?.id || ['machine', 'report'].includes(id)),
  ];
}

/** Those of the edge and of the authority; machines' are told by the health of the fleet. */
function certificateCheck(folder: string): Check {
  const [authority, server] = [readAuthorities(join(folder, 'tls')).at(-1), join(folder, 'tls', 'server.pem')];
  if (authority === undefined || !existsSync(server))
    return skipped('certificates', 'not set up: what `npm start` brings up listens on this host alone');
  const own = readCertificate(readFileSync(server, 'utf8'));
  const detail = `of the edge until ${own.notAfter.slice(0, 10)}, of authority ${authority.generation} until ${readCertificate(authority.certificate).notAfter.slice(0, 10)}`;
  return own.isDue
    ? amiss('warn', 'certificates', detail, 'Start the fleet: the edge renews its certificate by itself.')
    : ok('certificates', detail);
}

function namedEnvironment(): { environment: ReturnType<typeof doctorEnvironment> } | { check: Check } {
  try {
    return { environment: doctorEnvironment() };
  } catch (err) {
    if (!isDomainError(err)) throw err;
    const [first] = err.fields;
    return { check: amiss('fail', 'environment', err.message, first?.mend ?? 'Mend the variable.') };
  }
}

function readFleetFile(path: string): ReturnType<typeof parseFleet> | { errors: FieldError[] } | null {
  if (!existsSync(path)) return null;
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (err) {
    const rule = `cannot be read: ${(err as NodeJS.ErrnoException).code ?? String(err)}`;
    return { errors: [{ path: '', rule, mend: `Mend its owner and mode (ls -l ${path}), or name it with --file.` }] };
  }
  return parseFleet(text, path);
}

function sizeOf(fleet: Fleet): { machines: number; agents: number } {
  return { machines: fleet.machines.length, agents: fleetAgents(fleet).length };
}

function pidOf({ parts }: HomeFacts, part: string): number | undefined {
  return parts.find(({ name }) => name === part)?.pid;
}

function ownMachine(fleet: Fleet | undefined, hostName: string): FleetMachine | undefined {
  return fleet?.machines.find((machine) => (machine.host ?? machine.id) === hostName);
}

function apiCheck(api: Reading<ApiDoctor> | undefined): Check {
  if (api === undefined) return skipped('api', 'no address of one is known here: npm start, or set SOULFRA_URL');
  if ('seen' in api) return { id: 'api', machine: null, state: 'ok', detail: `${api.seen.app} answers`, mend: null };
  const mend = 'npm start, or look into logs/api.log of the data folder; other machines are not seen without it.';
  return amiss('fail', 'api', api.error, mend);
}

/** The machine of fleet.yaml that this host is, looked at directly: also with everything else down. */
async function judgeOwnMachine(
  fleet: Fleet | undefined,
  machine: FleetMachine | undefined,
  { hostName, modelKey, services }: { hostName: string; modelKey?: string; services: readonly PlaceableService[] },
): Promise<Check[]> {
  if (fleet === undefined || machine === undefined) {
    return [
      skipped('gpu', `no machine of fleet.yaml has the host ${hostName}`),
      skipped('model_server', 'no machine of this host'),
    ];
  }
  const { modelServer } = machine;
  const [gpus, server] = await Promise.all([
    reading(() => probeGpus()),
    modelServer?.url === undefined
      ? null
      : probeModelServer(modelServer.url, modelServer.kind, modelKey === undefined ? {} : { apiKey: modelKey }),
  ]);
  const plan = planWith(fleet, services);
  const planned = plannedOn(plan, fleet, machine);
  // Without a model server there is nothing to load, so the cards may be other than the file says.
  const cards =
    modelServer?.url === undefined
      ? [skipped('gpu', 'the machine runs simulated', machine.id)]
      : judgeGpus(machine, gpus, {
          models: planned,
          services: servicesOnCards(plan, machine.id),
          server,
          yields: (await yieldNow(machine, gpus, planned, server))?.reason ?? null,
        });
  return [...cards, ...judgeModelServer(machine, server, planned)];
}

/** Whether by its rule in fleet.yaml the machine yields now, seen as its worker sees it: so also where the API is down. */
async function yieldNow(
  machine: FleetMachine,
  gpus: Reading<Gpu[]>,
  models: readonly PlannedOn[],
  server: ReportedModelServer | null,
): Promise<YieldCause | null> {
  if (machine.yield === undefined) return null;
  const programs = await reading(() => runningPrograms());
  const signs = {
    programs: 'seen' in programs ? programs.seen : undefined,
    foreignGiB: 'seen' in gpus ? foreignGiBOf(machine, gpus.seen, { models, server }) : undefined,
  };
  return yieldCause(machine.yield, signs, new Date());
}

/** Of the files beside fleet.yaml; what is wrong with those is told by `soulfra config check`. */
function placeableBeside(fleetFile: string): PlaceableService[] {
  const read = readServiceFiles(fleetFile, undefined);
  return 'files' in read ? read.files.flatMap(({ services }) => services.map(placeableService)) : [];
}

/** With all machines of the file alive. */
function planWith(fleet: Fleet, services: readonly PlaceableService[]): Plan {
  const aliveMachineIds = new Set(fleet.machines.map(({ id }) => id));
  return planPlacement(placementInputOf(fleet, { aliveMachineIds, services }));
}

/** What the plan keeps on this machine. */
function plannedOn(plan: Plan, fleet: Fleet, machine: FleetMachine): PlannedOn[] {
  const variants = new Map(modelVariants(fleet).map((variant) => [variant.id, variant]));
  const kind = machine.modelServer?.kind ?? 'openai';
  return (plannedMachine(plan, machine.id)?.models ?? []).map(({ modelId, vramGiB }) => ({
    modelId,
    servedAs: variants.get(modelId)?.servedAs[kind] ?? modelId,
    vramGiB,
  }));
}
