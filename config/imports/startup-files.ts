import { isForeignYaml } from './foreign-yaml.ts';
import {
  flagOf,
  likeEntry,
  likeText,
  type Located,
  type LocatedMap,
  plainKey,
  scalarText,
  textAt,
  textsOf,
} from './located-yaml.ts';
import { portRulesOf } from './port-rule-files.ts';
import { type FoundService, place, type Reader, type Reading, type ReadingContext } from './reader.ts';
import { healthOf, portsOf } from './startup-ports.ts';
import { pathFrom } from './tree.ts';
import { createExpander, fileOf, moduleFile, portsOfCommand, scriptOfCommand, splitCommand } from './values.ts';

/** What a mapping has from the mappings around it; the nearest says. */
interface Around {
  file: string;
  key: string;
  /** Of the key; undefined in a list. */
  keyLine: number | undefined;
  /** The nearest key around it that says more than that services follow. */
  group: string | undefined;
  machine: string | undefined;
  required: boolean;
  own: ReadonlyMap<string, string>;
  files: readonly string[];
  folder: string | undefined;
  interpreter: string | undefined;
  /** Why nothing below is read, such as `enabled: false (startup.yaml:4)`. */
  off: string | undefined;
}

/** Any mapping at any depth with a script, path or module that names something to start. */
export const startupFiles: Reader = {
  takes: ({ documents }) => documents !== undefined && !documents.some(isForeignYaml),
  read(file, context) {
    const reading = {
      services: [] as FoundService[],
      portRules: [],
      includes: [] as string[],
      notes: [] as string[],
    } satisfies Reading;
    const around: Around = {
      file: file.name,
      key: '',
      keyLine: undefined,
      group: undefined,
      machine: context.machine,
      required: true,
      own: new Map(),
      files: [],
      folder: undefined,
      interpreter: undefined,
      off: undefined,
    };
    const portRules = (file.documents ?? []).flatMap((document) => portRulesOf(document, file.name));
    for (const document of file.documents ?? []) walk(document, around, context, reading);
    return { ...reading, portRules };
  },
};

type Found = { services: FoundService[]; includes: string[]; notes: string[] };

function walk(value: Located, around: Around, context: ReadingContext, found: Found): void {
  if (value.kind === 'list') {
    // The key of a list names the list, none of its items.
    const listed = {
      ...around,
      key: '',
      keyLine: undefined,
      machine: context.machineNamed(around.key) ?? around.machine,
    };
    for (const item of value.items) {
      if (item.kind === 'scalar') includeOf(item, around, found);
      else walk(item, listed, context, found);
    }
    return;
  }
  if (value.kind === 'scalar') return includeOf(value, around, found);
  const here = within(value, around, context);
  const service = serviceOf(value, here, context);
  if (service !== undefined) {
    if (here.off === undefined) found.services.push(service);
    else found.notes.push(`${service.name} is left out: ${here.off}`);
  }
  const group = groupOf(value, here, context);
  for (const [key, { line: keyLine, value: inner }] of value.entries) {
    if (inner.kind === 'scalar') {
      includeOf(inner, { ...here, key }, found);
      continue;
    }
    // What describes a service further holds no services of its own, whatever its keys are called.
    if (service !== undefined && !/^(children|services|workers|sidecars|members|processes)$/.test(plainKey(key)))
      continue;
    if (/^(include|includes|imports?|extends)$/.test(plainKey(key))) {
      for (const text of textsOf(inner)) addInclude(text, around, found);
    }
    walk(inner, { ...here, key, keyLine, group }, context, found);
  }
}

function within(map: LocatedMap, around: Around, context: ReadingContext): Around {
  const named = likeText(map, 'machine', 'host', 'node', 'server', 'runson');
  const environment = likeEntry(map, 'env', 'environment', 'variables', 'vars')?.value;
  const files = textsOf(likeEntry(map, 'envfile', 'envfiles', 'dotenv')?.value);
  const required = flagOf(likeEntry(map, 'required', 'critical')?.value);
  const optional = flagOf(likeEntry(map, 'optional')?.value);
  const disabled = [likeEntry(map, 'enabled', 'active'), likeEntry(map, 'disabled')];
  const isOff = flagOf(disabled[0]?.value) === false || flagOf(disabled[1]?.value) === true;
  const offLine = flagOf(disabled[0]?.value) === false ? disabled[0]!.line : disabled[1]?.line;
  return {
    ...around,
    machine: named ?? context.machineNamed(around.key) ?? around.machine,
    required: required ?? (optional === undefined ? around.required : !optional),
    own: new Map([...around.own, ...environmentOf(environment)]),
    files: [...around.files, ...files],
    folder: likeText(map, 'cwd', 'workdir', 'workingdir', 'workingdirectory', 'basedir') ?? around.folder,
    interpreter: likeText(map, 'interpreter', 'python', 'runtime') ?? around.interpreter,
    off: isOff ? `switched off at ${place(around.file, offLine!)}` : around.off,
  };
}

/** A mapping of names, or a list of `NAME=value`. */
export function environmentOf(value: Located | undefined): Map<string, string> {
  const values = new Map<string, string>();
  if (value?.kind === 'map') {
    for (const [name, { value: inner }] of value.entries) {
      if (inner.kind === 'scalar' && inner.value !== null) values.set(name, scalarText(inner));
    }
  }
  for (const line of value?.kind === 'list' ? textsOf(value) : []) {
    const at = line.indexOf('=');
    if (at > 0) values.set(line.slice(0, at), line.slice(at + 1));
  }
  return values;
}

function serviceOf(map: LocatedMap, around: Around, context: ReadingContext): FoundService | undefined {
  const started = startOf(map, around, context);
  if (started === undefined) return undefined;
  const { file } = around;
  const line = around.keyLine ?? likeEntry(map, 'name', 'id', 'service')?.line ?? map.line;
  const at = place(file, line);
  const machine = around.machine === undefined ? undefined : (context.machineNamed(around.machine) ?? around.machine);
  const expander = createExpander(context.variables({ machine, own: around.own, files: around.files }));
  const folder = around.folder === undefined ? undefined : expander.text(around.folder, 'its folder', at);
  const command = expander.words(started.command, at);
  const named = portsOf(map, expander, file);
  const health = healthOf(map, expander, file);
  const ports = [...named, ...(health?.port === undefined ? [] : [health.port])];
  for (const port of portsOfCommand(command)) if (!ports.some(({ name }) => name === port.name)) ports.push(port);
  const gpu = gpuOf(map, at);
  const { name } = started;
  if (started.missing) expander.unresolved.push(`${started.missing} is not in the repository (${at})`);
  const found: FoundService = {
    name,
    file,
    line,
    group: around.group,
    kind: 'process',
    machine: around.machine === undefined ? undefined : expander.text(around.machine, 'its machine', at),
    command,
    script: started.script ?? scriptOfCommand(command, { file, folder, has: context.has }),
    workingDirectory: folder,
    ports,
    health: health?.check,
    dependsOn: dependenciesOf(
      likeEntry(map, 'dependson', 'depends', 'dependencies', 'after', 'requires', 'needs')?.value,
    ),
    required: around.required,
    gpu,
    own: around.own,
    environmentFiles: around.files,
    unresolved: expander.unresolved,
  };
  return found;
}

interface Started {
  name: string;
  command: string[];
  script?: string | undefined;
  missing?: string;
}

const generic =
  /^(services?|processes|agents|workers|members|items|startup|apps?|jobs?|groups?|fleet|machines?|hosts?|nodes?)$/i;

function groupOf(map: LocatedMap, { key, group }: Around, { machineNamed }: ReadingContext): string | undefined {
  const own = key === '' ? likeText(map, 'name', 'group') : key;
  return own === undefined || generic.test(own) || machineNamed(own) !== undefined ? group : own;
}

const runnable = /\.(py|sh|bash|js|mjs|cjs|ts|rb|pl|php|jar|exe|ps1|bat)$/i;
const interpreters: Record<string, string[]> = {
  py: ['python3'],
  sh: ['bash'],
  bash: ['bash'],
  js: ['node'],
  mjs: ['node'],
  cjs: ['node'],
  ts: ['node'],
  rb: ['ruby'],
  pl: ['perl'],
  php: ['php'],
  jar: ['java', '-jar'],
  ps1: ['pwsh'],
};
const module = /^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*(:[A-Za-z_]\w*)?$/;
/** Keys that only what runs has; they tell a module or command apart from a word. */
const running = [
  'port',
  'ports',
  'health',
  'healthcheck',
  'dependson',
  'machine',
  'args',
  'restart',
  'autostart',
  'replicas',
];

/** What a mapping starts, if it starts anything: a path to data, a log or a weights file does not. */
function startOf(
  map: LocatedMap,
  { file, key, folder, interpreter }: Around,
  { has }: ReadingContext,
): Started | undefined {
  const where = { file, folder, has };
  const args = argumentsOf(likeEntry(map, 'args', 'arguments', 'argv', 'options')?.value);
  const named = likeText(map, 'name', 'id', 'service') ?? (key === '' ? undefined : key);
  const nameFor = (started: string) => {
    const own = named === undefined || generic.test(named) ? undefined : named;
    return (
      own ??
      started
        .split('/')
        .at(-1)!
        .replace(/\.\w+$/, '')
    );
  };
  for (const kind of ['script', 'path', 'entrypoint', 'file'] as const) {
    const value = likeText(map, kind);
    // `file` and `entrypoint` are too common to count by themselves.
    if (value === undefined || value === '' || /\n/.test(value)) continue;
    if ((kind === 'file' || kind === 'entrypoint') && !running.some((word) => likeEntry(map, word) !== undefined))
      continue;
    const [first = '', ...rest] = splitCommand(value);
    const asFile = fileOf(first, where);
    const extension = /\.(\w+)$/.exec(first)?.[1]?.toLowerCase() ?? '';
    const starts =
      runnable.test(first) ||
      (kind === 'script' && (asFile !== undefined || (/^[\w./-]+\/[\w.-]+$/.test(first) && extension === '')));
    if (!starts || /^https?:/.test(first)) continue;
    const before = interpreter === undefined ? (interpreters[extension] ?? []) : splitCommand(interpreter);
    const missing = asFile === undefined && !first.includes('$') ? { missing: first } : {};
    return { name: nameFor(first), command: [...before, first, ...rest, ...args], script: asFile, ...missing };
  }
  const dotted = likeText(map, 'module');
  if (dotted !== undefined && module.test(dotted)) {
    const asFile = moduleFile(dotted, where);
    const runs = running.some((word) => likeEntry(map, word) !== undefined);
    if (asFile !== undefined || (runs && (dotted.includes('.') || named !== undefined))) {
      const start = dotted.includes(':')
        ? ['uvicorn', dotted]
        : [...splitCommand(interpreter ?? 'python3'), '-m', dotted];
      const missing = asFile === undefined ? { missing: `module ${dotted}` } : {};
      return {
        name: nameFor(dotted.split(':')[0]!.replaceAll('.', '/')),
        command: [...start, ...args],
        script: asFile,
        ...missing,
      };
    }
  }
  const line = likeEntry(map, 'command', 'cmd', 'exec')?.value;
  const words = line?.kind === 'list' ? textsOf(line) : line?.kind === 'scalar' ? splitCommand(scalarText(line)) : [];
  if (words.length > 0 && named !== undefined && running.some((word) => likeEntry(map, word) !== undefined)) {
    return { name: nameFor(words[0]!), command: [...words, ...args] };
  }
  return undefined;
}

function argumentsOf(value: Located | undefined): string[] {
  if (value?.kind === 'scalar') return splitCommand(scalarText(value));
  if (value?.kind === 'list') return textsOf(value);
  if (value?.kind !== 'map') return [];
  return [...value.entries].flatMap(([name, { value: inner }]) => {
    const option = name.startsWith('-') ? name : `--${name}`;
    if (flagOf(inner) === true && inner.kind === 'scalar' && !/^[01]$/.test(inner.text)) return [option];
    return flagOf(inner) === false ? [] : textsOf(inner).flatMap((text) => [option, text]);
  });
}

/** A list of names, one name, or a mapping by name. */
function dependenciesOf(value: Located | undefined): string[] {
  if (value?.kind === 'map') return [...value.entries.keys()];
  if (value?.kind === 'scalar')
    return textsOf(value)
      .flatMap((text) => text.split(/[\s,]+/))
      .filter((text) => text !== '');
  if (value?.kind !== 'list') return [];
  return value.items.flatMap((item) => textAt(item, 'name', 'service', 'id') ?? textsOf(item));
}

function gpuOf(map: LocatedMap, at: string): FoundService['gpu'] {
  const memory = likeEntry(map, 'vram', 'vramgb', 'vramgib', 'gpumemory', 'gpumemorygb', 'gpumem');
  const wanted = likeEntry(map, 'gpu', 'gpus', 'needsgpu', 'requiresgpu', 'cuda');
  const amount = memory?.value.kind === 'scalar' ? gibibytes(scalarText(memory.value)) : undefined;
  const inner =
    wanted?.value.kind === 'map' ? likeText(wanted.value, 'vram', 'vramgb', 'vramgib', 'memory') : undefined;
  const vramGiB = amount ?? (inner === undefined ? undefined : gibibytes(inner));
  const asked =
    wanted !== undefined &&
    flagOf(wanted.value) !== false &&
    (wanted.value.kind !== 'scalar' || !/^(none|null|cpu|)$/i.test(wanted.value.text));
  if (!asked && vramGiB === undefined) return undefined;
  return { ...(vramGiB === undefined ? {} : { vramGiB }), because: [`it says so (${at})`] };
}

/** `12`, `12GB`, `12 GiB`, `8000MB`. */
function gibibytes(text: string): number | undefined {
  const found = /^(\d{1,7}(?:\.\d{1,3})?)\s*([gm]i?b?)?$/i.exec(text.trim());
  if (!found) return undefined;
  const amount = Number(found[1]) / (found[2]?.toLowerCase().startsWith('m') ? 1024 : 1);
  const rounded = Math.round(amount * 100) / 100;
  return rounded > 0 && rounded <= 1024 ? rounded : undefined;
}

/** Other files of the same fleet, by a tag or by a key. */
function includeOf(value: Located, around: Around, found: Found): void {
  if (value.kind !== 'scalar') return;
  const byKey = /^(include|includes|imports?|extends)$/.test(plainKey(around.key));
  if (byKey || value.tag === '!include') addInclude(scalarText(value), around, found);
}

function addInclude(text: string, { file }: Around, found: Found): void {
  const path = pathFrom(file, text.replace(/^file:/, ''));
  if (path === undefined) found.notes.push(`${file} names ${text.slice(0, 200)}, which lies outside; it is not read`);
  else if (!found.includes.includes(path)) found.includes.push(path);
}
