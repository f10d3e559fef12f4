import { servicesByPlace } from './readiness-containers.ts';
import { type Finding, finding } from './readiness.ts';
import { type ReadinessRuleId, readinessRules } from './readiness-rules.ts';
import type { ContainerFacts, Inventory, Mark, StopTrial } from './readiness-inventory.ts';
import type { Service } from './services.ts';

/** Kinds of marks (domain/readiness-text.ts) that are of security, and the rule of each; a secret's kind begins with `secret.`. */
const markRules: Record<string, ReadinessRuleId> = {
  'authentication.off': 'authentication-off',
  'certificate.unchecked': 'certificate-unchecked',
  'address.plain': 'plain-http',
};

const mostUnread = 100;

export function assessSecurity({ marks, services, containers, tools, unread = [] }: Inventory): Finding[] {
  const byPlace = servicesByPlace(services);
  return [
    ...marks.flatMap(ofMark),
    ...services.flatMap(exposedStores),
    ...containers
      .filter(({ privileged, controlsHost }) => privileged || controlsHost)
      .map(({ name, place, privileged }) =>
        finding('container-privileged', {
          subject: byPlace.get(place)?.id ?? name,
          place,
          evidence: privileged ? '`privileged: true`' : 'it mounts the socket of the container runtime',
        }),
      ),
    ...unread
      .slice(0, mostUnread)
      .map(({ path, reason }) => finding('file-unread', { subject: path, place: `${path}:1`, evidence: reason })),
    ...(unread.length <= mostUnread
      ? []
      : [
          finding('file-unread', {
            subject: 'and more files',
            evidence: `${unread.length - mostUnread} more were not read: ${unread.at(mostUnread)!.path} and others`,
          }),
        ]),
    ...byTool(tools, 'gitleaks', 'secret-by-tool', placesOf(marks.filter(({ kind }) => kind.startsWith('secret.')))),
  ];
}

/** Lines of which no tool may say more than that: some quote what stands there. */
export function secretPlaces({ marks, tools }: Pick<Inventory, 'marks' | 'tools'>): Set<string> {
  return placesOf([
    ...marks.filter(({ kind }) => kind.startsWith('secret.')),
    ...tools.filter(({ tool }) => tool === 'gitleaks').flatMap(({ findings }) => findings),
  ]);
}

export function placesOf(all: ReadonlyArray<{ file: string; line: number }>): Set<string> {
  return new Set(all.map(({ file, line }) => `${file}:${line}`));
}

function ofMark({ kind, about, file, line }: Mark): Finding[] {
  const rule = kind.startsWith('secret.') ? 'secret-in-file' : markRules[kind];
  if (rule === undefined) return [];
  const evidence = rule === 'secret-in-file' ? `${about}; its value is not shown` : about;
  return [finding(rule, { subject: `${file} ${about}`, place: `${file}:${line}`, evidence })];
}

/** What keeps data, by the name of its image. */
const stores =
  /(^|\/)(postgres|postgis|pgvector|timescaledb|mysql|mariadb|mongo|redis|valkey|elasticsearch|opensearch|cassandra|couchdb|neo4j|rabbitmq|memcached|influxdb|clickhouse[\w-]*|qdrant|weaviate|minio|etcd)([:@]|$)/;
/** Of them, those whose data is the truth and no cache. */
const keeping =
  /(^|\/)(postgres|postgis|pgvector|timescaledb|mysql|mariadb|mongo|cassandra|couchdb|neo4j|influxdb|clickhouse[\w-]*|qdrant|weaviate|minio)([:@]|$)/;

function exposedStores(service: Service): Finding[] {
  if (service.image === undefined || !stores.test(service.image)) return [];
  const open = (service.ports ?? []).filter(
    ({ address }) => address === undefined || /^(0\.0\.0\.0|::|\*|\[::\])$/.test(address),
  );
  if (open.length === 0) return [];
  return [
    finding('store-exposed', {
      subject: service.id,
      place: service.source,
      evidence: `${service.image} at ${open.map(({ port }) => `*:${port}`).join(', ')}`,
    }),
  ];
}

export function assessResources({ services, machines, containers, live }: Inventory): Finding[] {
  const byPlace = servicesByPlace(services);
  return [
    ...machines.flatMap(({ id, vramGiB }) => {
      const there = services.filter(({ machine, gpu }) => machine === id && gpu?.vramGiB !== undefined);
      const wanted = there.reduce((sum, { gpu }) => sum + gpu!.vramGiB!, 0);
      const has = vramGiB.reduce((sum, each) => sum + each, 0);
      if (wanted <= has || has === 0) return [];
      return [
        finding('vram-exceeded', {
          subject: id,
          place: there[0]!.source,
          evidence: `${there.map((service) => `${service.id} ${service.gpu!.vramGiB}`).join(' + ')} = ${rounded(wanted)} GiB of ${rounded(has)} GiB`,
        }),
      ];
    }),
    ...services
      .filter(({ gpu }) => gpu !== undefined && gpu.vramGiB === undefined)
      .map((service) =>
        finding('gpu-without-size', {
          subject: service.id,
          place: service.source,
          evidence: service.gpu!.because.slice(0, 3).join(', '),
        }),
      ),
    ...containers
      .filter(({ memoryLimit, required }) => !memoryLimit && required)
      .map(({ name, place }) =>
        finding('memory-unlimited', { subject: byPlace.get(place)?.id ?? name, place, evidence: 'no limit is set' }),
      ),
    ...machines.flatMap(({ id }) => {
      const seen = live.find(({ machine }) => machine === id);
      if (seen === undefined)
        return [finding('live-unknown', { subject: id, evidence: `nothing was read of ${id} itself` })];
      if (seen.freeDiskGiB === null || seen.freeDiskGiB >= leastDiskGiB) return [];
      return [finding('disk-low', { subject: id, evidence: `${rounded(seen.freeDiskGiB)} GiB free` })];
    }),
  ];
}

const leastDiskGiB = 10;

function rounded(amount: number): number {
  return Math.round(amount * 100) / 100;
}

export function assessObservability({ services, scrapes, marks }: Inventory): Finding[] {
  const asked = new Set(scrapes.flatMap(({ names }) => names));
  const metering = services.filter(({ ports = [] }) => ports.some(({ name }) => /^(metrics|prometheus)$/.test(name)));
  const unscraped =
    scrapes.length === 0
      ? []
      : metering.filter(({ ports = [] }) => {
          const metrics = ports.find(({ name }) => /^(metrics|prometheus)$/.test(name))!;
          return !asked.has(String(metrics.port));
        });
  return [
    ...(scrapes.length > 0 || services.length === 0
      ? []
      : [
          finding('metrics-nowhere', {
            subject: 'repository',
            evidence: `no file has scrape_configs; ${metering.length} of ${services.length} services have a port for metrics`,
          }),
        ]),
    ...unscraped.map((service) =>
      finding('not-scraped', {
        subject: service.id,
        place: service.source,
        evidence: `no target of ${scrapes.map(({ file }) => file).join(', ')} has its port`,
      }),
    ),
    ...services.filter(discards).map((service) =>
      finding('output-discarded', {
        subject: service.id,
        place: service.source,
        evidence: 'its command sends its output to /dev/null',
      }),
    ),
    ...marks
      .filter(({ kind }) => kind === 'output.discarded')
      .map(({ about, file, line }) =>
        finding('output-discarded', { subject: `${file} ${about}`, place: `${file}:${line}`, evidence: about }),
      ),
  ];
}

function discards({ command = [] }: Service): boolean {
  return /(&|1|2|^|\s)>+\s*\/dev\/null/.test(command.join(' '));
}

export function assessData(inventory: Inventory): Finding[] {
  const { containers, services, backups } = inventory;
  const byPlace = servicesByPlace(services);
  const keepers = containers.filter(({ image }) => image !== null && keeping.test(image));
  const saved = new Set(backups.flatMap(({ names }) => names));
  return [
    ...keepers.flatMap((store) => ofStore(store, byPlace.get(store.place)?.id ?? store.name, saved)),
    ...sharedVolumes(keepers, byPlace),
    ...services.flatMap(unpinnedModels),
  ];
}

function ofStore(
  { name, place, image, volumes }: ContainerFacts,
  subject: string,
  saved: ReadonlySet<string>,
): Finding[] {
  if (volumes.length === 0)
    return [finding('store-without-volume', { subject, place, evidence: `${image} has no volume` })];
  if ([name, ...volumes.map((volume) => volume.name)].some((word) => saved.has(word))) return [];
  return [
    finding('store-without-backup', {
      subject,
      place,
      evidence: `no script of copies names ${name} or ${volumes.map((volume) => volume.name).join(', ')}`,
    }),
  ];
}

function sharedVolumes(keepers: readonly ContainerFacts[], byPlace: ReadonlyMap<string, Service>): Finding[] {
  const machineOf = ({ place }: ContainerFacts) => byPlace.get(place)?.machine ?? '';
  const uses = keepers.flatMap((store) =>
    store.volumes.map((volume) => ({ store, key: `${machineOf(store)} ${fileOf(store, volume)} ${volume.name}` })),
  );
  return [...Map.groupBy(uses, ({ key }) => key).values()].flatMap((all) => {
    const names = [...new Set(all.map(({ store }) => byPlace.get(store.place)?.id ?? store.name))].toSorted();
    if (names.length < 2) return [];
    const [{ store, key }] = all as [(typeof all)[number]];
    return [
      finding('volume-shared', {
        subject: names.join(' '),
        place: store.place,
        evidence: `${names.join(' and ')} write to ${key.split(' ').at(-1)}`,
      }),
    ];
  });
}

/** A named volume is of its compose file; a folder is of the host. */
function fileOf({ place }: ContainerFacts, { bind }: { bind: boolean }): string {
  return bind ? '' : place.replace(/:\d+$/, '');
}

/** `--model org/name` without a revision, or `name:latest`. */
function unpinnedModels(service: Service): Finding[] {
  const words = service.command ?? [];
  const given = (option: string) => {
    const at = words.findIndex((word) => word === option || word.startsWith(`${option}=`));
    return at === -1 ? undefined : words[at]!.includes('=') ? words[at]!.split('=')[1] : words[at + 1];
  };
  const model = given('--model') ?? given('--model-id');
  if (model === undefined || model.startsWith('/') || model.startsWith('.') || model.includes('$')) return [];
  const hub = /^[\w.-]+\/[\w.-]+$/.test(model) && !/\.(gguf|safetensors|bin|onnx)$/.test(model);
  const pinned = given('--revision') !== undefined || model.includes('@');
  if ((!hub && !model.endsWith(':latest')) || pinned) return [];
  return [
    finding('model-unpinned', {
      subject: service.id,
      place: service.source,
      evidence: `it loads ${model}, whatever that is when it starts`,
    }),
  ];
}

/** Shorter is not enough to end what is in hand. */
const leastStopSeconds = 2;

export function assessOperations(inventory: Inventory): Finding[] {
  const { containers, units, images, services, runbooks, marks, stops } = inventory;
  const byPlace = servicesByPlace(services);
  const abrupt = (signal: string | null, seconds: number | null, mode: string | null = null) => {
    if (signal !== null && /KILL$|^9$/.test(signal)) return `it is stopped by ${signal}`;
    if (mode === 'none') return '`KillMode=none`: nothing stops what it started';
    if (seconds !== null && seconds < leastStopSeconds) return `it has ${seconds} s to end`;
    return undefined;
  };
  const stopping = [
    ...containers.map(({ name, place, stopSignal, stopSeconds }) => ({
      subject: byPlace.get(place)?.id ?? name,
      place,
      said: abrupt(stopSignal, stopSeconds),
    })),
    ...units.map(({ name, place, killSignal, stopSeconds, killMode }) => ({
      subject: name,
      place,
      said: abrupt(killSignal, stopSeconds, killMode),
    })),
    ...images.map(({ file, line, stopSignal }) => ({
      subject: file,
      place: `${file}:${line}`,
      said: abrupt(stopSignal, null),
    })),
  ];
  return [
    ...stopping.flatMap(({ subject, place, said }) =>
      said === undefined ? [] : [finding('stop-not-graceful', { subject, place, evidence: said })],
    ),
    ...images
      .filter(({ shellForm, runs }) => shellForm && runs)
      .map(({ file, line }) =>
        finding('signals-kept-by-shell', {
          subject: file,
          place: `${file}:${line}`,
          evidence: 'its command is a line for the shell',
        }),
      ),
    ...marks
      .filter(({ kind }) => kind === 'signal.ignored')
      .map(({ file, line, about }) =>
        finding('stop-ignored', { subject: file, place: `${file}:${line}`, evidence: about }),
      ),
    ...stops.flatMap(ofStop),
    ...untriedStops(inventory),
    ...(runbooks.length > 0 || services.length === 0
      ? []
      : [
          finding('runbook-missing', {
            subject: 'repository',
            evidence: 'no file is named runbook, operations or incident',
          }),
        ]),
  ];
}

function ofStop({ service, refused, ended, said, clean, seconds, left, triedOn }: StopTrial): Finding[] {
  if (refused !== null) return [finding('stop-untried', { subject: service, evidence: refused })];
  const when = triedOn === undefined ? '' : ` (tried on ${triedOn})`;
  if (!ended)
    return [
      finding('stop-ignored', {
        subject: service,
        evidence: `it still ran ${seconds} s after SIGTERM, and was killed${when}`,
      }),
    ];
  const how = `it ended by ${said} ${seconds} s after SIGTERM${when}`;
  return [
    ...(left.length === 0
      ? []
      : [
          finding('stop-leaves-behind', {
            subject: service,
            evidence: `${how}, and these were left: ${left.slice(0, 10).join(', ')}`,
          }),
        ]),
    ...(clean ? [] : [finding('stop-fails', { subject: service, evidence: how })]),
  ];
}

/** One finding for all, since that nobody has looked is one thing. */
function untriedStops({ services, stops }: Inventory): Finding[] {
  const tried = new Set(stops.map(({ service }) => service));
  const untried = services.filter(({ id, kind }) => kind !== 'pod' && !tried.has(id));
  if (untried.length === 0) return [];
  const [oldest] = stops.flatMap(({ refused, triedOn }) => (refused === null ? (triedOn ?? []) : [])).toSorted();
  return [
    finding('stop-untried', {
      subject: 'services',
      evidence: `${untried.length} of ${services.length} were not stopped by SIGTERM and looked at${oldest === undefined ? '' : `; of the others the oldest trial is of ${oldest}`}`,
    }),
  ];
}

/** What a kept tool found beyond what is found here: of one line both would say the same. */
export function byTool(
  tools: Inventory['tools'],
  name: string,
  rule: ReadinessRuleId,
  said: ReadonlySet<string> = new Set(),
): Finding[] {
  return tools
    .filter(({ tool }) => tool === name)
    .flatMap(({ tool, state, detail, install, findings }) => [
      ...(state === 'ran' && detail === '' ? [] : [notLooked(tool, detail, { state, install, rule })]),
      ...findings
        .filter(({ file, line }) => !said.has(`${file}:${line}`))
        .map(({ code, file, line, message, severity }) =>
          finding(rule, {
            subject: `${file} ${code} ${message}`,
            place: `${file}:${line}`,
            evidence: `${tool} ${code}: ${message}`,
            ...(severity === undefined ? {} : { severity }),
          }),
        ),
    ]);
}

/** Of the area that it would have looked at. */
function notLooked(
  tool: string,
  evidence: string,
  { state, install, rule }: { state: 'ran' | 'absent' | 'failed'; install: string; rule: ReadinessRuleId },
): Finding {
  const seen = { subject: tool, evidence, ...(state === 'absent' ? { mend: install } : {}) };
  return { ...finding('tool-absent', seen), area: readinessRules[rule].area };
}
