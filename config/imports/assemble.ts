import { posix } from 'node:path';
import { importsGpuLibrary } from '../../domain/gpu-needs.ts';
import {
  type PortRule,
  type Service,
  slugOf,
  type WholeServicesFile,
  type WorkPackage,
} from '../../domain/services.ts';
import { byCodeUnit } from '../../domain/three-way.ts';
import { completed, sameThing, type Settled } from './described-twice.ts';
import type { KnownMachine, ReadFleet } from './read-fleet.ts';
import { type FoundRequirements, type FoundService, place } from './reader.ts';
import { nearestRequirements } from './requirement-files.ts';
import type { Tree } from './tree.ts';

export interface Assembled {
  file: WholeServicesFile;
  notes: string[];
}

/**
 * Old copies come after what is in use, so that where both describe a service the one in use is taken. What makes backups or
 * archives begins with that word, and is none.
 */
export const oldCopy =
  /(^|[/._-])(old|bak|deprecated|archived|legacy|orig)([/._-]|$)|(^|\/)archive\/|[._-](backup|archive|copy)([._-]\d*)*(\.\w+)?$/i;

/** All that was read, made into one file: one entry a service, with ids, ports by rule, dependencies and needs of a GPU. */
export function assemble(
  { readings }: ReadFleet,
  { tree, machines, portRules }: { tree: Tree; machines: readonly KnownMachine[]; portRules: readonly PortRule[] },
): Assembled {
  const notes = readings.flatMap((reading) => reading.notes ?? []);
  const rules = rulesOf(
    portRules,
    readings.flatMap((reading) => reading.portRules ?? []),
    notes,
  );
  const found = readings.flatMap((reading) => reading.services ?? []);
  const images = readings.flatMap((reading) => reading.images ?? []);
  const built = withImages(found, images);
  const settled = settle(built, machines, notes);
  const distinct = distinctOf(settled, notes);
  const ids = idsOf(distinct);
  const requirements = readings.flatMap((reading) => reading.requirements ?? []);
  const gpus = gpusOf(distinct, requirements, tree);
  const services = distinct
    .map((service) => serviceOf(service, { id: ids.get(service)!, ids, rules, gpu: gpus.get(service), notes }))
    .toSorted((a, b) => byCodeUnit(a.id, b.id));
  const workPackages = packagesOf(readings.flatMap((reading) => reading.workPackages ?? []));
  return { file: { version: 1, portRules: rules, services, workPackages }, notes: [...new Set(notes)] };
}

/** What an option says first; then each name once, as the first file states it. */
function rulesOf(given: readonly PortRule[], found: readonly PortRule[], notes: string[]): PortRule[] {
  const rules = new Map<string, PortRule>();
  for (const rule of [...given, ...found]) {
    const before = rules.get(rule.name);
    if (before === undefined) rules.set(rule.name, rule);
    else if (before.add !== rule.add)
      notes.push(`port rule ${rule.name} is ${signed(before.add)} and ${signed(rule.add)}; the first is taken`);
  }
  return [...rules.values()].toSorted((a, b) => byCodeUnit(a.name, b.name)).slice(0, 50);
}

function signed(add: number): string {
  return add < 0 ? String(add) : `+${add}`;
}

/** Dockerfiles complete what is built from them; one that nothing is built from is a service if it runs something. */
function withImages(found: readonly FoundService[], images: readonly FoundService[]): FoundService[] {
  const used = new Set<string>();
  const built = found.map((service) => {
    const image = service.dockerfile === undefined ? undefined : images.find(({ file }) => file === service.dockerfile);
    if (image === undefined) return service;
    used.add(image.file);
    return {
      ...service,
      command: service.command ?? image.command,
      script: service.script ?? image.script,
      health: service.health ?? outsideHealth(image, service),
      gpu: service.gpu ?? image.gpu,
      unresolved: [...service.unresolved, ...image.unresolved],
    };
  });
  const ofScript = new Set(found.flatMap(({ script }) => script ?? []));
  const alone = images.filter(
    ({ file, command, script }) =>
      !used.has(file) && command !== undefined && !(script !== undefined && ofScript.has(script)),
  );
  return [...built, ...alone];
}

/** The check inside the image, at the port that the container publishes for it. */
function outsideHealth({ health }: FoundService, { ports }: FoundService): FoundService['health'] {
  if (health === undefined || health.kind === 'command') return health;
  const port = ports.find(({ containerPort, port: own }) => (containerPort ?? own) === health.port)?.port;
  return port === undefined ? undefined : { ...health, port };
}

function settle(found: readonly FoundService[], machines: readonly KnownMachine[], notes: string[]): Settled[] {
  const settled = found.flatMap((service): Settled[] => {
    const slug = slugOf(service.name);
    if (slug === undefined) {
      notes.push(`a service at ${place(service.file, service.line)} has no name that can be an id; it is left out`);
      return [];
    }
    const named = service.machine?.toLowerCase();
    const on = machines.find(
      ({ id, host }) => named !== undefined && (id === named || host?.toLowerCase() === named),
    )?.id;
    if (
      service.machine !== undefined &&
      on === undefined &&
      !/^(localhost|127\.0\.0\.1|0\.0\.0\.0|::1?|local)$/.test(named!)
    ) {
      const said = `its machine ${service.machine.slice(0, 100)} is not in fleet.yaml (${place(service.file, service.line)})`;
      return [{ ...service, slug, on, alsoIn: [], unresolved: [...service.unresolved, said] }];
    }
    return [{ ...service, slug, on, alsoIn: [] }];
  });
  const rank = ({ file }: Settled) => (oldCopy.test(file) ? 1 : 0);
  return settled.toSorted((a, b) => rank(a) - rank(b) || byCodeUnit(a.file, b.file) || a.line - b.line);
}

/** The same service described in several files is one; what the files say otherwise is told. */
function distinctOf(settled: readonly Settled[], notes: string[]): Settled[] {
  const bySlug = new Map<string, Settled[]>();
  for (const service of settled) {
    const others = bySlug.get(service.slug) ?? [];
    const at = others.findIndex((other) => sameThing(other, service));
    if (at === -1) bySlug.set(service.slug, [...others, service]);
    else others[at] = completed(others[at]!, service, notes);
  }
  const distinct = [...bySlug.values()].flat();
  for (const { file, line, name } of distinct) {
    if (oldCopy.test(file))
      notes.push(`${name} is described only in what looks like an old copy: ${place(file, line)}`);
  }
  return distinct;
}

/** Where two machines have one of a name, `name@machine`; where one machine has several, each has its group or folder before it. */
function idsOf(distinct: readonly Settled[]): Map<Settled, string> {
  const ids = new Map<Settled, string>();
  const used = new Set<string>();
  for (const all of Map.groupBy(distinct, ({ slug }) => slug).values()) {
    const several = new Set(all.flatMap(({ on }) => on ?? [])).size > 1;
    for (const service of all) {
      const alone = all.filter(({ on }) => on === service.on).length === 1;
      const at = service.on === undefined || !several ? '' : `@${service.on}`;
      const before = slugOf(service.group ?? '') ?? slugOf(posix.basename(posix.dirname(service.file)));
      const name =
        alone || before === undefined ? service.slug : `${before}-${service.slug}`.slice(0, 60).replace(/-+$/, '');
      let id = `${name}${at}`;
      for (let i = 2; used.has(id); i++) id = `${name.slice(0, 56)}-${i}${at}`;
      used.add(id);
      ids.set(service, id);
    }
  }
  return ids;
}

interface Settling {
  id: string;
  ids: ReadonlyMap<Settled, string>;
  rules: readonly PortRule[];
  gpu: Service['gpu'] | undefined;
  notes: string[];
}

function serviceOf(found: Settled, { id, ids, rules, gpu }: Settling): Service {
  const unresolved = [...found.unresolved];
  const ports = portsOf(found, rules, unresolved);
  const dependsOn = dependenciesOf(found, id, ids, unresolved);
  const health = healthOf(found, ports);
  return {
    id,
    ...(found.on === undefined ? {} : { machine: found.on }),
    kind: found.kind,
    ...(found.command === undefined || found.command.length === 0 ? {} : { command: found.command }),
    ...(found.image === undefined || found.image === '' ? {} : { image: found.image.slice(0, 500) }),
    ...(found.workingDirectory === undefined || found.workingDirectory === ''
      ? {}
      : { workingDirectory: found.workingDirectory.slice(0, 500) }),
    ...(ports.length === 0 ? {} : { ports }),
    ...(health === undefined ? {} : { healthCheck: health }),
    ...(dependsOn.length === 0 ? {} : { dependsOn }),
    ...(found.required ? {} : { required: false }),
    ...(gpu === undefined ? {} : { gpu }),
    source: place(found.file, found.line),
    ...(found.alsoIn.length === 0 ? {} : { alsoIn: [...new Set(found.alsoIn)].slice(0, 100) }),
    ...(unresolved.length === 0 ? {} : { unresolved: [...new Set(unresolved)].slice(0, 100) }),
  };
}

/** Each number once; then what rules derive of processes, since a container says itself what it publishes. */
function portsOf(found: Settled, rules: readonly PortRule[], unresolved: string[]): NonNullable<Service['ports']> {
  const ports = found.ports
    .filter(
      (port, i, all) => all.findIndex((other) => other.port === port.port && other.protocol === port.protocol) === i,
    )
    .slice(0, 150);
  if (found.kind !== 'process' && found.kind !== 'unit') return ports;
  const derived: NonNullable<Service['ports']> = [];
  for (const { name, add, to = 'main' } of rules) {
    const from = ports.find((port) => port.name === to);
    if (from === undefined || ports.some((port) => port.name === name)) continue;
    const port = from.port + add;
    if (port < 1 || port > 65_535) unresolved.push(`port rule ${name} leads to ${port}, which is no port`);
    else if (!ports.some((other) => other.port === port))
      derived.push({ name, port, derived: `${to} ${add < 0 ? '-' : '+'} ${Math.abs(add)}` });
  }
  return [...ports, ...derived];
}

function healthOf({ health }: Settled, ports: readonly { name: string; port: number }[]): Service['healthCheck'] {
  if (health === undefined) return undefined;
  if (health.kind === 'command') return health;
  const port =
    health.port ?? (ports.find(({ name }) => name === 'health') ?? ports.find(({ name }) => name === 'main'))?.port;
  if (port === undefined) return undefined;
  return health.kind === 'http' ? { kind: 'http', port, path: health.path } : { kind: 'tcp', port };
}

/** A name means the service of the same file, else the one on the same machine, else every one of that name. */
function dependenciesOf(found: Settled, id: string, ids: ReadonlyMap<Settled, string>, unresolved: string[]): string[] {
  const wanted = new Set<string>();
  for (const name of found.dependsOn.slice(0, 200)) {
    const [plain = '', machine] = name.replace(/\.service$/, '').split('@');
    const slug = slugOf(plain);
    const all = [...ids.keys()].filter(
      (other) => other.slug === slug && other !== found && (machine === undefined || other.on === machine),
    );
    const inFile = all.filter(
      (other) => other.file === found.file && (other.on === found.on || found.on === undefined),
    );
    const inGroup = inFile.filter((other) => other.group === found.group);
    const onMachine = all.filter((other) => other.on !== undefined && other.on === found.on);
    const meant = [inGroup, inFile, onMachine].find((some) => some.length > 0) ?? all;
    if (meant.length === 0)
      unresolved.push(
        `it depends on ${name.slice(0, 100)}, which nothing here starts (${place(found.file, found.line)})`,
      );
    for (const other of meant) wanted.add(ids.get(other)!);
  }
  wanted.delete(id);
  return [...wanted].toSorted(byCodeUnit).slice(0, 150);
}

/** What its own files say; else the requirement file nearest to its script, where that is its own or the script imports the library. */
function gpusOf(
  distinct: readonly Settled[],
  requirements: readonly FoundRequirements[],
  tree: Tree,
): Map<Settled, Service['gpu']> {
  const files = requirements.map(({ file }) => file);
  const byFile = Map.groupBy(
    distinct.filter(({ script }) => script !== undefined),
    ({ script }) => nearestRequirements(script!, files),
  );
  const gpus = new Map<Settled, Service['gpu']>();
  for (const service of distinct)
    if (service.gpu !== undefined) gpus.set(service, { ...service.gpu, because: service.gpu.because.slice(0, 20) });
  for (const [file, services] of byFile) {
    const asked = requirements.find((each) => each.file === file)?.gpu ?? [];
    const scripts = new Set(services.map(({ script }) => script));
    for (const service of services) {
      if (asked.length === 0) continue;
      const imported = scripts.size === 1 ? undefined : importsGpuLibrary(tree.read(service.script!) ?? '');
      if (scripts.size > 1 && imported === undefined) continue;
      const because = [
        ...(service.gpu?.because ?? []),
        ...asked,
        ...(imported === undefined ? [] : [`imports ${imported} (${service.script})`]),
      ];
      gpus.set(service, { ...service.gpu, because: because.slice(0, 20) });
    }
  }
  return gpus;
}

function packagesOf(found: readonly WorkPackage[]): WorkPackage[] {
  const used = new Map<string, WorkPackage>();
  for (const each of found.toSorted((a, b) => byCodeUnit(a.source, b.source))) {
    let id = each.id;
    if (used.has(id)) id = slugOf(`${posix.basename(posix.dirname(each.script))}-${id}`) ?? id;
    for (let i = 2; used.has(id); i++) id = `${each.id.slice(0, 56)}-${i}`;
    used.set(id, { ...each, id });
  }
  const all = [...used.values()];
  return all
    .map((each) => ({ ...each, needs: each.needs?.map((need) => packageMeant(need, all) ?? need) ?? [] }))
    .toSorted((a, b) => byCodeUnit(a.id, b.id));
}

/** `WP-02` means the work package `wp-02-images`. */
function packageMeant(need: string, all: readonly WorkPackage[]): string | undefined {
  const slug = slugOf(need);
  const exact = all.find(({ id }) => id === slug);
  const begun = all.filter(({ id }) => slug !== undefined && /\d/.test(slug) && id.startsWith(`${slug}-`));
  return exact?.id ?? (begun.length === 1 ? begun[0]!.id : undefined);
}
