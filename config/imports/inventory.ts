import { posix } from 'node:path';
import type { Fleet } from '../../domain/fleet.ts';
import { workerMetricsPorts } from '../../domain/metrics-ports.ts';
import type {
  Conflict,
  FleetPort,
  Inventory,
  LiveMachine,
  NamedIn,
  OldCopy,
  StopTrial,
  Variable,
} from '../../domain/readiness-inventory.ts';
import { marksOf, ofSums } from '../../domain/readiness-text.ts';
import type { Service, ServicesFile } from '../../domain/services.ts';
import { byCodeUnit } from '../../domain/three-way.ts';
import { oldCopy } from './assemble.ts';
import { modulesOf, needsByScript } from './code-facts.ts';
import { composeReports } from './compose-schema.ts';
import { containerFacts, imageFacts, unitFacts } from './container-facts.ts';
import { createVariables } from './environment-files.ts';
import { ignoredBy } from './ignored-files.ts';
import { type ImportRequest, readRepository, type ReadRepository } from './import-fleet.ts';
import { languagesUnread } from './languages-unread.ts';
import { entry, type Located, textsOf } from './located-yaml.ts';
import { type FoundService, type ImportFile, place } from './reader.ts';
import { writeCopy } from './repository-copies.ts';
import type { Tree } from './tree.ts';

export interface InventoryRequest extends ImportRequest {
  fleet: Fleet | undefined;
  /** Of fleet.d: what stands there goes before what the repository says of the same service. */
  described?: readonly Pick<ServicesFile, 'services'>[];
  live?: readonly LiveMachine[];
  stops?: readonly StopTrial[];
  /** Takes copies of the texts that are read, but of those that git leaves out: secrets belong there. */
  copies?: { folder: string; copied: string[] };
}

/** Documentation is entered for its runbooks alone. */
const documentation = 'docs';
/** What a repository is built and deployed by: no service is described there, but secrets may stand in it, and variables are used. */
const pipelines = ['.github', '.gitlab', '.circleci', '.buildkite', '.forgejo', '.gitea', '.woodpecker', '.ci'];
const texts =
  /(\.(py|pyi|sh|bash|zsh|js|mjs|cjs|ts|tsx|jsx|rb|go|rs|java|kt|php|pl|ps1|lua|ya?ml|toml|json|ini|cfg|conf|env|service|timer|properties|sql|txt|in|tf|hcl|j2|tmpl|html|dockerfile|cron)|(^|\/)(\.env[\w.-]*|Dockerfile[\w.-]*|Containerfile[\w.-]*|Makefile|Justfile|Procfile|crontab[\w.-]*))$/i;
/** Where keys and passwords lie by custom. */
const keyFile =
  /(\.(pem|key|ppk|p8|p12|pfx|jks|keystore|kdbx)|(^|\/)(\.npmrc|\.pypirc|[._]netrc|\.pgpass|\.git-credentials|\.htpasswd|id_(rsa|dsa|ecdsa|ed25519)))$/i;
/** Tools that judge code would judge what only a pipeline runs. */
const pipelineCode = /\.(py|pyi)$|(^|\/)(Dockerfile|Containerfile)[\w.-]*$/i;
const environmentFile = /(^|\/)(\.env([\w.-]*)|[\w.-]+\.env)$/i;

/**
 * Everything that readiness is judged by, read and never run.
 * @throws DomainError INVALID_INPUT for a path or machine that is not there
 */
export function takeInventory(request: InventoryRequest): Inventory {
  const repository = readRepository(request, [documentation, ...pipelines], keyFile);
  const { tree, read, assembled } = repository;
  const below = (folders: readonly string[]) => (name: string) =>
    name
      .toLowerCase()
      .split('/')
      .some((part) => folders.includes(part));
  const inDocs = below([documentation]);
  const inPipelines = below(pipelines);
  const textsOfTree = tree.files
    .filter((name) => (texts.test(name) || keyFile.test(name)) && !inDocs(name))
    .map((name) => ({ name, text: tree.read(name) ?? '' }));
  const [files, ofPipelines] = [false, true].map((wanted) =>
    textsOfTree.filter(({ name }) => inPipelines(name) === wanted),
  ) as [typeof textsOfTree, typeof textsOfTree];
  const byName = new Map(read.files.map((file) => [file.name, file]));
  const containers = read.files.flatMap((file) => containerFacts(file, (name) => byName.get(name)));
  const found = read.readings.flatMap((reading) => reading.services ?? []);
  const services = overlaid(assembled.file.services, request.described ?? []);
  const variablesSet = files.filter(({ name }) => environmentFile.test(name)).flatMap(variablesIn);
  const kept = ignoredBy(tree);
  copyTexts([...files, ...ofPipelines.filter(({ name }) => !pipelineCode.test(name))], kept, request.copies);
  return {
    machines: machinesOf(request, repository),
    services,
    fleetPorts: request.fleet === undefined ? [] : fleetPortsOf(request.fleet),
    workPackages: assembled.file.workPackages.map((each) => ({
      ...each,
      undo: /\b(undo|roll[-_ ]?back|revert|restore)\b/i.test(tree.read(each.script) ?? ''),
    })),
    containers,
    images: read.files.flatMap(imageFacts),
    units: read.files.flatMap(unitFacts),
    conflicts: conflictsOf(repository.notes),
    oldCopies: oldCopiesOf(tree, found, repository.notes),
    variablesSet,
    variablesMissing: missingOf(services, found, tree),
    marks: [
      ...files.flatMap(({ name, text }) => marksOf(name, text, kept(name))),
      ...ofPipelines
        .flatMap(({ name, text }) => marksOf(name, text, kept(name)))
        .filter(({ kind }) => kind.startsWith('secret.')),
    ].slice(0, 20_000),
    modules: modulesOf(files, found),
    languagesUnread: languagesUnread(tree, files),
    namesUsed: usedOf(variablesSet, textsOfTree),
    runbooks: tree.files
      .filter((name) =>
        /(runbook|operations?|incident|on[-_]?call|playbook)[\w.-]*\.(md|rst|txt|adoc)$|(^|\/)(runbooks?|operations)\/[^/]+\.(md|rst|txt|adoc)$/i.test(
          name,
        ),
      )
      .slice(0, 100),
    backups: backupsOf(
      files,
      containers.flatMap(({ name, volumes }) => [name, ...volumes.map((volume) => volume.name)]),
    ),
    scrapes: read.files.flatMap(scrapesOf),
    live: [...(request.live ?? [])],
    stops: [...(request.stops ?? [])],
    tools: composeReports(read.files),
    skipped: tree.skipped
      .filter(({ path }) => !inDocs(path))
      .map(({ path, reason }) => ({ path, reason }))
      .slice(0, 1_000),
    unread: unreadOf(tree, (name) => inDocs(name) || kept(name)),
    hidden: tree.hidden.filter((name) => !inDocs(name)).slice(0, 1_000),
  };
}

/** What nobody has looked at and somebody should: secrets may stand there. Sums of files are not searched where they are read, either. */
function unreadOf(tree: Tree, left: (name: string) => boolean): NonNullable<Inventory['unread']> {
  return tree.skipped
    .filter(({ path, unread }) => (unread || keyFile.test(path)) && !ofSums.test(path) && !left(path))
    .map(({ path, reason }) => ({ path, reason }))
    .toSorted((a, b) => Number(keyFile.test(b.path)) - Number(keyFile.test(a.path)) || byCodeUnit(a.path, b.path))
    .slice(0, 5_000);
}

function copyTexts(
  files: ReadonlyArray<{ name: string; text: string }>,
  kept: (name: string) => boolean,
  copies: InventoryRequest['copies'],
): void {
  if (copies === undefined) return;
  for (const { name, text } of files) {
    if (text === '' || kept(name)) continue;
    writeCopy(copies.folder, name, text);
    copies.copied.push(name);
  }
}

function machinesOf({ fleet }: InventoryRequest, { known }: ReadRepository): Inventory['machines'] {
  return known.map(({ id }) => ({
    id,
    vramGiB:
      fleet?.machines
        .find((machine) => machine.id === id)
        ?.gpus.map(({ vramGiB, reserveGiB }) => Math.max(0, vramGiB - reserveGiB)) ?? [],
  }));
}

/** What listens for the fleet itself: model servers on their own machine, and the metrics of workers. */
function fleetPortsOf(fleet: Fleet): FleetPort[] {
  return fleet.machines.flatMap(({ id, host, modelServer }) => {
    const ports: FleetPort[] = [];
    if (modelServer?.url !== undefined) {
      const { hostname, port, protocol } = new URL(modelServer.url);
      const own = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])$/.test(hostname);
      if (own || hostname === id || hostname === host)
        ports.push({
          machine: id,
          port: port === '' ? (protocol === 'https:' ? 443 : 80) : Number(port),
          address: null,
          what: `model server of ${id}`,
        });
    }
    if (fleet.metrics.enabled) {
      const { own, core } = workerMetricsPorts(fleet, id);
      for (const port of [own, core])
        ports.push({ machine: id, port, address: fleet.metrics.host, what: `worker of ${id} (metrics)` });
    }
    return ports;
  });
}

function overlaid(found: readonly Service[], described: NonNullable<InventoryRequest['described']>): Service[] {
  const all = described.flatMap(({ services }) => services ?? []);
  const byId = new Map(all.map((service) => [service.id, service]));
  const known = new Set(found.map(({ id }) => id));
  return [
    ...found.map((service) => {
      const own = byId.get(service.id);
      return own === undefined ? service : { ...own, source: service.source, alsoIn: service.alsoIn ?? [] };
    }),
    ...all.filter(({ id }) => !known.has(id)),
  ].toSorted((a, b) => byCodeUnit(a.id, b.id));
}

/** The sentences of config/imports that say it. */
const differs = /^(.+) has ports ([\d, ]+) at (.+:\d+) and ([\d, ]+) at (.+:\d+); the first is taken$/;
const copyAlone = /^(.+) is described only in what looks like an old copy: (.+):\d+$/;

function conflictsOf(notes: readonly string[]): Conflict[] {
  return notes.flatMap((note) => {
    const found = differs.exec(note);
    if (found === null) return [];
    const [, name = '', one, first = '', other, second = ''] = found;
    // That an old copy says otherwise is what makes it old.
    if (oldCopy.test(first) || oldCopy.test(second)) return [];
    return [{ name, first, second, said: `ports ${one} and ${other}` }];
  });
}

function oldCopiesOf(tree: Tree, found: readonly FoundService[], notes: readonly string[]): OldCopy[] {
  const alone = notes.flatMap((note) => {
    const said = copyAlone.exec(note);
    return said === null ? [] : [{ name: said[1]!, file: said[2]! }];
  });
  const described = Map.groupBy(found, ({ file }) => file);
  return tree.files
    .filter(
      (name) =>
        oldCopy.test(name) &&
        (described.has(name) || /\.(ya?ml|env|toml|ini|cfg|conf)([._-](old|bak|backup|orig|copy))?$/i.test(name)),
    )
    .slice(0, 1_000)
    .map((file) => ({
      file,
      services: [...new Set((described.get(file) ?? []).map(({ name }) => name))],
      only: alone.filter((each) => each.file === file).map(({ name }) => name),
    }));
}

function variablesIn({ name: file, text }: { name: string; text: string }): Variable[] {
  return text.split('\n').flatMap((line, i) => {
    const name = /^\s*(?:export\s+)?([A-Za-z_]\w*)\s*=/.exec(line)?.[1];
    return name === undefined ? [] : [{ name, file, line: i + 1 }];
  });
}

/** Of the variables, those that any file has as a word elsewhere than before its own `=`. */
function usedOf(variables: readonly Variable[], files: ReadonlyArray<{ name: string; text: string }>): string[] {
  const wanted = new Set(variables.map(({ name }) => name));
  // What other programs read by name, which stands in no file.
  const used = new Set(
    [...wanted].filter((name) =>
      /^(PATH|PYTHON\w*|LD_\w+|CUDA_\w+|NVIDIA_\w+|OLLAMA_\w+|HF_\w+|OMP_\w+|TZ|LANG|LC_\w+|HOME|COMPOSE_\w+|DOCKER_\w+|HTTPS?_PROXY|NO_PROXY|OTEL_\w+)$/i.test(
        name,
      ),
    ),
  );
  for (const { name, text } of files) {
    const body = environmentFile.test(name)
      ? text.replaceAll(/^[ \t]*(?:export[ \t]+)?[A-Za-z_]\w*[ \t]*=/gm, '')
      : text;
    for (const [word] of body.matchAll(/[A-Za-z_]\w*/g)) if (wanted.has(word)) used.add(word);
  }
  return [...used].toSorted(byCodeUnit);
}

/** Variables that the script of a service cannot do without, and that nothing gives it. */
function missingOf(
  services: readonly Service[],
  found: readonly FoundService[],
  tree: Tree,
): Inventory['variablesMissing'] {
  const variables = createVariables(tree);
  const byPlace = new Map(found.map((each) => [place(each.file, each.line), each]));
  const needs = needsByScript(tree);
  return services.flatMap((service) => {
    const from = byPlace.get(service.source);
    if (from?.script === undefined || from.kind === 'pod') return [];
    // A file that lies outside may set anything.
    if (from.environmentFiles?.some((named) => named.startsWith('/')) === true) return [];
    const lookup = variables(from.file, {
      machine: service.machine,
      own: from.own ?? new Map(),
      files: from.environmentFiles ?? [],
    });
    const image = from.dockerfile === undefined ? '' : (tree.read(from.dockerfile) ?? '');
    return needs(from.script)
      .filter(({ name }) => lookup(name) === undefined && from.own?.has(name) !== true && !image.includes(name))
      .map(({ name, line }) => ({ name, service: service.id, place: place(from.script!, line) }));
  });
}

const copying =
  /\b(pg_dump|pg_dumpall|pg_basebackup|mysqldump|mariadb-dump|mongodump|restic|borg|wal-g|pgbackrest|velero|barman|rdiff-backup)\b/;

function backupsOf(files: ReadonlyArray<{ name: string; text: string }>, wanted: readonly string[]): NamedIn[] {
  const known = new Set(wanted);
  return files
    .filter(({ name, text }) => /backup|snapshot/i.test(posix.basename(name)) || copying.test(text))
    .filter(({ name }) => !/compose[^/]*\.ya?ml$/i.test(name))
    .map(({ name, text }) => ({
      file: name,
      names: [
        ...new Set(
          [...text.matchAll(/[\w./~-]+/g)]
            .flatMap(([word]) => [word, ...word.split('/')])
            .filter((word) => known.has(word)),
        ),
      ],
    }));
}

/** Ports that Prometheus or one like it asks. Found by a discovery, they stand in no file. */
function scrapesOf({ name, documents }: ImportFile): NamedIn[] {
  return (documents ?? []).flatMap((document) => {
    const configs = entry(document, 'scrape_configs')?.value;
    if (configs?.kind !== 'list') return [];
    const names = new Set<string>();
    const walk = (value: Located): void => {
      if (value.kind === 'list') value.items.forEach(walk);
      if (value.kind !== 'map') return;
      for (const [key, { value: inner }] of value.entries) {
        if (key.endsWith('_sd_configs')) names.add('*');
        for (const target of key === 'targets' ? textsOf(inner) : []) {
          const port = /:(\d{1,5})$/.exec(target)?.[1];
          if (port !== undefined) names.add(port);
        }
        walk(inner);
      }
    };
    walk(configs);
    return [{ file: name, names: [...names] }];
  });
}
