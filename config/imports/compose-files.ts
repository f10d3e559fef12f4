import { posix } from 'node:path';
import { type ServicePort, slugOf } from '../../domain/services.ts';
import { extendsOf } from './compose-extends.ts';
import { entry, flagOf, type Located, scalarText, textAt, textsOf } from './located-yaml.ts';
import {
  type FoundHealth,
  type FoundService,
  type ImportFile,
  place,
  type Reader,
  type ReadingContext,
} from './reader.ts';
import { environmentOf } from './startup-files.ts';
import { pathFrom } from './tree.ts';
import { createExpander, type Expander, portsOfCommand, scriptOfCommand, splitCommand } from './values.ts';

/** `services:` whose entries have an image or are built; by its name, too, since an override has neither. */
export const composeFiles: Reader = {
  takes({ name, documents }) {
    if (documents === undefined) return false;
    if (/(^|\/)(docker-)?compose[^/]*\.ya?ml$/i.test(name)) return true;
    return documents.some((document) => {
      const services = entry(document, 'services')?.value;
      return (
        services?.kind === 'map' &&
        services.entries.size > 0 &&
        [...services.entries.values()].every(({ value }) => entry(value, 'image', 'build') !== undefined)
      );
    });
  },
  read(file, context) {
    const notes: string[] = [];
    const extend = extendsOf(file, context.fileNamed);
    const tellAt = (line: number) => (said: string) => notes.push(`${said} (${place(file.name, line)})`);
    const services = (file.documents ?? []).flatMap((document) => {
      const found = entry(document, 'services')?.value;
      if (found?.kind !== 'map') return [];
      return [...found.entries].map(([name, { line, value }]) =>
        composeService(name, line, extend(name, value, tellAt(line)), file, context),
      );
    });
    const includes = (file.documents ?? []).flatMap((document) => includesOf(document, file.name, notes));
    return { services, includes, notes };
  },
};

function includesOf(document: Located, file: string, notes: string[]): string[] {
  const include = entry(document, 'include')?.value;
  const listed =
    include?.kind === 'list'
      ? include.items.flatMap((item) => [...textsOf(item), ...textsOf(entry(item, 'path')?.value)])
      : textsOf(include);
  const services = entry(document, 'services')?.value;
  const extended =
    services?.kind === 'map'
      ? [...services.entries.values()].flatMap(({ value }) => textAt(entry(value, 'extends')?.value, 'file') ?? [])
      : [];
  return [...listed, ...extended].flatMap((named) => {
    const path = pathFrom(file, named);
    if (path === undefined) notes.push(`${file} names ${named.slice(0, 200)}, which lies outside; it is not read`);
    return path ?? [];
  });
}

function composeService(
  name: string,
  line: number,
  value: Located,
  file: ImportFile,
  context: ReadingContext,
): FoundService {
  const at = place(file.name, line);
  const own = environmentOf(entry(value, 'environment')?.value);
  const listed = entry(value, 'env_file')?.value;
  const files =
    listed?.kind === 'list'
      ? listed.items.flatMap((item) => [...textsOf(item), ...textsOf(entry(item, 'path')?.value)])
      : textsOf(listed);
  const machine = machineOf(value) ?? context.machine;
  // Compose fills in its file from .env alone; what a container is given is for the container.
  const expander = createExpander(context.variables({ machine }));
  for (const path of files) {
    if (pathFrom(file.name, path) === undefined)
      expander.unresolved.push(`${path.slice(0, 200)} lies outside; it is not read (${at})`);
  }
  const command = [...wordsOf(entry(value, 'entrypoint')?.value), ...wordsOf(entry(value, 'command')?.value)];
  const words = expander.words(command, at);
  const build = entry(value, 'build')?.value;
  const ports = publishedPorts(entry(value, 'ports')?.value, expander, file.name);
  const hostNetwork = textAt(value, 'network_mode') === 'host';
  if (hostNetwork) {
    const inner = [...portsOfCommand(words), ...exposed(entry(value, 'expose')?.value, expander, file.name)];
    for (const port of inner) if (!ports.some((other) => other.port === port.port)) ports.push(port);
    const named = own.get('PORT');
    const port = named === undefined || ports.length > 0 ? undefined : expander.port(named, 'PORT', at);
    if (port !== undefined) ports.push({ name: 'main', port });
  }
  const image = textAt(value, 'image');
  return {
    name,
    file: file.name,
    line,
    kind: 'container',
    machine,
    ...(words.length === 0 ? {} : { command: words }),
    image: image === undefined ? undefined : expander.text(image, 'its image', at),
    dockerfile: dockerfileOf(build, file.name),
    script: scriptOfCommand(words, { file: file.name, folder: buildFolder(build, file.name), has: context.has }),
    ports,
    health: healthOf(entry(value, 'healthcheck')?.value, ports, expander, at),
    dependsOn: dependsOn(entry(value, 'depends_on')?.value),
    required: entry(value, 'profiles') === undefined && textAt(value, 'restart') !== 'no',
    gpu: gpuOf(value, at),
    own,
    environmentFiles: files,
    unresolved: expander.unresolved,
  };
}

function wordsOf(value: Located | undefined): string[] {
  return value?.kind === 'scalar' ? (value.value === null ? [] : splitCommand(scalarText(value))) : textsOf(value);
}

function machineOf(value: Located): string | undefined {
  for (const constraint of textsOf(
    entry(entry(entry(value, 'deploy')?.value, 'placement')?.value, 'constraints')?.value,
  )) {
    const host = /^node\.hostname\s*==\s*(\S+)$/.exec(constraint)?.[1];
    if (host !== undefined) return host;
  }
  const labels = environmentOf(entry(value, 'labels')?.value);
  return labels.get('machine') ?? labels.get('soulfra.machine');
}

/** `"8080:80"`, `"127.0.0.1:8080:80/tcp"`, `"8000-8002:80-82"`, and mappings. What is not published is the container's own. */
function publishedPorts(value: Located | undefined, expander: Expander, file: string): ServicePort[] {
  const ports: ServicePort[] = [];
  const add = (
    published: number,
    inner: number | undefined,
    more: { address?: string | undefined; protocol?: string | undefined; name?: string | undefined },
  ) => {
    const name = slugOf(more.name ?? '') ?? (ports.length === 0 ? 'main' : `port-${inner ?? published}`);
    ports.push({
      name: ports.some((other) => other.name === name) ? `${name}-${ports.length + 1}` : name,
      port: published,
      ...(more.protocol === 'udp' ? { protocol: 'udp' as const } : {}),
      ...(more.address === undefined || more.address === '' || more.address === '0.0.0.0'
        ? {}
        : { address: more.address }),
      ...(inner === undefined ? {} : { containerPort: inner }),
    });
  };
  for (const item of value?.kind === 'list' ? value.items : []) {
    const at = place(file, item.line);
    if (item.kind === 'map') {
      const published = textAt(item, 'published');
      const target = textAt(item, 'target');
      const port = published === undefined ? undefined : expander.port(published, 'a published port', at);
      const inner = target === undefined ? undefined : expander.port(target, 'a container port', at);
      if (port !== undefined)
        add(port, inner, {
          address: textAt(item, 'host_ip'),
          protocol: textAt(item, 'protocol'),
          name: textAt(item, 'name'),
        });
      continue;
    }
    if (item.kind !== 'scalar') continue;
    const text = expander.text(scalarText(item), 'a published port', at);
    if (text.includes('${')) continue;
    const found = /^(?:(\[[0-9a-f:]+\]|[^:]+):)?([^:]+):([^:/]+)(?:\/(tcp|udp))?$/i.exec(text);
    // A port alone is published at whatever is free.
    if (!found) continue;
    const [outer, inner] = [rangeOf(found[2]!, expander, at), rangeOf(found[3]!, expander, at)];
    for (const [i, port] of outer.entries())
      add(port, inner[i], { address: found[1]?.replace(/^\[|\]$/g, ''), protocol: found[4]?.toLowerCase() });
  }
  return ports;
}

function rangeOf(text: string, expander: Expander, at: string): number[] {
  const range = /^(\d{1,5})-(\d{1,5})$/.exec(text);
  if (!range) return [expander.port(text, 'a published port', at)].filter((port) => port !== undefined);
  const [from, to] = [Number(range[1]), Number(range[2])];
  if (from < 1 || to > 65_535 || to < from || to - from >= 100) {
    expander.unresolved.push(`a range of ports is not one of at most 100: ${text} (${at})`);
    return [];
  }
  return Array.from({ length: to - from + 1 }, (_, i) => from + i);
}

function exposed(value: Located | undefined, expander: Expander, file: string): ServicePort[] {
  return textsOf(value).flatMap((text, i) => {
    const port = expander.port(text.replace(/\/(tcp|udp)$/, ''), 'an exposed port', place(file, value!.line));
    return port === undefined ? [] : [{ name: i === 0 ? 'main' : `port-${port}`, port }];
  });
}

/** Of a test that asks over HTTP inside the container, the same question from outside, where its port is published. */
function healthOf(
  value: Located | undefined,
  ports: readonly ServicePort[],
  expander: Expander,
  at: string,
): FoundHealth | undefined {
  if (value === undefined || flagOf(entry(value, 'disable')?.value) === true) return undefined;
  const words = wordsOf(entry(value, 'test')?.value);
  const test = words[0] === 'CMD' || words[0] === 'CMD-SHELL' ? words.slice(1) : words;
  if (test.length === 0 || words[0] === 'NONE') return undefined;
  return askedFromOutside(expander.words(test, at), ports);
}

/** The check of a container as the host can make it. */
export function askedFromOutside(test: readonly string[], ports: readonly ServicePort[]): FoundHealth {
  const address = /https?:\/\/(?:localhost|127\.0\.0\.1|0\.0\.0\.0)(?::(\d{1,5}))?(\/[^\s"'|;&)]*)?/.exec(
    test.join(' '),
  );
  const inner = address === null ? undefined : Number(address[1] ?? 80);
  const port = ports.find(({ containerPort, port: own }) => (containerPort ?? own) === inner)?.port;
  return port === undefined
    ? { kind: 'command', command: [...test] }
    : { kind: 'http', port, path: address![2] ?? '/' };
}

function dependsOn(value: Located | undefined): string[] {
  return value?.kind === 'map' ? [...value.entries.keys()] : textsOf(value);
}

function gpuOf(value: Located, at: string): FoundService['gpu'] {
  const because: string[] = [];
  const devices = entry(
    entry(entry(entry(value, 'deploy')?.value, 'resources')?.value, 'reservations')?.value,
    'devices',
  )?.value;
  for (const device of devices?.kind === 'list' ? devices.items : []) {
    if (textsOf(entry(device, 'capabilities')?.value).includes('gpu')) because.push(`it reserves a GPU (${at})`);
  }
  if (entry(value, 'gpus') !== undefined) because.push(`it asks for GPUs (${at})`);
  if (textAt(value, 'runtime') === 'nvidia') because.push(`it runs by the NVIDIA runtime (${at})`);
  return because.length === 0 ? undefined : { because };
}

function buildFolder(build: Located | undefined, file: string): string | undefined {
  const context = build?.kind === 'scalar' ? scalarText(build) : textAt(build, 'context');
  return context === undefined ? undefined : pathFrom(file, context);
}

export function dockerfileOf(build: Located | undefined, file: string): string | undefined {
  if (build === undefined) return undefined;
  const folder = buildFolder(build, file) ?? (build.kind === 'map' ? posix.dirname(file) : undefined);
  return folder === undefined ? undefined : pathFrom(`${folder}/x`, textAt(build, 'dockerfile') ?? 'Dockerfile');
}
